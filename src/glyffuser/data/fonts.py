"""Fonts: which characters a face covers, and drawing one character as a grey picture."""

import io
import re
import sys
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from glyffuser.base.errors import DAMAGED, UserError
from glyffuser.data.styles import PLAIN, check_style, style_of

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

DEFAULT_FAMILY = "Noto Sans CJK SC"
DEBIAN_NOTO = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")  # Debian's package fonts-noto-cjk
KINDS = (b"\0\1\0\0", b"OTTO", b"true", b"ttcf")  # how font files begin
LARGEST = 2**29  # bytes of a font file
SPRAWL = 8  # picture sides: a glyph larger than this is damaged
EM_SCALE = 0.875  # em box / picture side: nearly every glyph of a CJK font then stays off the border
_IDEOGRAPHIC_BOTTOM = -0.12  # of the em box over the baseline, in em: the value that CJK fonts share
# Ideographs: the zero, extension A, the main block, compatibility ideographs, the ideographic planes.
_CJK = ((0x3007, 0x3007), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
_COMPATIBILITY = ((0xF900, 0xFAFF), (0x2F800, 0x2FA1F))  # mostly second code points of characters encoded elsewhere


@dataclass(frozen=True)
class FontFace:
    """One face of a font file. `em_bottom` is the lower edge of the ideographic em box above the baseline, in em.

    `hand` names the style that its glyphs are in: see data/styles.py.
    """

    path: Path
    index: int
    family: str
    style: str
    covered: frozenset[int]
    em_bottom: float = _IDEOGRAPHIC_BOTTOM
    hand: str = PLAIN

    @property
    def name(self) -> str:
        """Family and style, such as "Noto Sans CJK SC Regular"."""
        return f"{self.family} {self.style}".strip()


@cache
def default_font() -> FontFace:
    """The face "Noto Sans CJK SC" from the pip package noto-cjk-sans-otc, else from Debian's fonts-noto-cjk."""
    spec = find_spec("noto_cjk_sans_otc")  # found, not imported: only its font file is wanted
    folders = [Path(folder) for folder in spec.submodule_search_locations or []] if spec else []
    for path in [*(path for folder in folders for path in sorted(folder.glob("*.ttc"))), DEBIAN_NOTO]:
        if path.is_file():
            families = [_name(font, 16, 1) for font in _open_faces(path)]
            if DEFAULT_FAMILY in families:
                return load_font(f"{path}:{families.index(DEFAULT_FAMILY)}")
    raise UserError(f"no font {DEFAULT_FAMILY} found; pip install 'glyffuser[data]', or name a font with --font FILE")


def load_font(spec: str | Path) -> FontFace:
    """Open "FILE" or "FILE:INDEX", INDEX being the face of a collection (.ttc, .otc), counted from 0.

    "STYLE=FILE" and "STYLE=FILE:INDEX" also name the style; otherwise the name of the face tells it. A variable font
    gives its default instance. Raises UserError if the file is missing or not a font, if a collection needs an index or
    has no such face, or if the face covers no Chinese character.
    """
    path, index, hand = Path(spec), None, ""
    if not path.is_file() and (named := re.fullmatch(r"([^/\\=]+)=(.+)", str(spec))):
        hand, spec = check_style(named[1]), named[2]
        path = Path(spec)
    if not path.is_file() and (found := re.fullmatch(r"(.+):(\d+)", str(spec))):
        path, index = Path(found[1]), int(found[2])
    if not path.is_file():
        raise UserError(f"font file {path} does not exist; give --font the path of a .ttf, .otf or .ttc file")
    faces = _open_faces(path)
    try:
        face = _choose(path, faces, index)
        return replace(face, hand=hand or style_of(face.name))
    except UserError:
        raise
    except Exception as error:  # fontTools reads lazily: a damaged table can raise anything
        raise UserError(f"{path} is damaged ({type(error).__name__}: {error}); fetch it again") from error


def _choose(path: Path, faces: list["TTFont"], index: int | None) -> FontFace:
    listing = ", ".join(f"{number} = {_name(face, 16, 1)} {_name(face, 17, 2)}" for number, face in enumerate(faces))
    if index is None and len(faces) > 1:
        raise UserError(f"{path} holds {len(faces)} faces; choose one, as --font {path}:{len(faces) - 1} ({listing})")
    index = index or 0
    if index >= len(faces):
        raise UserError(f"{path} has no face {index}; choose one of {listing}")
    face = faces[index]
    _check_map(face)
    covered = frozenset(face.getBestCmap() or {})
    if not any(_within(_CJK, codepoint) for codepoint in covered):
        raise UserError(f"{path} covers no Chinese character; choose a CJK font with --font")
    return FontFace(path, index, _name(face, 16, 1) or path.stem, _name(face, 17, 2), covered, _em_bottom(face))


def _check_map(font: "TTFont") -> None:
    """ValueError for a character map made so that its ranges would take minutes or gigabytes to write out."""
    for table in font["cmap"].tables if "cmap" in font else ():
        raw = vars(table).get("data") or b""  # of a table that has not been parsed yet
        if table.format == 4:
            codes = np.frombuffer(raw[8 : len(raw) // 2 * 2], ">u2").astype(np.int64)
            segments = int.from_bytes(raw[:2], "big") // 2
            last, first = codes[:segments], codes[segments + 1 : 2 * segments + 1]
        elif table.format in (12, 13):
            groups = np.frombuffer(raw[: len(raw) // 12 * 12], ">u4").reshape(-1, 3).astype(np.int64)
            first, last = groups[:, 0], groups[:, 1]
        else:
            continue
        n = min(len(first), len(last))
        if np.maximum(last[:n] - first[:n] + 1, 0).sum() > 2 * sys.maxunicode:
            raise ValueError("its character map lists more characters than there are")


class Rasteriser:
    """Draws characters of one face as square pictures of `size` pixels, black ink (0) on white paper (255).

    The em box, scaled to EM_SCALE of the picture, is centred in it, so that strokes keep the size and the place that
    the type designer gave them. At least one pixel on every side stays white: ink that would come closer is shifted by
    as little as needed, and a glyph too large for the picture is shrunk to fit.
    """

    def __init__(self, face: FontFace, size: int = 128) -> None:
        self.face, self.size = face, size
        self._font = self._sized(EM_SCALE * size)

    def render(self, char: str) -> np.ndarray:
        """Return uint8 (size, size); all 255 if the glyph has no ink."""
        try:
            return self._draw(char)
        except UserError:
            raise
        except (*DAMAGED, Image.DecompressionBombError) as error:
            raise UserError(f"cannot draw {char} with {self.face.path} ({error}); choose another --font") from error

    def _draw(self, char: str) -> np.ndarray:
        font, (x, y) = self._font, self._origin(self._font, char)
        left, top, right, bottom = font.getbbox(char, anchor="ls")  # encloses the ink, the origin and the advance
        if max(right - left, bottom - top) > SPRAWL * self.size:
            raise ValueError(f"it is {right - left:g} x {bottom - top:g} pixels large at a size of {font.size:g}")
        if min(x + left, y + top) < 1 or max(x + right, y + bottom) > self.size - 1:
            font, x, y = self._fit(char)
        picture = Image.new("L", (self.size, self.size), 255)
        ImageDraw.Draw(picture).text((x, y), char, fill=0, font=font, anchor="ls")
        return np.asarray(picture)

    def _origin(self, font: ImageFont.FreeTypeFont, char: str) -> tuple[int, int]:
        """Where the glyph's origin on the baseline goes in the picture, in whole pixels, as hinting requires."""
        x = round((self.size - font.getlength(char)) / 2)
        y = round(self.size / 2 + (self.face.em_bottom + 0.5) * font.size)
        return x, y

    def _fit(self, char: str) -> tuple[ImageFont.FreeTypeFont, int, int]:
        """A font size and an origin that keep the ink off the border."""
        font, room = self._font, self.size - 2
        left, top, right, bottom = _ink_box(font, char)
        while (extent := max(right - left, bottom - top)) > room:
            font = self._sized(font.size * min(room / extent, 0.98))
            left, top, right, bottom = _ink_box(font, char)
        x, y = self._origin(font, char)
        return font, min(max(x, 1 - left), room + 1 - right), min(max(y, 1 - top), room + 1 - bottom)

    def _sized(self, pixels: float) -> ImageFont.FreeTypeFont:
        try:
            # The basic layout needs no libraqm, so every machine draws alike.
            return ImageFont.truetype(
                str(self.face.path), pixels, self.face.index, layout_engine=ImageFont.Layout.BASIC
            )
        except (OSError, ValueError, OverflowError) as error:
            raise UserError(f"cannot draw with {self.face.path} ({error}); choose another --font") from error


def render(face: FontFace, char: str, size: int = 128) -> np.ndarray:
    """Draw one character: uint8 (size, size), ink 0, paper 255. For many characters, keep one Rasteriser."""
    return Rasteriser(face, size).render(char)


def ideographs(face: FontFace) -> list[int]:
    """The code points of all CJK ideographs that a face covers, extensions too; compatibility ideographs come last."""
    return sorted((c for c in face.covered if _within(_CJK, c)), key=lambda c: (_within(_COMPATIBILITY, c), c))


def _within(ranges: tuple[tuple[int, int], ...], codepoint: int) -> bool:
    return any(first <= codepoint <= last for first, last in ranges)


def _ink_box(font: ImageFont.FreeTypeFont, char: str) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the ink in pixels, from the origin on the baseline; zeros if there is none."""
    left, top, right, bottom = map(round, font.getbbox(char, anchor="ls"))
    picture = Image.new("L", (max(right - left, 1), max(bottom - top, 1)), 0)
    ImageDraw.Draw(picture).text((-left, -top), char, fill=255, font=font, anchor="ls")
    ink = picture.getbbox()
    return (left + ink[0], top + ink[1], left + ink[2], top + ink[3]) if ink else (0, 0, 0, 0)


def _open_faces(path: Path) -> list["TTFont"]:
    try:
        from fontTools.ttLib import TTCollection, TTFont, TTLibError
    except ImportError as error:
        raise UserError("fontTools is missing; pip install 'glyffuser[data]'") from error
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise UserError(f"{path} is {size >> 20} MiB, too large for a font; choose another --font")
        data = path.read_bytes()
        if data[:4] not in KINDS:  # compressed fonts (WOFF) can unpack to far more than their size
            raise UserError(f"{path} is not a TrueType or OpenType font (.ttf, .otf or .ttc); choose another --font")
        if data[:4] == b"ttcf":
            return list(TTCollection(io.BytesIO(data), lazy=True).fonts)
        return [TTFont(io.BytesIO(data), lazy=True)]
    except UserError:
        raise
    except (TTLibError, *DAMAGED) as error:
        raise UserError(f"{path} is not a TrueType or OpenType font ({error}); choose another --font") from error


def _name(font: "TTFont", *name_ids: int) -> str:
    """The first of the given entries of the font's name table; 16 and 17 are the names without the four-style limit."""
    names = (font["name"].getDebugName(name_id) for name_id in name_ids) if "name" in font else ()
    return next((name for name in names if name), "")


def _em_bottom(font: "TTFont") -> float:
    """Lower edge of the ideographic em box above the baseline, in em.

    From the BASE table, if there is one ('ideo' is that edge, 'icfb' and 'icft' are the edges of the ink, which has the
    same centre; OpenType's baseline tags), else from the typographic ascender and descender if they span one em.
    """
    em = font["head"].unitsPerEm
    axis = font["BASE"].table.HorizAxis if "BASE" in font else None
    if axis is not None and axis.BaseTagList is not None:
        tags = axis.BaseTagList.BaselineTag
        scripts = {record.BaseScriptTag: record.BaseScript for record in axis.BaseScriptList.BaseScriptRecord}
        script = scripts.get("hani") or scripts.get("DFLT")
        if script is not None and script.BaseValues is not None:
            edges = dict(zip(tags, (coord.Coordinate for coord in script.BaseValues.BaseCoord), strict=True))
            if "ideo" in edges:
                return float(edges["ideo"] / em)
            if {"icfb", "icft"} <= edges.keys():
                return float((edges["icfb"] + edges["icft"]) / 2 / em - 0.5)
    if "OS/2" in font and font["OS/2"].sTypoAscender - font["OS/2"].sTypoDescender == em:
        return float(font["OS/2"].sTypoDescender / em)
    return _IDEOGRAPHIC_BOTTOM
