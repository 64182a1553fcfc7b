"""A glyph as closed contours of lines and cubic Béziers, traced from a grey picture."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pathops

from glyffuser.base.errors import UserError
from glyffuser.export.edges import edges, joined, share
from glyffuser.export.trace import SIDE, contours

MOST_GREY = 0.35  # share of pixels that are neither ink nor paper; a glyph of 24 strokes has a fifth
MOST_INK = 0.7  # share of ink; the blackest of 20,000 characters has half
MOST_CONTOURS = 120  # the richest character has half as many
OVERLAP = 0.05  # square pixels by which contours must overlap, or cross themselves, to be merged

Point = tuple[float, float]


@dataclass(frozen=True)
class Contour:
    """A closed curve. Each segment is a line to its only point, or a cubic with two control points and its end; the
    last one ends at `start`.
    """

    start: Point
    segments: tuple[tuple[Point, ...], ...]


@dataclass(frozen=True)
class Outline:
    """The contours of one glyph, in pixels of a square picture `side` pixels wide, x to the right and y down.

    Contours do not overlap. Seen on the page, they run counter-clockwise around ink, as in PostScript fonts, and
    clockwise around holes.
    """

    contours: tuple[Contour, ...]
    side: float = SIDE

    @property
    def points(self) -> int:
        """How many points it has: ends of segments, and control points."""
        return sum(len(segment) for contour in self.contours for segment in contour.segments)

    def mapped(self, scale: float, x: float, y: float) -> "Outline":
        """The outline in a font's units: `scale` of them per pixel, y up, the picture's top left corner at (x, y)."""

        def to(point: Point) -> Point:
            return x + scale * point[0], y - scale * point[1]

        return Outline(
            tuple(
                Contour(to(c.start), tuple(tuple(map(to, segment)) for segment in c.segments)) for c in self.contours
            ),
            self.side * scale,
        )

    def draw(self, pen: Any) -> None:
        """Draw it with a pen that follows fontTools' protocol."""
        for contour in self.contours:
            pen.moveTo(contour.start)
            for segment in contour.segments[:-1]:
                (pen.lineTo if len(segment) == 1 else pen.curveTo)(*segment)
            if len(contour.segments[-1]) == 3:  # closing draws a last line
                pen.curveTo(*contour.segments[-1])
            pen.closePath()

    def svg_path(self) -> str:
        """The outline as the `d` of an SVG path."""
        return "".join(self._path_commands())

    def _path_commands(self) -> Iterator[str]:
        for contour in self.contours:
            yield "M" + _numbers((contour.start,))
            for i, segment in enumerate(contour.segments):
                if len(segment) == 3:
                    yield "C" + _numbers(segment)
                elif i < len(contour.segments) - 1:
                    yield "L" + _numbers(segment)
            yield "Z"

    def svg(self, title: str = "") -> str:
        """A whole SVG file of the glyph, black on a transparent ground."""
        side = _number(self.side)
        named = f"<title>{_escaped(title)}</title>" if title else ""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" height="{side}">'
            f'{named}<path d="{self.svg_path()}"/></svg>\n'
        )


def trace(picture: np.ndarray) -> Outline:
    """The outline of a grey picture (H, H): uint8, ink 0 and paper 255, or floats in [0, 1].

    It is in pixels of a picture 128 pixels wide. UserError for a blank picture, and for what is not a glyph.
    """
    grey = picture / 255 if picture.dtype == np.uint8 else picture
    _check(grey)
    lines = contours(grey)
    if not lines:
        raise UserError("the picture is blank, or nearly so; a glyph has black ink on white paper")
    if len(lines) > MOST_CONTOURS:
        raise UserError(f"the picture has {len(lines)} contours, which no glyph has; give a picture of a single glyph")
    found = [edges(line) for line in lines]
    shared = share([group for group, _ in found])
    made = [joined(group, tips) for group, (_, tips) in zip(shared, found, strict=True)]
    return merged(Outline(tuple(_contour(start, segments) for start, segments in made)))


def merged(outline: Outline) -> Outline:
    """The outline with overlapping contours made one; unchanged if none overlap."""
    path = pathops.Path()
    outline.draw(path.getPen())
    union = pathops.Path(path)
    union.simplify(fix_winding=True, keep_starting_points=True, clockwise=True)  # as pathops sees it, y up
    if abs(path.area - union.area) < OVERLAP:
        return outline
    contours = []
    for contour in union.contours:
        (start,), *segments = (points for _, points in contour.segments if points)
        if segments[-1][-1] != start:
            segments.append((start,))
        before = [start, *(segment[-1] for segment in segments)]
        cubics = (raised(at, *ends) if len(ends) == 2 else ends for at, ends in zip(before, segments, strict=False))
        contours.append(Contour(start, tuple(cubics)))
    return Outline(tuple(contours), outline.side)


def raised(start: Point, control: Point, end: Point) -> tuple[Point, ...]:
    """A quadratic segment as the cubic that is the same curve."""
    first, second = (tuple(p + 2 / 3 * (c - p) for p, c in zip(at, control, strict=True)) for at in (start, end))
    return (first[0], first[1]), (second[0], second[1]), end


def _check(grey: np.ndarray) -> None:
    if grey.ndim != 2 or grey.shape[0] != grey.shape[1]:
        raise UserError(f"the picture is {' x '.join(map(str, grey.shape))}; a glyph is square and grey")
    if (grey < 0.5).mean() > MOST_INK:
        raise UserError("the picture is mostly black; a glyph has black ink on white paper: invert it")
    if ((grey > 0.15) & (grey < 0.85)).mean() > MOST_GREY:
        raise UserError("the picture is mostly grey, which no glyph is; give black ink on white paper")


def _contour(start: np.ndarray, segments: list[np.ndarray]) -> Contour:
    def plain(point: np.ndarray) -> Point:
        return round(float(point[0]), 3), round(float(point[1]), 3)

    return Contour(plain(start), tuple(tuple(map(plain, segment)) for segment in segments))


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _numbers(points: tuple[Point, ...]) -> str:
    return " ".join(f"{_number(x)} {_number(y)}" for x, y in points)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
