"""`glyffuser svg` and `font`: outlines of glyphs, and fonts made of them."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from glyffuser.base.errors import UserError
from glyffuser.commands.shared import Flag, print_results


def need_extra() -> None:
    """UserError unless what outlines and fonts need is installed."""
    from importlib.util import find_spec

    missing = [name for name in ("contourpy", "pathops", "fontTools", "brotli") if find_spec(name) is None]
    if missing:
        raise UserError(f"outlines and fonts need {', '.join(missing)}; pip install 'glyffuser[export]'")


@dataclass
class Svg:
    """Trace pictures of glyphs to outlines, lines and curves that stay sharp at any size, and write SVG files.

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
        need_extra()
        from glyffuser.export.svg import write_svgs

        traced = write_svgs(self.pictures, self.out)
        lines = [f"{one.svg}: {one.points} points, {one.contours} contours" for one in traced]
        print_results(self.json, [dataclasses.asdict(one) for one in traced], lines)
