"""The Latin letters of a font, so that one can type in it: those of the CJK font that the model learnt from."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fontTools.agl import UV2AGL
from fontTools.pens.recordingPen import DecomposingRecordingPen
from fontTools.ttLib import TTCollection, TTFont

from glyffuser.base.errors import UserError
from glyffuser.data.fonts import FontFace

if TYPE_CHECKING:
    from collections.abc import Iterable

ASCII = range(0x20, 0x7F)  # what can be typed on every keyboard


@dataclass(frozen=True)
class Letter:
    """A character of another font: its PostScript name, its advance width, and how to draw it, in units of `em`."""

    codepoint: int
    name: str
    width: float
    drawing: DecomposingRecordingPen


def letters(face: FontFace, em: int, codepoints: "Iterable[int]" = ASCII) -> list[Letter]:
    """The letters of a face, scaled to `em` units. UserError if it lacks one."""
    font = open_face(face)
    own, names = font.getGlyphSet(), font.getBestCmap()
    scale = em / font["head"].unitsPerEm
    found = []
    for codepoint in codepoints:
        if codepoint not in names:
            raise UserError(f"{face.name} has no {chr(codepoint)!r}; install the font of glyffuser[data]")
        pen = DecomposingRecordingPen(own)
        own[names[codepoint]].draw(pen)
        pen.value = [(step, tuple((x * scale, y * scale) for x, y in points)) for step, points in pen.value]
        found.append(Letter(codepoint, UV2AGL[codepoint], own[names[codepoint]].width * scale, pen))
    return found


def open_face(face: FontFace) -> TTFont:
    """The face as fontTools reads it."""
    with face.path.open("rb") as file:
        collection = file.read(4) == b"ttcf"
    return (
        TTCollection(str(face.path), lazy=True).fonts[face.index] if collection else TTFont(str(face.path), lazy=True)
    )
