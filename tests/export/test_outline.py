"""Outlines against shapes that are known, and against the font from which a picture was drawn."""

import numpy as np
import pytest
from fontTools.pens.areaPen import AreaPen
from fontTools.pens.freetypePen import FreeTypePen
from fontTools.pens.recordingPen import RecordingPen
from fontTools.svgLib.path import parse_path

from glyffuser.base.errors import UserError
from glyffuser.data.fonts import default_font, render
from glyffuser.export.outline import Contour, Outline, merged, raised, trace


def area_of(outline):
    pen = AreaPen()
    outline.draw(pen)
    return pen.value


def square(left, top, side):
    a, b, c, d = (left, top), (left, top + side), (left + side, top + side), (left + side, top)
    return Contour(a, ((b,), (c,), (d,), (a,)))


@pytest.mark.parametrize("shift", [0.0, 0.3, 0.5, 0.9])
def test_a_stroke_is_a_rectangle_of_four_points(covered, shift):
    outline = trace(covered([(20 + shift, 50 + shift), (110, 50 + shift), (110, 58), (20 + shift, 58)]))
    (contour,) = outline.contours
    assert outline.points == 4
    corners = sorted(segment[0] for segment in contour.segments)
    wanted = sorted([(20 + shift, 50 + shift), (110, 50 + shift), (110, 58), (20 + shift, 58)])
    np.testing.assert_allclose(corners, wanted, atol=0.06)
    assert len({x for x, _ in corners}) == len({y for _, y in corners}) == 2  # exactly upright, ends squared


def test_a_slanting_stroke_keeps_its_four_corners(covered):
    polygon = [(30, 20), (38, 24), (80, 110), (70, 108)]
    outline = trace(covered(polygon))
    assert outline.points == 4
    found = np.array([segment[0] for segment in outline.contours[0].segments])
    assert max(np.hypot(*(found - point).T).min() for point in np.array(polygon, float)) < 0.5


def test_a_circle_is_a_few_curves(covered):
    turn = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    outline = trace(covered(list(zip(64 + 30 * np.cos(turn), 60 + 30 * np.sin(turn), strict=True))))
    assert outline.points <= 24
    assert abs(area_of(outline)) == pytest.approx(np.pi * 900, rel=0.003)
    for segment in outline.contours[0].segments:
        assert np.hypot(segment[-1][0] - 64, segment[-1][1] - 60) == pytest.approx(30, abs=0.15)


@pytest.mark.parametrize("char", "永金議龍〇口")
def test_the_outline_of_a_character_renders_as_its_picture(char, rendered):
    picture = render(default_font(), char)
    outline = trace(picture)
    ink, again = picture < 128, rendered(outline) < 0.5
    assert (ink & again).sum() / (ink | again).sum() > 0.97
    assert area_of(outline) < 0  # y down: ink counter-clockwise on the page


def test_the_outline_of_a_character_is_that_of_the_font():
    from fontTools.ttLib import TTCollection

    face = default_font()
    font = TTCollection(str(face.path), lazy=True).fonts[face.index]
    glyph = font.getGlyphSet()[font.getBestCmap()[ord("語")]]
    pen, own = FreeTypePen(None), RecordingPen()
    glyph.draw(pen)
    glyph.draw(own)
    a, b, c, d, e, f = 0.112, 0, 0, 0.112, 8, 20
    picture = 1 - pen.array(width=128, height=128, transform=(a, b, c, d, e, f))
    outline = trace(picture).mapped(1 / 0.112, -8 / 0.112, 108 / 0.112)  # 語 is all straight strokes
    ends = np.array([points[-1] for _, points in own.value if points], float)
    found = np.array([segment[-1] for contour in outline.contours for segment in contour.segments])
    off = np.hypot(*(found[:, None] - ends).transpose(2, 0, 1)).min(axis=1)  # of 1000 in an em
    assert np.median(off) < 1.5
    assert outline.points <= 1.5 * sum(len(points) for _, points in own.value)


def test_contours_that_overlap_are_made_one():
    outline = Outline((square(10, 10, 40), square(30, 30, 40)))
    union = merged(outline)
    assert len(union.contours) == 1
    assert area_of(union) == pytest.approx(-(2 * 1600 - 400), rel=1e-4)
    apart = Outline((square(10, 10, 20), square(50, 50, 20)))
    assert merged(apart) is apart


def test_a_quadratic_is_raised_to_the_same_curve():
    one, two = RecordingPen(), AreaPen()
    a, b, c = (0.0, 0.0), (10.0, 20.0), (30.0, 0.0)
    one.value = [("moveTo", (a,)), ("curveTo", raised(a, b, c)), ("closePath", ())]
    one.replay(two)
    exact = AreaPen()
    exact.moveTo(a)
    exact.qCurveTo(b, c)
    exact.closePath()
    assert two.value == pytest.approx(exact.value)


def test_the_svg_is_the_outline():
    outline = trace(render(default_font(), "水"))
    svg = outline.svg("salt & water")
    assert "<title>salt &amp; water</title>" in svg
    pen = AreaPen()
    parse_path(outline.svg_path(), pen)
    assert pen.value == pytest.approx(area_of(outline), rel=1e-3)


def test_mapping_turns_it_upright():
    moved = Outline((square(0, 0, 10),)).mapped(2, 5, 100)
    assert moved.contours[0].start == (5, 100)
    assert area_of(moved) == 400  # counter-clockwise, y up, as PostScript's fonts have it


def test_what_is_no_glyph_is_said_in_one_line(covered):
    rng = np.random.default_rng(0)
    for picture, words in (
        (np.ones((128, 128)), "blank"),
        (np.full((64, 64), 255, np.uint8), "blank"),
        (np.zeros((128, 128)), "mostly black"),
        (rng.random((128, 128)), "grey"),
        (np.kron(np.indices((32, 32)).sum(0) % 2, np.ones((4, 4))).astype(float), "contours"),
        (np.ones((128, 64)), "square"),
    ):
        with pytest.raises(UserError, match=words) as told:
            trace(picture)
        assert "\n" not in str(told.value)
