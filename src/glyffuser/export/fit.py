"""Curves through points: cubic Béziers by least squares, split where one does not suffice (Schneider 1990).

Philip J. Schneider, "An Algorithm for Automatically Fitting Digitized Curves", Graphics Gems, 1990. Two things differ:
where an end is a corner, its direction is fitted too; and of several places to split at, the one with the least error
is taken. Points of the plane are complex numbers here, x + iy, which keeps the code short.
"""

import numpy as np

TOLERANCE = 0.2  # pixels by which points may lie off a curve
ROUNDS = 3  # of Newton's method on the parameters of the points
HOPELESS = 5.0  # times the tolerance: an error that no other parameters will mend
MOST = 32  # most points to fit one curve to; more would add nothing
FEWEST = 8  # points; with fewer, a curve is not split
HANDLES = (0.02, 2.0)  # shortest and longest handle, in lengths of the chord; outside, a third is taken instead
FREE = np.array([1, 1j])  # the directions of a handle that may point anywhere


def fit(points: np.ndarray, start: complex, end: complex, leave: complex = 0, arrive: complex = 0) -> list[np.ndarray]:
    """Cubics from `start` to `end` within TOLERANCE of the points, complex (n,), unless these are too few to split.

    `leave` and `arrive` are unit vectors of the directions at the ends; 0 lets the points decide. Each cubic is
    complex (3,): its two control points and its end.
    """
    cubic, worst, far = one(points, start, end, leave, arrive)
    if worst <= TOLERANCE or len(points) < FEWEST:
        return [cubic[1:]]
    splits = []
    for i in sorted({len(points) // 2, min(max(far, 3), len(points) - 4)}):
        across = points[min(i + 4, len(points) - 1)] - points[max(i - 4, 0)]
        way = across / max(abs(across), 1e-9)
        halves = (points[:i], start, points[i], leave, way), (points[i + 1 :], points[i], end, way, arrive)
        splits.append((max(one(*half)[1] for half in halves), i, halves))
    return [curve for half in min(splits)[2] for curve in fit(*half)]


def one(
    points: np.ndarray, start: complex, end: complex, leave: complex, arrive: complex
) -> tuple[np.ndarray, float, int]:
    """The best single cubic, complex (4,), the greatest distance of a point from it, and the place of that point."""
    kept = np.linspace(0, len(points) - 1, min(MOST, len(points))).round().astype(int)
    data = np.concatenate([[start], points[kept], [end]])
    along = np.abs(np.diff(data)).cumsum()
    t = np.concatenate([[0], along / along[-1]])
    for turn in range(ROUNDS + 1):
        weights = bernstein(t)
        cubic = least_squares(data, weights, leave, arrive)
        off = weights @ cubic - data
        far = np.abs(off[1:-1])
        worst = float(far.max())
        if turn == ROUNDS or worst <= TOLERANCE / 2 or (turn and worst > HOPELESS * TOLERANCE):
            break
        t = newton(cubic, t, off)
    return cubic, worst, int(kept[far.argmax()])


def bernstein(t: np.ndarray) -> np.ndarray:
    """The weights (n, 4) of a cubic's points at parameters (n,)."""
    weights, s = np.empty((len(t), 4)), 1 - t
    weights[:, 0], weights[:, 1], weights[:, 2], weights[:, 3] = s**3, 3 * s * s * t, 3 * s * t * t, t**3
    return weights


def newton(cubic: np.ndarray, t: np.ndarray, off: np.ndarray) -> np.ndarray:
    """Parameters one step closer to those of the points nearest to the data (Schneider 1990, `NewtonRaphsonRootFind`).

    `off`, complex (n,), is the curve at `t` minus the data.
    """
    s, first = 1 - t, 3 * (cubic[1:] - cubic[:-1])
    second = 2 * (first[1:] - first[:-1])
    speed = s * s * first[0] + 2 * s * t * first[1] + t * t * first[2]
    bend = s * second[0] + t * second[1]
    below = (speed * speed.conj() + off * bend.conj()).real
    moved = np.clip(t - (off * speed.conj()).real / np.where(np.abs(below) < 1e-9, np.inf, below), 0, 1)
    moved[0], moved[-1] = 0, 1
    return np.maximum.accumulate(moved)


def least_squares(data: np.ndarray, weights: np.ndarray, leave: complex, arrive: complex) -> np.ndarray:
    """The cubic, complex (4,), from the first to the last of the data that fits them best; `weights`: see `bernstein`.

    A handle has one unknown, its length, if its direction is given, and two if it is not.
    """
    first, last = data[0], data[-1]
    rest = data - (weights[:, 0] + weights[:, 1]) * first - (weights[:, 2] + weights[:, 3]) * last
    ways = [np.array([way]) if way else FREE for way in (leave, -arrive)]
    columns = np.concatenate([weights[:, 1, None] * ways[0], weights[:, 2, None] * ways[1]], axis=1)
    turned = columns.conj().T
    square = (turned @ columns).real
    square.flat[:: len(square) + 1] += 1e-9  # for points that all but coincide
    lengths = np.linalg.solve(square, (turned @ rest).real)
    size, cut = abs(last - first), len(ways[0])
    cubic = np.array([first, first + ways[0] @ lengths[:cut], last + ways[1] @ lengths[cut:], last])
    low, high = HANDLES[0] * size, HANDLES[1] * size
    if leave and not low < lengths[0] < high:
        cubic[1] = first + leave * size / 3
    if arrive and not low < lengths[-1] < high:
        cubic[2] = last - arrive * size / 3
    return cubic
