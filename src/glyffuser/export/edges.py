"""From a closed line of points to edges, straight (some of them upright) and curved, and to where they meet.

The strokes of a CJK typeface are mostly straight. Edges are found between corners; an edge that is straight becomes a
line, one that is nearly upright becomes exactly so, and edges of one line are moved onto it. Neighbours are extended
until they meet, which restores the corners that pixels round off.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from glyffuser.export.fit import TOLERANCE, fit, one
from glyffuser.export.trace import REACH, STEP, corners

ROUNDED = 1.25  # pixels beside a corner where the contour is rounded and says nothing about the edge
STRAIGHT = 0.2  # pixels by which the points of a straight edge may lie off it
UPRIGHT = 0.3  # the same for an upright edge, as most straight strokes have
SLIP, LEANING = 0.5, np.sin(np.deg2rad(8))  # pixels and slope by which an upright edge may lean
STEM, FLAT = 5.0, 0.1  # an edge that bends has an upright end if it is upright for STEM pixels, to within FLAT
NEED = round(STEM / STEP)  # fewest points of a stem
FEW = 3  # fewest points of a bend
SHARED = 0.4  # most pixels between upright edges that belong on one line
FAR = 2.0  # most pixels from a rounded corner to the sharp one
PARALLEL = 0.2  # sine of an angle below which lines meet in no definite place
SHORTENED = (4, 12, 24)  # points by which a straight end may be shortened so that the bend after it fits one curve


NOWHERE = np.zeros(2)  # place and way of an edge that is not straight


@dataclass(frozen=True)
class Edge:
    """A part of a contour. points: (n, 2), without its rounded ends; a straight edge goes through `place` along the
    unit vector `way`, upright if `axis` is 0 (along x) or 1 (along y); `smooth`: whether it begins without a corner.
    """

    points: np.ndarray
    place: np.ndarray = field(default_factory=lambda: NOWHERE)
    way: np.ndarray = field(default_factory=lambda: NOWHERE)
    axis: int | None = None
    smooth: bool = False

    @property
    def straight(self) -> bool:
        """Whether it is a line."""
        return bool(self.way.any())

    def backwards(self) -> "Edge":
        """The same edge, traversed from its end."""
        return replace(self, points=self.points[::-1], way=-self.way)

    def nearest(self, point: np.ndarray) -> np.ndarray:
        """The point of a straight edge's line nearest to `point`."""
        return self.place + ((point - self.place) @ self.way) * self.way

    def last_line(self) -> tuple[np.ndarray, np.ndarray]:
        """A point and a unit vector of the line along which it ends."""
        if self.straight:
            return self.place, self.way
        span = self.points[-1] - self.points[-min(REACH, len(self.points))]
        return self.points[-1], span / max(float(np.hypot(*span)), 1e-9)


def edges(line: np.ndarray) -> tuple[list[Edge], list[np.ndarray]]:
    """The edges of a closed line (n, 2), in order, and the point of the line where each begins."""
    cuts = corners(line)
    cornerless = len(cuts) == 0
    if cornerless:  # cut it where it is leftmost and rightmost, and upright
        cuts = np.sort([line[:, 0].argmin(), line[:, 0].argmax()])
    line = np.roll(line, -cuts[0], axis=0)
    closed = np.concatenate([line, line[:1]])
    ends = [*(cuts - cuts[0]), len(line)]
    found: list[Edge] = []
    tips: list[np.ndarray] = []
    for begin, end in pairwise(ends):
        part = closed[begin : end + 1]
        new = [Edge(part[1:-1], smooth=True)] if cornerless else between_corners(part)
        found += new
        tips += [part[0], *(edge.points[0] for edge in new[1:])]
    return found, tips


def between_corners(part: np.ndarray) -> list[Edge]:
    """The edges of a part (n, 2) of a contour from one corner to the next: a line, or a bend with or without stems.

    Where a stem ends and the bend begins is hard to tell: stems are shortened if one curve then suffices for the bend.
    """
    cut = max(0, min(round(ROUNDED / STEP), (len(part) - 4) // 3))
    points = part[cut : len(part) - cut]
    if (whole := upright(points)) is not None or (whole := slanting(points)) is not None:
        return [whole]
    head, tail = stem(points), stem(points[::-1])
    for shorter in SHORTENED:
        begin = 0 if head is None else max(NEED - 1, len(head.points) - shorter)
        end = 0 if tail is None else max(NEED - 1, len(tail.points) - shorter)
        if len(points) - begin - end < FEW:
            tail, end = None, 0
        bend = points[begin : len(points) - end]
        leave, arrive = (0 if head is None else flat(head.way)), (0 if tail is None else -flat(tail.way))
        at = flat(bend)
        if one(at[1:-1], at[0], at[-1], leave, arrive)[1] <= TOLERANCE:
            break
    found = [Edge(bend, smooth=head is not None)]
    if head is not None:
        found.insert(0, replace(head, points=points[: begin + 1]))
    if tail is not None:
        found.append(replace(tail.backwards(), points=points[len(points) - end - 1 :], smooth=True))
    return found


def upright(points: np.ndarray) -> Edge | None:
    """The points (n, 2) as an edge along an axis, if they are near enough to one."""
    span = points[-1] - points[0]
    axis = int(np.abs(span).argmax())
    across, length = points[:, 1 - axis], abs(span[axis])
    place = np.median(points, axis=0)
    if np.abs(across - place[1 - axis]).max() > UPRIGHT or abs(span[1 - axis]) > min(SLIP, LEANING * length):
        return None
    place[1 - axis] = across.mean()
    return Edge(points, place, along(axis, span), axis)


def slanting(points: np.ndarray) -> Edge | None:
    """The points (n, 2) as a straight edge in any direction, by total least squares, if they are near enough to one."""
    place = points.mean(axis=0)
    off = points - place
    (xx, xy), (_, yy) = off.T @ off
    angle = np.arctan2(2 * xy, xx - yy) / 2
    way = np.array([np.cos(angle), np.sin(angle)])
    if np.abs(off @ [-way[1], way[0]]).max() > STRAIGHT:
        return None
    return Edge(points, place, way if way @ (points[-1] - points[0]) >= 0 else -way)


def stem(points: np.ndarray) -> Edge | None:
    """The upright straight edge at the beginning of points (n, 2), if there is one."""
    if len(points) < NEED:
        return None
    axis = int(np.abs(points[NEED - 1] - points[0]).argmax())
    across = points[:, 1 - axis]
    off = np.abs(across - np.median(across[:NEED])) > FLAT
    count = int(off.argmax()) if off.any() else len(points)
    if count < NEED:
        return None
    kept = points[:count]
    return Edge(kept, kept.mean(axis=0), along(axis, kept[-1] - kept[0]), axis)


def along(axis: int, span: np.ndarray) -> np.ndarray:
    """The unit vector along an axis in the direction of `span`."""
    return np.eye(2)[axis] * (1.0 if span[axis] >= 0 else -1.0)


def share(groups: Sequence[list[Edge]]) -> list[list[Edge]]:
    """The contours' edges; upright ones nearly on one line, ink on the same side, are moved exactly onto it."""
    lines = sorted(
        (edge.axis, edge.way[edge.axis], edge.place[1 - edge.axis], g, i)
        for g, group in enumerate(groups)
        for i, edge in enumerate(group)
        if edge.axis is not None
    )
    moved = [list(group) for group in groups]
    while lines:
        axis, way, first, *_ = lines[0]
        count = sum(1 for line in lines if line[:2] == (axis, way) and line[2] <= first + SHARED)
        cluster, lines = lines[:count], lines[count:]
        weights = [len(groups[g][i].points) for *_, g, i in cluster]
        common = np.average([line[2] for line in cluster], weights=weights)
        for *_, g, i in cluster:
            place = groups[g][i].place.copy()
            place[1 - axis] = common
            moved[g][i] = replace(groups[g][i], place=place)
    return moved


def joined(found: Sequence[Edge], tips: Sequence[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """One contour: where it starts, and its segments, each (1, 2), a line to a point, or (3, 2), a cubic."""
    count = len(found)
    knots = [knot(found[i - 1], found[i], tips[i]) for i in range(count)]
    segments: list[np.ndarray] = []
    for i, edge in enumerate(found):
        before, after = found[i - 1], found[(i + 1) % count]
        start, end = knots[i], knots[(i + 1) % count]
        if edge.straight:
            segments.append(end[None])
            continue
        leave = flat(direction(before, edge.points[:4])) if edge.smooth else 0
        arrive = flat(direction(after, edge.points[-4:])) if after.smooth else 0
        curves = fit(flat(edge.points), flat(start), flat(end), leave, arrive)
        segments += [np.stack([curve.real, curve.imag], axis=1) for curve in curves]
    return knots[0], segments


def flat(points: np.ndarray) -> Any:
    """Points (..., 2) as complex numbers (...)."""
    return points[..., 0] + 1j * points[..., 1]


def direction(neighbour: Edge, points: np.ndarray) -> np.ndarray:
    """The way of a bend at a smooth end: that of the straight edge there or, where a round contour was cut, along y."""
    return neighbour.way if neighbour.straight else along(1, points[-1] - points[0])


def knot(before: Edge, after: Edge, tip: np.ndarray) -> np.ndarray:
    """Where two edges meet near `tip`: if they do not run smoothly into each other, where their lines intersect."""
    if after.smooth:
        straight, end = (before, before.points[-1]) if before.straight else (after, after.points[0])
        return straight.nearest(end) if straight.straight else tip
    (p, u), (q, v) = before.last_line(), after.backwards().last_line()
    cross = u[0] * v[1] - u[1] * v[0]
    if abs(cross) > PARALLEL:
        gap = q - p
        met = p + (gap[0] * v[1] - gap[1] * v[0]) / cross * u
        if np.hypot(*(met - tip)) < FAR:
            return met
    return next((edge.nearest(tip) for edge in (before, after) if edge.straight), tip)
