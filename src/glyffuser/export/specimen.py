"""The specimen of a font: every glyph with its meaning and its nearest real characters, as a page and as a poster."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fontTools.pens.svgPathPen import SVGPathPen
from jinja2 import Environment, FileSystemLoader

from glyffuser.data.fonts import default_font
from glyffuser.export.collect import Collected
from glyffuser.export.latin import open_face
from glyffuser.judge.judges import load_judges
from glyffuser.judge.novelty import load_ideographs

PAGE = "specimen.html"
SIZES = (16, 24, 32, 48, 96)  # pixels at which the first glyphs are shown


@dataclass(frozen=True)
class Neighbour:
    """A real character like a glyph: its distance, in pixels of 128, whether the glyph is that very character, and its
    outline as an SVG path, 1000 units per em, y up.
    """

    char: str
    distance: float
    exists: bool
    path: str


@dataclass(frozen=True)
class Entry:
    """A glyph on the specimen: the chance, 0 ... 1, that it is well formed, and the real characters nearest to it."""

    meaning: str
    typed: str
    char: str
    plausibility: float
    neighbours: tuple[Neighbour, ...]

    @property
    def exists(self) -> bool:
        """Whether it is a character that exists already."""
        return any(neighbour.exists for neighbour in self.neighbours)


@dataclass(frozen=True)
class Specimen:
    """A font's family name and its glyphs, in order."""

    family: str
    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, collected: Sequence[Collected], family: str) -> "Specimen":
        """Look up the two ideographs nearest to each glyph, and ask the judges how well formed it is.

        The chance is the logistic function of how far the flaw score lies below the judges' threshold: one half at the
        threshold, which 95 % of real characters stay below.
        """
        pictures, judges, table = np.stack([one.picture for one in collected]), load_judges(), load_ideographs()
        first = table.nearest(pictures)
        second = table.nearest(pictures, skip=[ord(match.char) for match in first])
        flaws = judges(pictures).flaws - judges.plausibility.config.threshold
        chances = (-flaws).sigmoid().tolist()
        paths = outlines_of({match.char for match in (*first, *second)})
        return cls(
            family,
            tuple(
                Entry(
                    one.glyph.prompt,
                    f":{one.glyph.slug}:",
                    chr(one.glyph.codepoint),
                    chance,
                    tuple(Neighbour(m.char, m.distance, m.exists, paths.get(m.char, "")) for m in matches),
                )
                for one, chance, *matches in zip(collected, chances, first, second, strict=True)
            ),
        )


def outlines_of(chars: set[str]) -> dict[str, str]:
    """SVG paths, 1000 units per em, y up, of characters in the font that the model learnt from."""
    font = open_face(default_font())
    own, names = font.getGlyphSet(), font.getBestCmap()
    paths = {}
    for char in chars & {chr(codepoint) for codepoint in names}:
        pen = SVGPathPen(own)
        own[names[ord(char)]].draw(pen)
        paths[char] = pen.getCommands()
    return paths


def page(specimen: Specimen, woff2: bytes) -> str:
    """The specimen as one HTML file, with the font in it, light or dark like the reader's system."""
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    return environment.get_template(PAGE).render(specimen=specimen, font=base64.b64encode(woff2).decode(), sizes=SIZES)
