"""Novelty: does a glyph already exist, and as which character?

A glyph is compared with every encoded ideograph of the font that the model learnt from, whether or not the model learnt
it: some 30,000, two thirds of which have a definition. The measure is the partial Hausdorff distance (Huttenlocher,
Klanderman and Rucklidge 1993): the greatest distance of one glyph's ink from the other's, leaving out the farthest half
per cent, in both directions, and the least of these over small shifts. Unlike an overlap of ink, it does not depend on
how bold strokes are, and one stroke too many or too few tells characters apart.

The pictures of all ideographs come with the package, one bit per pixel, so that `sample` can tell what exists offline
and without a font: compressed, they take 5.5 MiB, less than a third of the font. Features alone would take half of
that, but the distance needs the pictures, and with fewer pixels it would err by as much as redrawn characters differ.
"""

import io
import lzma
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor
from torch.nn.functional import interpolate

from glyffuser.base.errors import DAMAGED, UserError
from glyffuser.base.files import unpacked, write_bytes
from glyffuser.data.dataset import GlyphData
from glyffuser.data.fonts import FontFace, Rasteriser, ideographs
from glyffuser.judge.recogniser import grey_pictures

BUNDLED_IDEOGRAPHS = Path(__file__).parent / "weights" / "ideographs.xz"
LARGEST = 2**28  # bytes of the table, unpacked
SIZE = 128  # pixels, the unit of distances; pictures of other sizes are resized
EXISTS = 4.0  # pixels: a glyph no farther than this from a character is that character
FARTHEST = 0.005  # share of a glyph's ink that may lie farther
SHIFT = 3  # pixels by which a glyph may be out of place, in each direction
REACH = 12  # pixels; distances beyond this are not told apart
CANDIDATES = 32  # ideographs that are measured exactly
BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)  # set in each byte
CELL = 8  # width in pixels of a cell of the sketches, by which candidates are found
BLOCK = 256  # pictures sketched at a time: few enough for a core's cache (benchmarks/pairs.py)


class Match(NamedTuple):
    """The ideograph nearest to a glyph, its row in the table, and its distance in pixels, 0 ... REACH."""

    char: str
    row: int
    distance: float

    @property
    def exists(self) -> bool:
        """Whether the glyph is that character."""
        return self.distance <= EXISTS


@dataclass(frozen=True)
class Ideographs:
    """Pictures of the ideographs of one font.

    codepoints: uint32 (N,); packed: their ink, uint8 (N, SIZE, SIZE / 8), one bit per pixel; sketches: unit vectors,
    float32 (N, D); font: its name.
    """

    codepoints: np.ndarray
    packed: np.ndarray
    sketches: np.ndarray
    font: str

    def __len__(self) -> int:
        return len(self.codepoints)

    def ink(self, rows: np.ndarray) -> np.ndarray:
        """Where there is ink, bool (n, SIZE, SIZE)."""
        return np.unpackbits(self.packed[rows], axis=-1).astype(bool)

    def candidates(self, ink: np.ndarray, count: int = CANDIDATES) -> np.ndarray:
        """The rows (n, count) whose sketches are most like those of glyphs (n, SIZE, SIZE), shifted or not."""
        likeness = np.full((len(ink), len(self)), -1, np.float32)
        for dy in (-SHIFT, 0, SHIFT):
            for dx in (-SHIFT, 0, SHIFT):
                moved = np.packbits(np.roll(ink, (dy, dx), axis=(1, 2)), axis=-1)
                np.maximum(likeness, sketch(moved) @ self.sketches.T, out=likeness)
        return np.argsort(-likeness, axis=1, kind="stable")[:, :count]

    def nearest(self, images: np.ndarray | Tensor, skip: Sequence[int] | None = None) -> list[Match]:
        """The ideograph nearest to each picture, uint8 (N, H, H), ink 0; `skip`: for each, a code point to leave out.

        UserError for pictures in any other form.
        """
        matches = []
        for begin in range(0, len(images), 16):
            ink = inked(images[begin : begin + 16])
            for i, rows in enumerate(self.candidates(ink)):
                if skip is not None:
                    rows = rows[self.codepoints[rows] != skip[begin + i]]
                matches.append(self._closest(ink[i], rows))
        return matches

    def _closest(self, ink: np.ndarray, rows: np.ndarray) -> Match:
        """The nearest of the candidates.

        A shift changes a distance by no more than its own length, and the greater of the two directions is no less than
        either: so a distance measured at one place, or in one direction, shows which others need not be measured.
        """
        best, found = float(REACH), int(rows[0])
        rows = np.sort(rows)  # of several drawn alike, the first in the table is named
        if ink.any():
            glyph, others = Shape(ink), [Shape(other) for other in self.ink(rows)]
            least = [partial(glyph.map, other.ink, HOME)[0] for other in others]
            for i in np.argsort(least, kind="stable"):
                if least[i] - math.hypot(SHIFT, SHIFT) >= best:
                    break
                rough = distances(glyph, others[i], SOME)
                if rough.min() - math.sqrt(2) < best:
                    exact = float(distances(glyph, others[i], ALL).min())
                    if exact < best:
                        best, found = exact, int(rows[i])
        return Match(chr(self.codepoints[found]), found, best)


SIDE = SIZE + 2 * SHIFT  # pixels of a picture with room to shift


def shifts(step: int) -> np.ndarray:
    """Shifts by at most SHIFT pixels in each direction, as offsets into a flattened picture SIDE pixels wide."""
    along = np.arange(-(SHIFT // step) * step, SHIFT + 1, step)
    return (along[:, None] * SIDE + along).ravel()


ALL, SOME, HOME = shifts(1), shifts(2), np.array([0])  # each of ALL is at most a diagonal step from one of SOME


class Shape:
    """A glyph as the places (n,) of its ink in a flattened picture SIDE pixels wide, and as a map of distances."""

    def __init__(self, ink: np.ndarray):
        self.picture = np.pad(ink, SHIFT)
        self.ink = np.flatnonzero(self.picture)

    @cached_property
    def map(self) -> np.ndarray:
        """`squared_distances` of the picture, (SIDE * SIDE,)."""
        return squared_distances(self.picture).ravel()


def squared_distances(picture: np.ndarray) -> np.ndarray:
    """Squared distances to the nearest True in (H, W), uint8: exact up to REACH^2, beyond that REACH^2 + 1.

    First along columns; then, along each row, the least of these plus the squared distance along the row (as in
    Felzenszwalb and Huttenlocher 2012), by plain shifts, since REACH is short.
    """
    result = np.where(picture, 0, REACH**2 + 1).astype(np.uint16)
    for axis in (0, 1):
        source = np.moveaxis(result.copy(), axis, 0)
        target = np.moveaxis(result, axis, 0)
        for by in range(1, REACH + 1):
            np.minimum(target[by:], source[:-by] + by**2, out=target[by:])
            np.minimum(target[:-by], source[by:] + by**2, out=target[:-by])
    return result.astype(np.uint8)


def partial(squared: np.ndarray, ink: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """How far ink (n,) lies from the glyph whose map is `squared`, its farthest part left out, for each shift (s,)."""
    kept = math.ceil((1 - FARTHEST) * len(ink)) - 1
    return np.sqrt(np.sort(squared[ink + moved[:, None]], axis=1, kind="stable")[:, kept].astype(np.float32))


def distances(a: Shape, b: Shape, moved: np.ndarray) -> np.ndarray:
    """Partial Hausdorff distances (s,) between b and a shifted by each of `moved` (s,)."""
    return np.maximum(partial(b.map, a.ink, moved), partial(a.map, b.ink, -moved))


def inked(images: np.ndarray | Tensor) -> np.ndarray:
    """Where pictures, uint8 (n, H, H), ink 0, have ink once resized to SIZE pixels: bool (n, SIZE, SIZE)."""
    pictures = grey_pictures(images)[:, None].float()
    if pictures.shape[-1] != SIZE:
        pictures = interpolate(pictures, size=(SIZE, SIZE), mode="bilinear", antialias=True)
    return (pictures[:, 0] < 128).numpy()


def sketch(packed: np.ndarray) -> np.ndarray:
    """Packed ink (n, SIZE, SIZE / 8) as unit vectors: the ink in each cell and its neighbours, minus the mean."""
    n, cells = len(packed), SIZE // CELL
    counts = BITS[packed].reshape(n, cells, CELL, cells).sum(axis=2, dtype=np.uint8)  # at most 64
    padded = np.pad(counts.astype(np.float32), ((0, 0), (1, 1), (1, 1)))
    soft = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    flat = (soft[:, :, :-2] + 2 * soft[:, :, 1:-1] + soft[:, :, 2:]).reshape(n, -1)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)


def build_ideographs(codepoints: np.ndarray, images: np.ndarray, font: str) -> Ideographs:
    """The table of characters given as pictures, uint8 (N, H, H); blank ones are left out."""
    packed = np.concatenate([np.packbits(inked(images[i : i + 1024]), axis=-1) for i in range(0, len(images), 1024)])
    return _table(codepoints, packed, font)


def known_ideographs(*splits: GlyphData) -> Ideographs:
    """What exists in the font of a data set: the bundled table, or, for another font, the data set's own characters."""
    bundled, fonts = load_ideographs(), {font for split in splits for font in split.fonts}
    if fonts == {bundled.font}:
        return bundled
    codepoints = np.concatenate([split.codepoints for split in splits])
    return build_ideographs(codepoints, np.concatenate([split.images for split in splits]), ", ".join(sorted(fonts)))


def draw_ideographs(face: FontFace, progress: Callable[[int, int], None]) -> Ideographs:
    """The table of all ideographs that a font has. `progress(done, total)` counts them."""
    draw, codepoints = Rasteriser(face, SIZE), ideographs(face)
    packed = np.empty((len(codepoints), SIZE, SIZE // 8), np.uint8)
    for i, codepoint in enumerate(codepoints):
        packed[i] = np.packbits(draw.render(chr(codepoint)) < 128, axis=-1)
        progress(i + 1, len(codepoints))
    return _table(np.array(codepoints), packed, face.name)


def _table(codepoints: np.ndarray, packed: np.ndarray, font: str) -> Ideographs:
    seen = packed.any(axis=(1, 2))
    packed = packed[seen]
    sketches = [sketch(packed[first : first + BLOCK]) for first in range(0, max(1, len(packed)), BLOCK)]
    return Ideographs(codepoints[seen].astype(np.uint32), packed, np.concatenate(sketches), font)


def save_ideographs(table: Ideographs, path: Path) -> None:
    """Write a table, compressed; the same table gives the same bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, codepoints=table.codepoints, packed=table.packed, font=np.array(table.font))
    write_bytes(path, lzma.compress(buffer.getvalue(), preset=9))


@lru_cache(maxsize=1)
def load_ideographs(path: str | Path = BUNDLED_IDEOGRAPHS) -> Ideographs:
    """The table that `save_ideographs` wrote; default: the bundled one. UserError if it is missing or damaged."""
    try:
        with np.load(io.BytesIO(unpacked(Path(path), LARGEST)), allow_pickle=False) as found:
            return _table(found["codepoints"], found["packed"], str(found["font"]))
    except DAMAGED as error:
        raise UserError(
            f"cannot read the table of ideographs {path}: {getattr(error, 'strerror', None) or error}; "
            "write it again with `glyffuser dataset ideographs`"
        ) from error
