"""Curves through points, against curves that are known."""

from itertools import pairwise

import numpy as np
import pytest

from glyffuser.export.fit import TOLERANCE, bernstein, fit, one

ARC = np.array([10 + 10j, 20 + 25j, 35 + 38j, 55 + 45j])


def test_weights_are_those_of_a_cubic():
    t = np.linspace(0, 1, 9)
    weights = bernstein(t)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    # de Casteljau's construction, an independent way to find a point of the curve
    points = np.broadcast_to(ARC, (9, 4))
    while points.shape[1] > 1:
        points = (1 - t[:, None]) * points[:, :-1] + t[:, None] * points[:, 1:]
    np.testing.assert_allclose(weights @ ARC, points[:, 0])


@pytest.mark.parametrize("known", [False, True])
def test_points_of_one_cubic_give_that_curve_back(known):
    points = bernstein(np.linspace(0, 1, 60)) @ ARC
    leave, arrive = (ARC[1] - ARC[0], ARC[3] - ARC[2]) if known else (0, 0)
    ways = [way / abs(way) if way else 0 for way in (leave, arrive)]
    (curve,) = fit(points[1:-1], ARC[0], ARC[3], *ways)
    found = bernstein(np.linspace(0, 1, 400)) @ np.concatenate([ARC[:1], curve])
    assert np.abs(points[:, None] - found).min(axis=1).max() < TOLERANCE / 2


def test_a_wave_takes_several_curves_that_join_smoothly():
    x = np.linspace(0, 60, 400)
    points = x + 8j * np.sin(x / 4)
    curves = fit(points[1:-1], points[0], points[-1])
    assert 3 <= len(curves) <= 12
    starts = [points[0], *(curve[2] for curve in curves)]
    found = np.concatenate(
        [bernstein(np.linspace(0, 1, 200)) @ [start, *curve] for start, curve in zip(starts, curves, strict=False)]
    )
    assert np.abs(points[:, None] - found).min(axis=1).max() <= 1.1 * TOLERANCE
    for before, after in pairwise(curves):
        turn = np.angle((after[0] - before[2]) / (before[2] - before[1]))
        assert abs(turn) < 1e-6


def test_a_given_direction_is_kept():
    points = bernstein(np.linspace(0, 1, 60)) @ ARC
    cubic, worst, _ = one(points[1:-1], ARC[0], ARC[3], 1j, 0)
    assert abs((cubic[1] - cubic[0]).real) < 1e-9
    assert worst > 0
