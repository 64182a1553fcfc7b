"""Synthetic flaws: a real glyph in, a flawed one and the place of the flaw out.

They teach the plausibility network what can be wrong with a glyph, and measure whether it notices kinds it was not
taught. Each takes the ink of a glyph and of another one, float32 (H, W) in [0, 1], 1 = ink, and a numpy Generator, and
returns the flawed ink.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Flaw = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
CHANGED = 0.35  # of full ink: a pixel that changes by more belongs to the flaw


def erase(ink: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A piece of stroke is missing: a soft disc of paper, centred on ink."""
    y, x = inked_point(ink, rng)
    radius = rng.uniform(0.05, 0.1) * len(ink)
    return ink * (1 - disc(len(ink), y, x, radius))


def add(ink: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A stroke too many: a straight stroke, as bold as the glyph's own, somewhere in the em box."""
    size = len(ink)
    angle, length = rng.choice([0, 0.5, 0.25, -0.25]) * np.pi + rng.normal(0, 0.1), rng.uniform(0.15, 0.4) * size
    centre = rng.uniform(0.2, 0.8, 2) * size
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    return np.maximum(ink, line(size, centre - half, centre + half, stroke_width(ink)))


def cut(ink: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A broken junction: a narrow line of paper across strokes."""
    size = len(ink)
    y, x = inked_point(ink, rng)
    angle, half = rng.uniform(0, np.pi), rng.uniform(0.06, 0.12) * size
    step = half * np.array([np.cos(angle), np.sin(angle)])
    gap = line(size, np.array([x, y]) - step, np.array([x, y]) + step, rng.uniform(2.5, 5) * size / 128)
    return ink * (1 - gap)


def shift(ink: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One half has slipped along the cut, up or down or sideways, by a few pixels."""
    size = len(ink)
    where, by = int(rng.uniform(0.35, 0.65) * size), int(rng.integers(4, 11) * size / 128) * rng.choice([-1, 1])
    turned = ink.T if rng.random() < 0.5 else ink
    moved = turned.copy()
    moved[:, :where] = np.roll(turned[:, :where], by, axis=0)
    return moved.T if turned is not ink else moved


def overlay(ink: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Two characters on top of each other."""
    return np.maximum(ink, other)


def graft(ink: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A window of another character in place of the glyph's own, whatever it cuts through."""
    size = len(ink)
    height, width = (rng.uniform(0.25, 0.5, 2) * size).astype(int)
    y, x = rng.integers(0, size - height), rng.integers(0, size - width)
    result = ink.copy()
    result[y : y + height, x : x + width] = other[y : y + height, x : x + width]
    return result


def blur(ink: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, everywhere or in a spot."""
    radius = rng.uniform(1.5, 3.5) * len(ink) / 128
    soft = filtered(ink, ImageFilter.GaussianBlur(radius))
    if rng.random() < 0.5:
        return soft
    y, x = inked_point(ink, rng)
    spot = disc(len(ink), y, x, rng.uniform(0.12, 0.25) * len(ink))
    return ink + spot * (soft - ink)


def wobble(ink: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes that waver: a smooth random displacement of a few pixels with a short wavelength."""
    size = len(ink)
    cells, reach = int(rng.integers(8, 13)), rng.uniform(2, 4) * size / 128
    field = [
        np.asarray(Image.fromarray(rng.normal(0, reach, (cells, cells)).astype(np.float32)).resize((size, size), 3))
        for _ in range(2)
    ]
    rows, columns = np.mgrid[:size, :size].astype(np.float32)
    return sampled(ink, rows + field[0], columns + field[1])


def smudge(ink: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes run together into a blot, as where counters fill with ink."""
    y, x = inked_point(ink, rng)
    spot = disc(len(ink), y, x, rng.uniform(0.08, 0.16) * len(ink))
    bold = filtered(ink, ImageFilter.MaxFilter(2 * max(1, round(4 * len(ink) / 128)) + 1))
    return np.maximum(ink, spot * bold)


FLAWS: dict[str, Flaw] = {
    "erase": erase,
    "add": add,
    "cut": cut,
    "shift": shift,
    "overlay": overlay,
    "graft": graft,
    "blur": blur,
    "wobble": wobble,
    "smudge": smudge,
}


def flawed(
    kind: str, ink: np.ndarray, other: np.ndarray, rng: np.random.Generator, tries: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """The glyph with one flaw of a kind, and where it changed, bool (H, W). A flaw that hardly shows is drawn again, up
    to `tries` times in all.
    """
    for _ in range(tries):
        result = FLAWS[kind](ink, other, rng).clip(0, 1).astype(np.float32)
        changed = np.abs(result - ink) > CHANGED * (0.4 if kind == "blur" else 1)
        if changed.sum() >= 0.001 * ink.size:
            break
    return result, changed


def inked_point(ink: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """Row and column of a random pixel of ink; the centre if there is none."""
    rows, columns = np.nonzero(ink > 0.5)
    if not len(rows):
        return len(ink) // 2, len(ink) // 2
    i = rng.integers(len(rows))
    return int(rows[i]), int(columns[i])


def stroke_width(ink: np.ndarray) -> float:
    """The typical width of a stroke in pixels: twice the ink's area over the length of its edge."""
    solid = ink > 0.5
    edge = (solid[1:] != solid[:-1]).sum() + (solid[:, 1:] != solid[:, :-1]).sum()
    return float(np.clip(2 * solid.sum() / max(edge, 1), 2, len(ink) / 10))


def disc(size: int, y: float, x: float, radius: float) -> np.ndarray:
    """A disc of ones with a soft edge two pixels wide."""
    rows, columns = np.mgrid[:size, :size]
    distance = np.hypot(rows - y, columns - x)
    return np.clip((radius - distance) / 2 + 0.5, 0, 1).astype(np.float32)


def line(size: int, start: np.ndarray, end: np.ndarray, width: float) -> np.ndarray:
    """A straight line of ones from (x, y) to (x, y), antialiased."""
    scale = 4
    canvas = Image.new("L", (size * scale, size * scale))
    points = [tuple(start * scale), tuple(end * scale)]
    ImageDraw.Draw(canvas).line(points, fill=255, width=max(1, round(width * scale)))
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX), dtype=np.float32) / 255


def filtered(ink: np.ndarray, how: ImageFilter.Filter) -> np.ndarray:
    """Ink passed through a Pillow filter."""
    return np.asarray(Image.fromarray((ink * 255).astype(np.uint8)).filter(how), dtype=np.float32) / 255


def sampled(ink: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Ink at fractional positions, bilinear; paper outside."""
    padded = np.pad(ink, 1)
    rows = np.clip(rows + 1, 0, len(padded) - 1.001)
    columns = np.clip(columns + 1, 0, len(padded) - 1.001)
    r, c = rows.astype(int), columns.astype(int)
    a, b = rows - r, columns - c
    top = padded[r, c] * (1 - b) + padded[r, c + 1] * b
    bottom = padded[r + 1, c] * (1 - b) + padded[r + 1, c + 1] * b
    return (top * (1 - a) + bottom * a).astype(np.float32)
