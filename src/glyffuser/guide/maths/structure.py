"""How a glyph is composed, measured from its picture, since Unihan does not say.

A cut is a line through the glyph, from edge to edge, that may bend but crosses hardly any ink and leaves a good part of
the glyph on either side; it is found as the cheapest path, as in seam carving (Avidan and Shamir 2007). A cut from top
to bottom means that one component stands beside another, a cut from left to right that one stands above another, and
straight strokes along three sides that one component surrounds another. Parts that touch or interlock count as one
piece. So these are visible shapes, not the etymologies that dictionaries list.
"""

import numpy as np

STRUCTURES = ("one piece", "side by side", "one above another", "surrounding")
_SIDE = 64  # pixels at which pictures are measured
_BEND = 0.02  # cost of a step sideways, in pixels of full ink
_CUT = 0.5  # the most ink that a cut may cross, in pixels, bends included
_SHARE = 0.12  # of the ink: the least that a cut leaves on either side
_BAND = 0.14  # how close to a side of the ink's box a surrounding stroke runs
_LONG = (0.8, 0.7)  # how much of that side it must cover: left and right, top and bottom
BLOCK = 1024


def structures(images: np.ndarray) -> np.ndarray:
    """An index into STRUCTURES for each picture uint8 (N, H, W), ink 0: int8 (N,)."""
    from glyffuser.guide.maths.map_layout import shrink

    found = np.zeros(len(images), np.int8)
    for first in range(0, len(images), BLOCK):
        ink = shrink(images[first : first + BLOCK], _SIDE).reshape(-1, _SIDE, _SIDE)
        beside, above = _cut(ink), _cut(ink.transpose(0, 2, 1))  # ink crossed by the best cut, each (B,)
        kind = np.where(beside <= above, 1, 2) * (np.minimum(beside, above) <= _CUT)
        kind[[_surrounded(one) for one in ink]] = 3
        found[first : first + BLOCK] = kind
    return found


def _cut(ink: np.ndarray) -> np.ndarray:
    """The cost of the cheapest path from top to bottom of (B, S, S) with enough ink on both sides; infinite if none."""
    left = np.concatenate([np.zeros_like(ink[:, :, :1]), ink.cumsum(axis=2)[:, :, :-1]], axis=2)  # ink left of a pixel
    cost, passed = ink[:, 0].copy(), left[:, 0].copy()  # (B, S)
    side = ink.shape[2]
    for y in range(1, ink.shape[1]):
        padded = np.pad(cost, ((0, 0), (1, 1)), constant_values=np.inf)
        ways = np.stack([padded[:, :-2] + _BEND, padded[:, 1:-1], padded[:, 2:] + _BEND])  # (3, B, S)
        choice = ways.argmin(axis=0)
        source = np.clip(np.arange(side) + choice - 1, 0, side - 1)
        cost = np.take_along_axis(ways, choice[None], axis=0)[0] + ink[:, y]
        passed = np.take_along_axis(passed, source, axis=1) + left[:, y]
    share = passed / np.maximum(ink.sum(axis=(1, 2)), 1e-6)[:, None]
    return np.where((share > _SHARE) & (share < 1 - _SHARE), cost, np.inf).min(axis=1)


def _surrounded(ink: np.ndarray) -> bool:
    """Whether straight strokes run along three sides or more of the ink's box (S, S)."""
    dark = ink > 0.4
    rows, columns = np.flatnonzero(dark.any(axis=1)), np.flatnonzero(dark.any(axis=0))
    if not len(rows):
        return False
    box = dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    y, x = (max(2, round(_BAND * n)) for n in box.shape)
    tall, wide = _LONG
    upright = [part.mean(axis=0).max() >= tall for part in (box[:, :x], box[:, -x:])]
    level = [part.mean(axis=1).max() >= wide for part in (box[:y], box[-y:])]
    return sum(upright) + sum(level) >= 3 and min(box.shape) > 0.4 * max(box.shape)
