"""`glyffuser inspect`: read pictures of glyphs."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from glyffuser.base.errors import UserError
from glyffuser.commands.shared import Flag, print_results


@dataclass
class Inspect:
    """Read pictures of glyphs: radical, number of strokes, and whether they look flawed.

    Example: glyffuser inspect out/ --out inspected/
    """

    pictures: Positional[tuple[Path, ...]]
    """Square grey pictures, or folders of them."""
    out: Path | None = None
    """Folder for heat maps of the flaws, one per picture: *-flaws.png, which are left out when a folder is read."""
    judges: Path | None = None
    """A folder that `glyffuser train-judges` wrote; default: the bundled judges."""
    json: Flag = False
    """Print as JSON."""

    def run(self) -> None:
        if not self.pictures:
            raise UserError("name a picture or a folder of pictures, for example: glyffuser inspect out/")
        from glyffuser.judge.judges import BUNDLED_JUDGES, load_judges
        from glyffuser.judge.reading import inspect_files

        verdicts = inspect_files(load_judges(self.judges or BUNDLED_JUDGES), self.pictures, self.out)
        lines = [
            f"{v.file}: radical {v.radical} {v.radical_char} ({v.chance:.0%}), {v.strokes:.0f} strokes, "
            f"flaws {v.flaws:.1f}{', looks wrong' if v.flagged else ''}"
            for v in verdicts
        ]
        print_results(self.json, [dataclasses.asdict(v) for v in verdicts], lines)
