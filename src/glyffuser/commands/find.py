"""`glyffuser find`: real characters by meaning, or by what a picture looks like."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from glyffuser.base.errors import UserError
from glyffuser.commands.shared import Flag, importing, print_results


@dataclass
class Find:
    """Find real characters by their meaning; or tell what a picture looks like, and what it might mean.

    Example: glyffuser find "a kind of fish"

    With pictures: glyffuser find --picture out/gold-0-3.png
    """

    meanings: Positional[tuple[str, ...]] = ()
    """English meanings, each in quotes."""
    picture: tuple[Path, ...] = ()
    """Square grey pictures of glyphs, or folders of them."""
    n: Annotated[int, arg(name="n", aliases=["-n"])] = 10
    """How many characters to name."""
    judges: Path | None = None
    """A folder that `glyffuser train-judges --contrastive` wrote; default: the bundled model."""
    json: Flag = False
    """Print as JSON."""

    def run(self) -> None:
        if not (self.meanings or self.picture):
            raise UserError('give a meaning or a picture, for example: glyffuser find "a kind of fish"')
        if self.n < 1:
            raise UserError(f"-n must be 1 or more, not {self.n}")
        with importing():
            from glyffuser.judge.dictionary import Finder, read_pictures
            from glyffuser.judge.judges import BUNDLED_JUDGES

        finder = Finder.load(self.judges or BUNDLED_JUDGES)
        facts: list[dict[str, Any]] = []
        lines: list[str] = []
        if self.meanings:
            for text, found in zip(self.meanings, finder.by_meaning(self.meanings, self.n), strict=True):
                facts.append({"meaning": text, "found": [f._asdict() for f in found]})
                lines += [f"{text}:", *map(line, found)]
        if self.picture:
            names, images = read_pictures(self.picture)
            for name, (like, sense) in zip(names, finder.by_picture(images, self.n), strict=True):
                likeness = {"looks_like": [f._asdict() for f in like], "might_mean": [f._asdict() for f in sense]}
                facts.append({"picture": name, **likeness})
                lines += [f"{name} looks like:", *map(line, like), f"{name} might mean:", *map(line, sense)]
        print_results(self.json, facts, lines)


def line(found: Any) -> str:
    """A character that was found, as a line for people to read."""
    return f"  {found.char}  {found.codepoint:7}  {found.score:5.2f}  {found.definition}"
