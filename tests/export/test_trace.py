"""Contours and corners of shapes that are known."""

import numpy as np
import pytest

from glyffuser.export.trace import STEP, area, contours, corners, even


def test_a_contour_lies_where_the_grey_of_the_edge_says(covered):
    for shift in (0.0, 0.2, 0.5, 0.8):
        (line,) = contours(covered([(30 + shift, 40), (90, 40), (90, 80), (30 + shift, 80)]))
        left = line[(np.abs(line[:, 1] - 60) < 10) & (line[:, 0] < 50)]
        np.testing.assert_allclose(left[:, 0], 30 + shift, atol=0.05)


def test_ink_and_holes_run_in_opposite_ways(covered):
    outer, hole = [(20, 20), (100, 20), (100, 100), (20, 100)], [(40, 40), (80, 40), (80, 80), (40, 80)]
    areas = sorted(area(line) for line in contours(covered(outer, hole)))
    assert areas[0] == pytest.approx(-6400, rel=0.01)  # y down: counter-clockwise on the page
    assert areas[1] == pytest.approx(1600, rel=0.01)


def test_specks_and_pinholes_are_dropped(covered):
    picture = covered([(20, 20), (100, 20), (100, 100), (20, 100)])
    assert len(contours(picture)) == 1
    picture[110:112, 110] = 0.2
    picture[60, 60] = 1.0
    assert len(contours(picture)) == 1


def test_a_larger_picture_is_measured_in_the_same_pixels(covered):
    polygon = [(20, 20), (100, 30), (90, 100)]
    picture = covered(polygon)
    large = np.kron(picture, np.ones((4, 4)))
    (small_line,), (large_line,) = contours(picture), contours(large)
    assert area(small_line) == pytest.approx(area(large_line), rel=0.01)


def test_no_ink_no_contours():
    assert contours(np.ones((128, 128))) == []


def test_points_lie_at_even_distances():
    line = np.array([[0, 0], [3, 0], [3, 50], [0, 50], [0, 0]], float)
    points = even(line)
    gaps = np.hypot(*(np.roll(points, -1, axis=0) - points).T)
    assert gaps.max() == pytest.approx(STEP, rel=0.02)


def test_corners_are_found_and_a_circle_has_none(covered):
    (line,) = contours(covered([(20, 20), (100, 20), (100, 100), (20, 100)]))
    found = line[corners(line)]
    assert sorted(map(tuple, found.round(-1))) == [(20, 20), (20, 100), (100, 20), (100, 100)]
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    (circle,) = contours(covered(list(zip(64 + 30 * np.cos(turn), 64 + 30 * np.sin(turn), strict=True))))
    assert len(corners(circle)) == 0
