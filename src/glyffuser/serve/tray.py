"""The tray: glyphs that a visitor chose, and their export as PNG, as SVG, or as a font with its specimen."""

import io
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.files import write_bytes
from glyffuser.export.collect import Collected, named
from glyffuser.export.outline import Outline, trace
from glyffuser.export.package import write_font
from glyffuser.generate.files import slug_of

MOST = 96  # glyphs in a tray
SIDE = 128  # pixels of a picture in a specimen
FAMILY = re.compile(r"[A-Za-z][A-Za-z0-9 -]{0,39}")
KEPT = 3600  # seconds that files stay ready for download
PREFIX = "tray-"


@dataclass(frozen=True)
class Item:
    """A chosen glyph, uint8 (H, W), and where it comes from."""

    prompt: str
    seed: int
    number: int
    image: np.ndarray
    model: str

    @property
    def name(self) -> str:
        """What it is called on the page: its meaning, or its number if the model takes none."""
        return self.prompt or f"glyph {self.number + 1}"

    @property
    def stem(self) -> str:
        """Its file name without the ending, as `glyffuser sample` names it."""
        return f"{slug_of(self.prompt)}-{self.seed}-{self.number}"

    def same(self, other: "Item") -> bool:
        """Whether it is the same glyph: one prompt and noise may give two, drawn with different settings."""
        return self.prompt == other.prompt and np.array_equal(self.image, other.image)


def added(tray: Sequence[Item], new: Sequence[Item]) -> list[Item]:
    """The tray with further glyphs, each once. UserError if they are too many."""
    result = list(tray)
    for item in new:
        if not any(item.same(other) for other in result):
            result.append(item)
    if len(result) > MOST:
        raise UserError(f"the tray holds at most {MOST} glyphs; take some out")
    return result


def pack_pngs(tray: Sequence[Item], folder: Path) -> list[Path]:
    """One zip with a PNG of each glyph."""
    return [_zip(folder / "glyphs-png.zip", tray, ".png", _png)]


def pack_svgs(tray: Sequence[Item], folder: Path) -> list[Path]:
    """One zip with an outline of each glyph. UserError for a blank one."""
    return [_zip(folder / "glyphs-svg.zip", tray, ".svg", lambda item: _outline(item).svg(item.stem).encode())]


def pack_font(tray: Sequence[Item], folder: Path, family: Any) -> list[Path]:
    """A TrueType font, its specimen (HTML, PNG), its prompts and its licence, and the same in one zip.

    UserError for a name that no font can have, a blank glyph, and two meanings that would be typed alike.
    """
    if not isinstance(family, str) or not FAMILY.fullmatch(family.strip()):
        raise UserError("name the font with up to 40 plain letters, digits, spaces and hyphens, such as My Glyphs")
    family = family.strip()
    glyphs = named([item.prompt for item in tray], [_outline(item) for item in tray])
    collected = [
        Collected(glyph, _sized(item.image), Path(f"{item.stem}.png"), {"seed": item.seed, "model": item.model})
        for glyph, item in zip(glyphs, tray, strict=True)
    ]
    stem = family.replace(" ", "")
    written = write_font(collected, folder / f"{stem}.ttf", family)
    files = [written.font, written.page, written.poster, written.record, written.licence]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    write_bytes(folder / f"{stem}.zip", buffer.getvalue())
    return [*files[:3], folder / f"{stem}.zip"]


def fresh_folder(root: Path) -> Path:
    """An empty folder for a visitor's downloads; those more than an hour old are removed."""
    for old in root.glob(f"{PREFIX}*"):
        if time.time() - old.stat().st_mtime > KEPT:
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))


def _zip(path: Path, tray: Sequence[Item], ending: str, data: Callable[[Item], bytes]) -> Path:
    """A zip with one file per glyph; those of one name are numbered."""
    if not tray:
        raise UserError("the tray is empty; put glyphs into it first")
    buffer, names = io.BytesIO(), set[str]()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for item in tray:
            name, i = item.stem, 2
            while name in names:
                name, i = f"{item.stem}-{i}", i + 1
            names.add(name)
            archive.writestr(name + ending, data(item))
    write_bytes(path, buffer.getvalue())
    return path


def _png(item: Item) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(item.image).save(buffer, "PNG")
    return buffer.getvalue()


def _outline(item: Item) -> Outline:
    """The outline of a glyph; a UserError names the glyph."""
    try:
        return trace(item.image)
    except UserError as error:
        raise UserError(f"{item.name!r}, glyph {item.number}: {error}") from error


def _sized(image: np.ndarray) -> np.ndarray:
    """A glyph at the size that a specimen shows."""
    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
