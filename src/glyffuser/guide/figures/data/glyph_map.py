"""The interactive map: what the page needs of every glyph, packed small, and a still of the map.

21,000 glyphs at 40 x 40 pixels and two bits fit in 3.5 MB of PNG sheets; with characters, definitions and places the
page stays well under 12 MB and loads nothing from elsewhere.
"""

import base64
import io
import json
from importlib.resources import files
from typing import Any

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from glyffuser.config import STEPS
from glyffuser.data.radicals import RADICALS
from glyffuser.generate.draw import draw
from glyffuser.generate.request import Request
from glyffuser.guide import style
from glyffuser.guide.drawn import Missing, Page
from glyffuser.guide.figures.data.map_density import common_radicals, point_colours, scatter
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.structure import STRUCTURES, structures
from glyffuser.guide.site.lettering import font_css
from glyffuser.guide.site.template import render

SIDE = 40  # pixels of a glyph in the page
COLUMNS = 50  # glyphs per row and column of a sheet: 2,000 pixels, which every phone can show
BITS = 2
STROKES_A_COLOUR = 3
INVENTED = ("gold", "a kind of fish", "bamboo basket", "illness, disease")


@style.styled
def figure_map(points: np.ndarray, radicals: np.ndarray) -> Figure:
    """The map as a still: points (N, 2) coloured by the commonest radicals (N,)."""
    drawn = style.figure(8.2)
    ax = drawn.subplots()
    colours, common = point_colours(radicals, len(style.CATEGORIES))
    scatter(ax, points, colours, float(np.abs(points).max()) * 1.05, size=2.5)
    for colour, radical in zip(style.CATEGORIES, common, strict=False):
        ax.scatter([], [], s=30, color=colour, label=radical_name(radical))
    ax.legend(loc="upper left", ncols=2, fontsize=9)
    return drawn


def atlas_map(inputs: Inputs) -> Page:
    """The interactive map of all glyphs. Needs the data set; with a model, some invented glyphs are on it too."""
    atlas, data = inputs.atlas, inputs.data
    pictures, prompts = invented(inputs, inputs.count(6, 2))
    points = np.concatenate([atlas.points, atlas.project(pictures)]) if prompts else atlas.points
    packed = pack(inputs, points, pictures, prompts)
    framed = " Framed in red: glyphs that the model invented, placed among the real ones they resemble."
    return Page(
        render("map.html", count=f"{len(data):,}", invented=bool(prompts), data=packed),
        figure_map(atlas.points, data.radicals),
        alt=f"A map of {len(data):,} glyphs, one dot each, coloured by radical. Glyphs with the same radical in "
        "the same place form islands: water, mouth, grass, metal, speech.",
        caption="Every dot is a character; glyphs that look alike lie close together. Move the pointer over the map, "
        "drag, zoom in until the dots become glyphs, or search for a meaning. Nearness means something; directions do "
        "not." + (framed if prompts else ""),
    )


def invented(inputs: Inputs, each: int) -> tuple[np.ndarray, list[str]]:
    """Glyphs drawn by the model, uint8 (B, H, W), and their prompts; none without a model."""
    try:
        pipe = inputs.pipe
    except Missing:
        return np.empty((0, 1, 1), np.uint8), []
    pictures = []
    for k, prompt in enumerate(INVENTED):
        pictures.append(draw(pipe, [prompt] * each, Request(steps=inputs.count(STEPS, 10), seed=inputs.seed + k)))
        inputs.tick(k + 1, len(INVENTED))
    return np.concatenate(pictures), [prompt for prompt in INVENTED for _ in range(each)]


def pack(inputs: Inputs, points: np.ndarray, pictures: np.ndarray, prompts: list[str], side: int = SIDE) -> str:
    """All that the page knows, as JSON that is safe inside a <script>: points (N + B, 2), B invented pictures last.

    Glyphs are shown as pictures `side` pixels wide.
    """
    data = inputs.data
    low, high = points.min(axis=0), points.max(axis=0)
    middle, span = (low + high) / 2, float((high - low).max()) * 1.02
    places = np.clip((points - middle) / span + 0.5, 0, 1)
    facts: dict[str, Any] = {
        "count": len(data),
        "chars": "".join(data.chars),
        "definitions": data.definitions,
        "radicals": _base64(data.radicals.astype(np.uint8).tobytes()),
        "strokes": _base64(np.clip(data.strokes, 0, 255).astype(np.uint8).tobytes()),
        "structures": _base64(structures(data.images).astype(np.uint8).tobytes()),
        "places": _base64(np.round(places * 65535).astype("<u2").tobytes()),
        "prompts": prompts,
        "side": side,
        "columns": COLUMNS,
        "sheets": sheets(data.images, pictures, side=side),
        "radical_names": [radical_name(radical.number) for radical in RADICALS],
        "structure_names": STRUCTURES,
        "strokes_a_colour": STROKES_A_COLOUR,
        "colours": colours(data.radicals),
    }
    # "</script>" in a definition must not end the script.
    return json.dumps(facts, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def colours(radicals: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """The legends: colours with names, by radical, strokes and structure."""
    by_radical = [
        {"radical": radical, "name": radical_name(radical), "colour": colour}
        for colour, radical in zip(style.CATEGORIES, common_radicals(radicals, len(style.CATEGORIES)), strict=False)
    ]
    steps = 9
    # From a tint that shows on white to a shade that shows on black.
    by_strokes = [
        {"name": str(1 + k * STROKES_A_COLOUR), "colour": to_hex(style.SEQUENTIAL(0.25 + 0.5 * k / (steps - 1)))}
        for k in range(steps)
    ]
    by_strokes[-1]["name"] += " or more"
    by_structure = [
        {"name": name, "colour": colour}
        for name, colour in zip(STRUCTURES, ("#9c948a", *style.CATEGORIES), strict=False)
    ]
    return {"radical": by_radical, "strokes": by_strokes, "structure": by_structure}


def radical_name(number: int) -> str:
    """A radical as character and English name: 167 -> "金 gold"."""
    found = RADICALS[number - 1]
    return f"{found.form} {found.name}"


def sheets(*groups: np.ndarray, side: int = SIDE) -> list[str]:
    """Pictures uint8 (N, H, W) side by side on PNG sheets, black ink on transparent paper, as data: addresses."""
    small = [
        np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))
        for group in groups
        for picture in group
    ]
    top = 2**BITS - 1
    addresses = []
    for first in range(0, len(small), COLUMNS**2):
        chosen = small[first : first + COLUMNS**2]
        rows = -(-len(chosen) // COLUMNS)
        sheet = np.full((rows * side, COLUMNS * side), 255, np.uint8)
        for k, picture in enumerate(chosen):
            y, x = k // COLUMNS * side, k % COLUMNS * side
            sheet[y : y + side, x : x + side] = picture
        levels = Image.fromarray(np.round((255 - sheet.astype(float)) / 255 * top).astype(np.uint8), "P")
        levels.putpalette([0] * 3 * (top + 1))
        buffer = io.BytesIO()
        alpha = bytes(round(255 * level / top) for level in range(top + 1))
        levels.save(buffer, "PNG", bits=BITS, transparency=alpha, optimize=True)
        addresses.append("data:image/png;base64," + _base64(buffer.getvalue()))
    return addresses


def stand_alone(html: str, caption: str) -> str:
    """The map as one self-contained HTML file."""
    static = files("glyffuser.guide.site") / "static"
    css = font_css(caption) + "".join((static / name).read_text(encoding="utf-8") for name in ("site.css", "map.css"))
    return render(
        "map-alone.html", body=html, css=css, js=(static / "map.js").read_text(encoding="utf-8"), caption=caption
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
