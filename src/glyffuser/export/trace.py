"""From a grey picture to closed lines of points, the sub-pixel contour at half ink, and to the corners of those lines.

Lengths are in pixels of a picture 128 pixels wide, whatever the size of the picture itself. Contours are traced from
the greys, never from a threshold of them: the grey of an edge says where in its pixel the edge lies.
"""

import numpy as np
from contourpy import contour_generator
from PIL import Image

SIDE = 128  # pixels in which every picture is measured
FINE = 512  # pixels to which a picture is enlarged before its contours are taken
STEP = 0.25  # pixels between the points of a contour
SPECK, PINHOLE = 4.0, 2.0  # square pixels: smaller specks of ink, and smaller holes in it, are dropped
REACH = 6  # points on either side by which a corner is judged, 1.5 pixels: beyond what blur rounds off
CORNER = np.deg2rad(30)  # the least turn that is a corner
SHALLOW, SPREAD = np.deg2rad(20), 1.35  # a lesser turn counts too, if over twice the reach it grows by SPREAD at most


def contours(picture: np.ndarray) -> list[np.ndarray]:
    """The contours of a square picture at half ink, each (n, 2), x to the right and y down, STEP apart, closed.

    `picture`: floats (H, H) in [0, 1], ink 0, paper 1. Seen on the page, contours run counter-clockwise around ink and
    clockwise around holes.
    """
    size = len(picture)
    edge = 2  # pixels of paper around it, so that every contour closes
    enlarged = max(1, round(FINE / size))
    soft = soften(np.pad(picture.astype(np.float32), edge, constant_values=1))
    fine = Image.fromarray(soft).resize((len(soft) * enlarged,) * 2, Image.Resampling.BICUBIC)
    found = contour_generator(z=np.asarray(fine)).lines(0.5)
    lines = [((np.asarray(line) + 0.5) / enlarged - edge) * (SIDE / size) for line in found]
    areas = np.array([area(line) for line in lines])
    if not len(areas):
        return []
    way = int(np.sign(areas[np.abs(areas).argmax()]))  # of the largest, which is ink
    kept = [line for line, size in zip(lines, way * areas, strict=True) if size > SPECK or size < -PINHOLE]
    return [even(line[::-way]) for line in kept]


def soften(picture: np.ndarray) -> np.ndarray:
    """The picture smoothed with the weights 1, 2, 1 along both axes.

    A pixel's grey is the mean over its square, which says too little to interpolate between pixels: a slanting edge
    would ripple. What this rounds off at corners is restored when edges are extended until they meet.
    """
    for axis in (0, 1):
        picture = (np.roll(picture, 1, axis) + 2 * picture + np.roll(picture, -1, axis)) / 4
    return picture


def area(line: np.ndarray) -> float:
    """The signed area within a closed line (n, 2)."""
    x, y = line.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def even(line: np.ndarray) -> np.ndarray:
    """A closed line (n, 2), its first point repeated at its end, as points about STEP apart, none repeated."""
    along = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0, along[-1], max(16, round(along[-1] / STEP)), endpoint=False)
    return np.stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])], axis=1)


def corners(line: np.ndarray) -> np.ndarray:
    """The places, ascending, of the corners of a closed line (n, 2): where it turns most, and by at least CORNER.

    A lesser turn is a corner too if all of it is in one place; a bend turns further the further one looks.
    """
    near, wide, far = (turns(line, reach) for reach in (REACH, 2 * REACH, 4 * REACH))
    sharp = (near >= CORNER) & (near == highest(near, REACH))
    shallow = (wide >= SHALLOW) & (wide == highest(wide, 2 * REACH)) & (far <= SPREAD * wide)
    return np.flatnonzero(sharp | (shallow & ~(highest(sharp, 2 * REACH))))


def highest(values: np.ndarray, reach: int) -> np.ndarray:
    """The highest of the values (n,) around a closed line within `reach` of each."""
    wrapped = np.concatenate([values[-reach:], values, values[:reach]])
    return np.lib.stride_tricks.sliding_window_view(wrapped, 2 * reach + 1).max(axis=1)


def turns(line: np.ndarray, reach: int) -> np.ndarray:
    """How far a closed line (n, 2) turns at each point, in radians, judged by `reach` points on either side."""
    before, after = line - np.roll(line, reach, axis=0), np.roll(line, -reach, axis=0) - line
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    return np.abs(np.arctan2(cross, (before * after).sum(axis=1)))
