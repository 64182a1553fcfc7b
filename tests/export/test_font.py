"""Fonts: names, code points, metrics; and what the checkers, HarfBuzz and FreeType make of them."""

import io
from dataclasses import replace

import freetype
import numpy as np
import ots
import pytest
import uharfbuzz
from fontTools.ttLib import TTFont

from glyffuser.base.errors import UserError
from glyffuser.data.fonts import EM_SCALE, default_font, render
from glyffuser.export.collect import check_prompts, named
from glyffuser.export.font import EM, PRIVATE, TOP, FontGlyph, Naming, build_font, check
from glyffuser.export.latin import letters
from glyffuser.export.outline import Contour, Outline, trace
from glyffuser.export.package import font_bytes

NAMING = Naming("My Glyphs", "Nobody", "Free", "https://example.org", "1.0")
PROMPTS = {"gold": "金", "a river of fire": "永", "Tiger's eye!": "〇"}
SQUARE = Outline((Contour((40.0, 40.0), (((40.0, 80.0),), ((80.0, 80.0),), ((80.0, 40.0),), ((40.0, 40.0),))),))


@pytest.fixture(scope="module")
def glyphs():
    return named(list(PROMPTS), [trace(render(default_font(), char)) for char in PROMPTS.values()])


@pytest.fixture(scope="module", params=["ttf", "otf", "woff2"])
def made(request, glyphs, tmp_path_factory):
    """A font file, and the font in it as fontTools reads it."""
    font = build_font(glyphs, letters(default_font(), EM), NAMING, cubic=request.param == "otf")
    path = tmp_path_factory.mktemp("font") / f"font.{request.param}"
    path.write_bytes(font_bytes(font, "woff2" if request.param == "woff2" else None))
    return path, TTFont(path)


def plain(font):
    """The bytes of a font's file without compression."""
    buffer = io.BytesIO()
    font.flavor = None
    font.save(buffer)
    return buffer.getvalue()


def shaped(font, text):
    face = uharfbuzz.Font(uharfbuzz.Face(plain(font)))
    buffer = uharfbuzz.Buffer()
    buffer.add_str(text)
    buffer.guess_segment_properties()
    uharfbuzz.shape(face, buffer)
    return [font.getGlyphName(info.codepoint) for info in buffer.glyph_infos]


def test_the_sanitizer_of_browsers_accepts_it(made):
    result = ots.sanitize(str(made[0]), capture_output=True)
    assert result.returncode == 0, result.stderr
    assert b"WARNING" not in result.stdout + result.stderr


def test_glyphs_have_code_points_and_names(made):
    cmap = made[1].getBestCmap()
    private = {codepoint: name for codepoint, name in cmap.items() if codepoint in PRIVATE}
    assert private == {
        0xE000: "uniE000.gold",
        0xE001: "uniE001.a_river_of_fire",
        0xE002: "uniE002.tiger_s_eye",
    }
    assert all(codepoint in cmap for codepoint in range(0x20, 0x7F))


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (":gold:", ["uniE000.gold"]),
        ("a:a-river-of-fire:!", ["a", "uniE001.a_river_of_fire", "exclam"]),
        (":gold::gold:", ["uniE000.gold", "uniE000.gold"]),
        (":golden:", ["colon", "g", "o", "l", "d", "e", "n", "colon"]),
        ("\ue002", ["uniE002.tiger_s_eye"]),
    ],
)
def test_harfbuzz_makes_the_glyph_of_what_is_typed(made, typed, names):
    assert shaped(made[1], typed) == names


def test_metrics_are_those_of_a_cjk_font(made):
    font = made[1]
    assert font["OS/2"].version == 4
    assert (font["OS/2"].sTypoAscender, font["OS/2"].sTypoDescender) == (880, -120)
    assert (font["hhea"].ascent, font["hhea"].descent) == (1160, -288)
    assert (font["OS/2"].usWinAscent, font["OS/2"].usWinDescent) == (1160, 288)
    shapes = font.getGlyphSet()
    for name in font.getGlyphOrder():
        width, left = font["hmtx"][name]
        height, top = font["vmtx"][name]
        bounds = bounds_of(shapes, name)
        assert left == round(bounds[0])  # lsb equals xMin
        assert top == TOP - round(bounds[3])
        assert height == EM
        assert width == EM or not name.startswith("uni")
    assert bounds_of(shapes, ".notdef")[2] > 0
    assert font["hmtx"]["i"][0] < font["hmtx"]["m"][0]


def bounds_of(shapes, name):
    from fontTools.pens.boundsPen import BoundsPen

    pen = BoundsPen(shapes)
    shapes[name].draw(pen)
    return pen.bounds or (0, 0, 0, 0)


def test_freetype_draws_the_picture_that_was_traced(made):
    face = freetype.Face(io.BytesIO(plain(made[1])))
    size = 128 * EM_SCALE
    face.set_char_size(round(size * 64))
    for codepoint, char in zip(PRIVATE, PROMPTS.values(), strict=False):
        face.load_char(chr(codepoint), freetype.FT_LOAD_RENDER | freetype.FT_LOAD_NO_HINTING)
        slot, bitmap = face.glyph, face.glyph.bitmap
        grey = np.array(bitmap.buffer, np.uint8).reshape(bitmap.rows, bitmap.pitch)[:, : bitmap.width]
        drawn = np.zeros((128, 128), np.uint8)
        top, left = 128 - 8 - round(0.12 * size) - slot.bitmap_top, 8 + slot.bitmap_left
        drawn[top : top + grey.shape[0], left : left + grey.shape[1]] = grey
        ink = render(default_font(), char) < 128
        best = max(
            (ink & moved).sum() / (ink | moved).sum()
            for by in (-1, 0, 1)
            for moved in [np.roll(drawn >= 128, by, axis=0)]
        )
        assert best > 0.9  # baselines fall between pixels in one and not in the other


def test_contours_run_as_the_format_wants_it(made, glyphs):
    from fontTools.pens.areaPen import AreaPen

    shapes = made[1].getGlyphSet()
    way = 1 if "CFF " in made[1] else -1
    for name in (glyphs[0].name, ".notdef", "a"):
        pen = AreaPen(shapes)
        shapes[name].draw(pen)
        assert way * pen.value > 0, name


def test_the_name_table_says_whose_it_is(made):
    names = made[1]["name"]
    said = {number: names.getDebugName(number) for number in (0, 1, 4, 6, 13, 14)}
    assert said == {
        0: "Nobody",
        1: "My Glyphs",
        4: "My Glyphs",
        6: "MyGlyphs-Regular",
        13: "Free",
        14: NAMING.licence_url,
    }
    assert "gold, a river of fire" in names.getDebugName(10)


def test_a_family_may_have_a_chinese_name():
    naming, glyph = replace(NAMING, family="黄金"), FontGlyph("gold", "gold", PRIVATE[0], SQUARE)
    made = build_font([glyph], letters(default_font(), EM), naming, cubic=True)
    font = TTFont(io.BytesIO(font_bytes(made, None)))
    assert font["name"].getDebugName(1) == "黄金"
    assert font["CFF "].cff.fontNames == ["Glyphs-Regular"]
    assert font["CFF "].cff[0].FamilyName == "Glyphs"


def test_same_glyphs_same_bytes(glyphs):
    latin = letters(default_font(), EM)
    assert font_bytes(build_font(glyphs, latin, NAMING), None) == font_bytes(build_font(glyphs, latin, NAMING), None)


def test_a_thousand_ligatures_fit(tmp_path):
    many = [
        FontGlyph(f"glyph {i}", f"a-name-of-forty-letters-or-thereabouts-{i}", 0xE000 + i, SQUARE) for i in range(1500)
    ]
    font = build_font(many, letters(default_font(), EM), NAMING)
    path = tmp_path / "many.ttf"
    font.save(path)
    assert shaped(TTFont(path), f":{many[1499].slug}:") == [many[1499].name]
    assert ots.sanitize(str(path), capture_output=True).returncode == 0


def test_several_glyphs_of_one_prompt_are_numbered():
    found = named(["gold", "fish", "gold"], [SQUARE] * 3)
    assert [(glyph.slug, glyph.codepoint) for glyph in found] == [
        ("gold", 0xE000),
        ("fish", 0xE001),
        ("gold-2", 0xE002),
    ]


@pytest.mark.parametrize(
    ("prompts", "each", "words"),
    [
        (["gold", "Gold!"], 1, ["'gold' and 'Gold!'", ":gold:"]),
        (["gold", "gold-2"], 2, [":gold-2:"]),
        (["gold", "gold"], 1, ["given twice"]),
        ([f"glyph {i}" for i in range(6401)], 1, ["6401", "6400", "private-use"]),
        (["gold"], 6401, ["private-use"]),
        ([], 1, ["at least one"]),
    ],
)
def test_what_cannot_be_named_is_said_in_one_line(prompts, each, words):
    with pytest.raises(UserError) as told:
        check_prompts(prompts, each)
    assert all(word in str(told.value) for word in words)
    assert "\n" not in str(told.value)


def test_as_many_as_the_private_use_area_holds():
    check([FontGlyph(str(i), str(i), PRIVATE[i], SQUARE) for i in range(len(PRIVATE))])
    assert len(PRIVATE) == 6400
