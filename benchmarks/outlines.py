"""How well pictures become outlines: likeness, points and time, and the distance from the font's own outlines.

    python benchmarks/outlines.py [--glyphs 200] [--drawn out/] [--library] [--upscaler runs/upscale512]

Real characters come from the data set; `--drawn` names a folder that `glyffuser sample` wrote. IoU is that of the ink,
threshold one half, between the picture and the outline rendered by FreeType at the picture's size. Distances are from
the traced outline to the nearest point of the true one, in thousandths of an em. `true` pictures are of the font's
outlines without hinting, `hinted` ones those of the data set, in which FreeType has moved the strokes to whole pixels.

With `--upscaler`, pictures are also enlarged by that network and then traced, and a line says which way is better: the
one with nearer outlines where the true ones are known; for drawn glyphs, whose true outlines nobody knows, the one with
fewer points.
"""

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from fontTools.pens.freetypePen import FreeTypePen
from fontTools.pens.recordingPen import DecomposingRecordingPen
from scipy.spatial import cKDTree

from glyffuser.config import DATA
from glyffuser.data.dataset import load_dataset
from glyffuser.data.fonts import EM_SCALE, default_font
from glyffuser.export import edges, fit
from glyffuser.export.latin import open_face
from glyffuser.export.outline import Contour, Outline, trace
from glyffuser.export.trace import contours
from glyffuser.generate.cascade import enlarge, load_upscalers
from glyffuser.judge.reading import open_picture, pictures_in

SIDE = 128
UNIT = EM_SCALE * SIDE / 1000  # pixels
LEFT, BASELINE = 8, 107  # pixels: where data/fonts.py puts a glyph's origin


def own_outlines(chars: list[str]) -> list[Outline]:
    """The font's own outlines of characters, in pixels of their pictures."""
    font = open_face(default_font())
    shapes, names = font.getGlyphSet(), font.getBestCmap()
    found = []
    for char in chars:
        pen = DecomposingRecordingPen(shapes)
        shapes[names[ord(char)]].draw(pen)
        found.append(recorded(pen.value))
    return found


def recorded(steps: list) -> Outline:
    """What a pen recorded in font units, as an outline in pixels."""
    made: list[Contour] = []
    for step, points in steps:
        at = tuple((LEFT + UNIT * x, BASELINE - UNIT * y) for x, y in points)
        if step == "moveTo":
            made.append(Contour(at[0], ()))
        else:
            last = made[-1]
            closing = (last.start,) if not last.segments or last.segments[-1][-1] != last.start else ()
            more = at if step != "closePath" else closing
            made[-1] = Contour(last.start, (*last.segments, more)) if more else last
    return Outline(tuple(made))


def rendered(outline: Outline, size: int = SIDE) -> np.ndarray:
    """An outline as FreeType draws it: share of ink of each pixel (size, size)."""
    pen, scale = FreeTypePen(None), size / SIDE
    outline.draw(pen)
    return pen.array(width=size, height=size, transform=(scale, 0, 0, -scale, 0, size))


def along(outline: Outline, step: float) -> np.ndarray:
    """Points (n, 2) along an outline, about `step` pixels apart."""
    found = []
    for contour in outline.contours:
        at = complex(*contour.start)
        for segment in contour.segments:
            points = np.array([at, *(complex(*point) for point in segment)])
            if len(segment) == 1:
                points = at + (points[1] - at) * np.array([0, 1 / 3, 2 / 3, 1])
            t = np.linspace(0, 1, max(2, round(abs(np.diff(points)).sum() / step)), endpoint=False)
            found.append(fit.bernstein(t) @ points)
            at = points[-1]
    flat = np.concatenate(found)
    return np.stack([flat.real, flat.imag], axis=1)


def row(name: str, pictures: list[np.ndarray], tracer: Callable, own: list[Outline] | None) -> float:
    """Trace pictures (H, H) and print one row. Returns what should be small: the mean distance from their own
    outlines or, where those are unknown, the number of points.
    """
    ious, points, seconds, far = [], [], [], []
    for i, picture in enumerate(pictures):
        start = time.process_time()
        outline = tracer(picture)
        seconds.append(time.process_time() - start)
        ink, again = picture < 128, rendered(outline, len(picture)) >= 0.5
        ious.append((ink & again).sum() / (ink | again).sum())
        points.append(outline.points)
        if own is not None:
            far.append(cKDTree(along(own[i], 0.03)).query(along(outline, 0.2))[0] / UNIT)
    ratio = f"{np.median(points) / np.median([one.points for one in own]):6.2f}" if own else f"{'':6}"
    off = (
        f"{np.mean([one.mean() for one in far]):9.2f} {np.mean([np.percentile(one, 99) for one in far]):9.2f}"
        if far
        else ""
    )
    print(
        f"{name:38} {np.mean(ious):7.4f} {np.min(ious):7.4f} {np.median(points):7.0f} {ratio} "
        f"{1000 * np.mean(seconds):7.1f} {off}",
        flush=True,
    )
    return float(np.mean([one.mean() for one in far]) if far else np.median(points))


def polyline(picture: np.ndarray) -> Outline:
    """The contour as it is, a line to each of its points."""
    lines = contours(picture / 255)
    return Outline(
        tuple(Contour(tuple(line[0]), tuple((tuple(point),) for point in [*line[1:], line[0]])) for line in lines)
    )


def by_library(picture: np.ndarray) -> Outline:
    """The same contours and corners, fitted between corners by the pip package `beziers` (its own Schneider)."""
    from beziers.path import BezierPath
    from beziers.point import Point

    made = []
    for line in contours(picture / 255):
        cuts = edges.corners(line)
        line = np.roll(line, -cuts[0] if len(cuts) else 0, axis=0)
        ends = [*(cuts - cuts[0]), len(line)] if len(cuts) else [0, len(line) // 2, len(line)]
        closed = np.concatenate([line, line[:1]])
        segments: list[Any] = []
        for begin, end in pairwise(ends):
            path = BezierPath.fromPoints([Point(*p) for p in closed[begin : end + 1]], error=fit.TOLERANCE**2)
            for curve in path.asSegments():
                points = [(p.x, p.y) for p in curve.points]
                segments.append(tuple(points[1:]) if len(points) == 4 else (points[-1],))
        made.append(Contour(segments[-1][-1], tuple(segments)))
    return Outline(tuple(made))


def compared(name: str, pictures: list[np.ndarray], upscaler: Path, own: list[Outline] | None) -> None:
    """Print a row for pictures (128, 128) as they are, one for them enlarged, and which is better."""
    (network,) = load_upscalers([upscaler])
    side = network.config.sample_size
    plain = row(name, pictures, trace, own)
    large = row(f"  enlarged to {side} pixels", list(enlarge([network], np.stack(pictures))), trace, own)
    what = "points" if own is None else "thousandths of an em off"
    best = f"those enlarged to {side} pixels" if large < plain else f"those of {SIDE} pixels as they are"
    print(f"  -> better: {best}, {min(plain, large):.2f} against {max(plain, large):.2f} {what}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--glyphs", type=int, default=200, help="real characters, and drawn glyphs at most")
    parser.add_argument("--drawn", type=Path, help="a folder that `glyffuser sample` wrote")
    parser.add_argument("--data", type=Path, default=DATA, help="the data set")
    parser.add_argument("--library", action="store_true", help="compare with the curve fitting of: pip install beziers")
    parser.add_argument("--upscaler", type=Path, help="a folder of `glyffuser train --preset upscale512`")
    arguments = parser.parse_args()
    data = load_dataset(arguments.data, "test")
    chosen = np.random.default_rng(0).permutation(len(data))[: arguments.glyphs]
    own = own_outlines([data.chars[i] for i in chosen])
    hinted = list(data.images[chosen])
    true = {size: [((1 - rendered(one, size)) * 255).round().astype(np.uint8) for one in own] for size in (SIDE, 512)}
    heads = f"{'IoU':>7} {'least':>7} {'points':>7} {'x own':>6} {'ms':>7} {'off':>9} {'99 %':>9}"
    print(f"{'pictures, and how they are traced':38} {heads}")
    print(f"{'the font itself':38} {'':7} {'':7} {np.median([one.points for one in own]):7.0f}")
    row("true, 128 pixels", true[SIDE], trace, own)
    row("true, 512 pixels", true[512], trace, own)
    row("hinted, 128 pixels", hinted, trace, own)
    row("  as a polyline", hinted, polyline, own)
    if arguments.library:
        row("  between corners by beziers", hinted, by_library, own)
    if arguments.drawn is not None:
        drawn = [np.asarray(open_picture(file)) for file in pictures_in(arguments.drawn)][: arguments.glyphs]
        row(f"drawn, {len(drawn)} glyphs", drawn, trace, None)
    if arguments.upscaler is not None:
        for name, pictures in (("true", true[SIDE]), ("hinted", hinted)):
            compared(f"{name}, {SIDE} pixels", pictures, arguments.upscaler, own)
        if arguments.drawn is not None:
            compared("drawn", drawn, arguments.upscaler, None)


if __name__ == "__main__":
    main()
