"""`glyffuser svg` and `font`: outlines of glyphs, and fonts made of them."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from glyffuser.base.errors import UserError
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, importing, need_extra, open_pipeline, print_results
from glyffuser.generate.lists import read_list
from glyffuser.generate.request import LIST, Request

OUTLINES = ("contourpy", "pathops", "fontTools", "brotli")  # of the extra `export`, what outlines and fonts need
DRAWN = Request(n=1, best_of=4)  # how a font's glyphs are drawn by default


@dataclass
class Svg:
    """Trace pictures of glyphs into outlines, lines and curves that stay sharp at any size, and write SVG files.

    Example: glyffuser svg out/ --out outlines/
    """

    pictures: Positional[tuple[Path, ...]]
    """Square grey pictures, or folders of them."""
    out: Path | None = None
    """Folder for the SVG files; default: beside each picture."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        if not self.pictures:
            raise UserError("name a picture or a folder of pictures, for example: glyffuser svg out/")
        need_extra("export", *OUTLINES)
        from glyffuser.export.svg import write_svgs

        traced = write_svgs(self.pictures, self.out)
        lines = [f"{one.svg}: {one.points} points, {one.contours} contours" for one in traced]
        print_results(self.json, [dataclasses.asdict(one) for one in traced], lines)


@dataclass
class Font:
    """Make a font of invented glyphs: draw each meaning, trace it, give it a code point and a name to type.

    Example: glyffuser font "gold" "a river of fire" --out MyGlyphs.ttf

    Type :gold: in that font and the glyph appears. Its prompts, its licence, a specimen (HTML and PNG) and a folder of
    the pictures are written beside it. The first meaning is drawn from --seed, the next from the seed after it, and so
    on.
    """

    prompts: Positional[tuple[str, ...]] = ()
    """English meanings, each in quotes."""
    request: OmitArgPrefixes[Request] = field(default_factory=lambda: DRAWN)
    prompt_list: Annotated[Path | None, arg(name="list")] = None
    """A text file (UTF-8) with one meaning per line; lines that begin with # are left out."""
    source: Annotated[Path | None, arg(name="from")] = None
    """A folder that `glyffuser sample` wrote: take the glyphs in it, draw none."""
    out: Path = Path("MyGlyphs.ttf")
    """The font to write: .ttf (TrueType), .otf (cubic curves) or .woff2 (for web pages)."""
    family: str | None = None
    """The name of the font in menus; default: the file's name."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        if (self.source is not None) + (self.prompt_list is not None) + bool(self.prompts) != 1:
            raise UserError('give either meanings, or --list FILE, or --from FOLDER: glyffuser font "gold"')
        if self.source is not None and (self.request != DRAWN or self.model != Font.model):
            raise UserError("--from takes glyphs as they are and draws none; leave out the options that say how")
        if LIST in (self.request.sampler, self.request.spacing):
            raise UserError("font lists no samplers or spacings; see glyffuser sample --sampler list, --spacing list")
        if self.request.upscale is not None:
            raise UserError("font traces glyphs as they are drawn; leave out --upscale, or give larger ones by --from")
        need_extra("export", *OUTLINES)
        with importing():
            from glyffuser.export.collect import collect, records_in
            from glyffuser.export.package import check_target, write_font

        check_target(self.out)
        records = records_in(self.source) if self.source is not None else self._drawn()
        written = write_font(collect(records), self.out, self.family or self.out.stem)
        lines = [
            f"{written.font}: {written.glyphs} glyphs, typed {', '.join(written.typed[:6])}"
            f"{' and so on' if written.glyphs > 6 else ''}",
            f"specimen: {written.page}, {written.poster}",
            f"prompts: {written.record}; licence: {written.licence}",
        ]
        print_results(self.json, dataclasses.asdict(written), lines)

    def _drawn(self) -> list[Path]:
        """The records of glyphs drawn for the prompts, in their order, in a folder beside the font."""
        from glyffuser.export.collect import check_prompts
        from glyffuser.generate.files import sample_to_folder

        self.request.check()
        prompts = self.prompts if self.prompt_list is None else tuple(read_list(self.prompt_list).values())
        pipe = open_pipeline(self.model)
        prompts = tuple(pipe.read(prompt) for prompt in prompts)
        check_prompts(prompts, self.request.n)
        # One seed per meaning: under a single seed, all would begin as the same noise and come out with similar right
        # halves.
        first = self.request.seed
        requests = [
            dataclasses.replace(self.request, prompt=prompt, seed=(first + i) % 2**64)
            for i, prompt in enumerate(prompts)
        ]
        with Progress("denoising") as progress:
            drawn = sample_to_folder(pipe, requests, self.out.with_name(f"{self.out.stem}-pictures"), progress)
        return [one.json for one in drawn]
