"""Where in a picture a part of a character stands.

No font says which strokes belong to which part. But characters that share a part in one place differ everywhere
else: where their pictures agree on ink is the part, and where they do not is what stands beside it.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from glyffuser.data.components import Part, operator, parts, standing
from glyffuser.data.fonts import Rasteriser

FEWEST = 8  # characters that must share a part before one can tell where it stands
MOST = 64  # characters that are compared
NEAR, FAR = 0.02, 0.03  # shares of a picture's side: within the first, strokes count as in the same place
DOUBT = 6.0  # the larger, the less a part's own strokes may move from character to character
CROSSING, TURNING = 4.0, 0.5  # cost of a path's pixel of ink or move aside, where a pixel on its wrong side costs 1
HALF = 0.35, 0.65  # where a picture without parts may be cut, as shares of its side
OPPOSITE = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}


class Standing(NamedTuple):
    """A part in its place: a character that has it there, its picture uint8 (H, H), and where the part is (H, H)."""

    char: str
    picture: np.ndarray
    kept: np.ndarray


def typical(rasteriser: Rasteriser, part: Part) -> Standing | None:
    """Of the characters that have a part in its place, the one in which it looks most typical.

    None where fewer than FEWEST characters of the font have it there.
    """
    shared = _shared(rasteriser, part)
    if shared is None:
        return None
    off = np.abs(shared.ink - np.median(shared.ink, axis=0)) * (shared.agreed > shared.apart)
    best = int(off.sum(axis=(1, 2)).argmin())
    char = shared.chars[best]
    return Standing(char, rasteriser.render(char), _kept(shared, part.side, shared.ink[best]))


def side_of(rasteriser: Rasteriser | None, char: str, picture: np.ndarray, side: str) -> np.ndarray:
    """The left, right, top or bottom side of a picture uint8 (H, H): bool (H, H), True there.

    A character is divided between its parts, if enough others share one of them; any other picture (char "") along
    the straight line near its middle that crosses the least ink.
    """
    if rasteriser is not None:
        for part in parts(char):
            if part.side in (side, OPPOSITE[side]) and (shared := _shared(rasteriser, part)) is not None:
                kept = _kept(shared, part.side, 1 - picture / 255)
                return kept if part.side == side else ~kept
    upright = side in ("left", "right")
    ink = (255.0 - picture).sum(axis=0 if upright else 1)
    size = len(ink)
    first, last = (round(share * size) for share in HALF)
    places = np.arange(first, last)
    cut = places[np.lexsort((np.abs(places - size / 2), ink[first:last]))[0]]
    before = np.arange(size) < cut
    chosen = before if side in ("left", "top") else ~before
    return np.broadcast_to(chosen if upright else chosen[:, None], picture.shape).copy()


class _Shared(NamedTuple):
    """Characters with a part in a place, in one operator; their ink in [0, 1] (N, H, H); where they agree on ink, and
    where they do not, smoothed (H, H).
    """

    operator: str
    chars: Sequence[str]
    ink: np.ndarray
    agreed: np.ndarray
    apart: np.ndarray


@lru_cache(maxsize=32)
def _shared(rasteriser: Rasteriser, part: Part) -> _Shared | None:
    """What is known of a part in a place; None where fewer than FEWEST characters of the font have it there."""
    chars = [char for char in standing().get(part, []) if ord(char) in rasteriser.face.covered]
    if len(chars) < FEWEST:
        return None
    chars = chars[:: -(-len(chars) // MOST)]
    ink = np.stack([1 - rasteriser.render(char) / 255 for char in chars])
    soft = np.stack([_smooth(picture, NEAR) for picture in ink])
    mean = soft.mean(axis=0)
    sure = mean**2 / (mean**2 + DOUBT * soft.var(axis=0) + 1e-6)
    return _Shared(operator(chars[0]), chars, ink, mean * sure, mean * (1 - sure))


def _kept(shared: _Shared, side: str, ink: np.ndarray) -> np.ndarray:
    """Where the part is in a picture of one of the characters, whose ink is given in [0, 1]: bool (H, H)."""
    if shared.operator not in "⿰⿱⿲⿳" or side not in OPPOSITE:
        return _smooth(shared.agreed, FAR) > _smooth(shared.apart, FAR)
    turn = {
        "left": lambda a: a,
        "right": lambda a: a[:, ::-1],
        "top": lambda a: a.T,
        "bottom": lambda a: a[::-1].T,
    }[side]
    before = _seam(turn(shared.agreed), turn(shared.apart), turn(ink))
    return before.T[::-1] if side == "bottom" else turn(before)


def _seam(agreed: np.ndarray, apart: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """The part of a picture (H, H) to the left of the best path from top to bottom, bool (H, H).

    The path moves at most one column per row (Avidan and Shamir 2007, section 3). Its cost is what is apart on its
    left, what agrees on its right, the ink that it crosses, and its moves aside.
    """
    wrong = np.cumsum(apart, axis=1) - apart + (agreed.sum(axis=1, keepdims=True) - np.cumsum(agreed, axis=1) + agreed)
    cost = wrong + CROSSING * ink
    total, moves = cost[0], []
    for row in cost[1:]:
        ways = np.stack([np.pad(total, (1, 1), constant_values=np.inf)[i : i + len(row)] for i in range(3)])
        ways[[0, 2]] += TURNING
        moves.append(ways.argmin(axis=0) - 1)
        total = row + ways.min(axis=0)
    path = [int(total.argmin())]
    for move in reversed(moves):
        path.append(path[-1] + int(move[path[-1]]))
    return np.arange(len(ink)) < np.array(path[::-1])[:, None]


def _smooth(values: np.ndarray, reach: float) -> np.ndarray:
    """Values in [0, 1] (H, H), smoothed over a share of the side, in [0, 1]."""
    picture = Image.fromarray((255 * values).round().astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(reach * len(values))), dtype=np.float32) / 255
