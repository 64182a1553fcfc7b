"""Fonts made of rectangles, and the real Unihan and Noto files read once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from glyffuser.data.fonts import FontFace, default_font
from glyffuser.data.unihan import Unihan, read_unihan

Box = tuple[int, int, int, int]  # left, bottom, right, top in font units; em = 1000
ToyFont = Callable[..., Path]


@pytest.fixture(scope="session")
def unihan() -> Unihan:
    return read_unihan()


@pytest.fixture(scope="session")
def noto() -> FontFace:
    return default_font()


@pytest.fixture
def toy_font(tmp_path: Path) -> ToyFont:
    """A factory for TrueType files: toy_font({"一": (100, 300, 900, 400), "二": None}); None is a glyph without ink."""

    def make(
        boxes: dict[str, Box | None],
        family: str = "Toy",
        name: str = "toy.ttf",
        typo: tuple[int, int] = (880, -120),
        features: str = "",
    ) -> Path:
        from fontTools.fontBuilder import FontBuilder
        from fontTools.pens.ttGlyphPen import TTGlyphPen

        glyphs = {".notdef": TTGlyphPen(None).glyph()}
        for char, box in boxes.items():
            pen = TTGlyphPen(None)
            if box:
                left, bottom, right, top = box
                pen.moveTo((left, bottom))
                for corner in ((left, top), (right, top), (right, bottom)):
                    pen.lineTo(corner)
                pen.closePath()
            glyphs[f"u{ord(char):04X}"] = pen.glyph()
        builder = FontBuilder(1000, isTTF=True)
        builder.setupGlyphOrder(list(glyphs))
        builder.setupCharacterMap({ord(char): f"u{ord(char):04X}" for char in boxes})
        builder.setupGlyf(glyphs)
        table = builder.font["glyf"]
        builder.setupHorizontalMetrics({glyph: (1000, getattr(table[glyph], "xMin", 0)) for glyph in glyphs})
        builder.setupHorizontalHeader(ascent=880, descent=-120)
        builder.setupNameTable({"familyName": family, "styleName": "Regular"})
        builder.setupOS2(sTypoAscender=typo[0], sTypoDescender=typo[1])
        builder.setupPost()
        builder.addOpenTypeFeatures(features)
        path = tmp_path / name
        builder.save(path)
        return path

    return make
