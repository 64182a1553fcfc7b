"""The local site: chapters of text around the figures, a glossary, the map on a page of its own.

Everything a page needs lies in the site's folder. Pages open from the file system and load nothing from elsewhere.
"""

import shutil
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path, output_folder, write_text
from glyffuser.guide import store
from glyffuser.guide.build import Built
from glyffuser.guide.catalogue import FIGURES
from glyffuser.guide.figures.data.glyph_map import stand_alone
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.site.lettering import font_css
from glyffuser.guide.site.template import render

CHAPTERS = {  # number -> name, what the first page says about it
    1: ("What is learnt", "Distributions, pixels, and a map of all glyphs: what there is to learn from pictures."),
    2: ("How it works", "Noise, and the way back: how a network that only removes noise comes to draw."),
    3: ("Steering it", "How words get into the strokes: prompts, guidance, attention. And is it new, or copied?"),
}
COVER = "denoise"  # the figure pictured on the first page
NOT_ASKED = "It was not requested: build it with glyffuser guide --only"


def write_site(built: Iterable[Built], inputs: Inputs, out: Path, command: str) -> Path:
    """Write the site around these figures; a missing figure is named in its place. Returns index.html."""
    output_folder(out)
    done = {one.spec.id: one for one in built}
    figures = {id: _figure(id, done.get(id), out) for id in FIGURES}
    names = {number: name for number, (name, _) in CHAPTERS.items()}
    values = _facts(inputs) | {"figures": figures, "names": names, "command": command}
    pages = {
        f"chapter-{number}.html": render(
            f"chapter-{number}.html", here=number, title=name, description=description, **values
        )
        for number, (name, description) in CHAPTERS.items()
    }
    pages["glossary.html"] = render(
        "glossary.html", here="glossary", title="Glossary", description="Every term of the guide, in short.", **values
    )
    pages["index.html"] = render(
        "index.html",
        here="index",
        title="Start",
        description="How diffusion models work, with figures computed on this machine.",
        introductions=CHAPTERS,
        cover=_cover(figures[COVER]),
        **values,
    )
    static = files("glyffuser.guide.site") / "static"
    for asset in ("site.css", "map.css", "site.js", "map.js"):
        text = (static / asset).read_text(encoding="utf-8")
        if asset == "site.css":
            text = font_css("".join(pages.values())) + text
        write_text(output_folder(out / "assets") / asset, text)
    map_figure = figures["map"]
    if not map_figure["missing"]:
        write_text(out / "map.html", stand_alone(map_figure["html"], map_figure["facts"]["caption"]))
    for name, page in pages.items():  # last, so that no page refers to what is not there yet
        write_text(out / name, page)
    return out / "index.html"


def _figure(id: str, built: Built | None, out: Path) -> dict[str, Any]:
    """Copy a figure's pictures to the site; returns what the templates need to know of it."""
    spec = FIGURES[id]
    place = [other.id for other in FIGURES.values() if other.chapter == spec.chapter].index(id) + 1
    told: dict[str, Any] = {
        "id": id,
        "title": spec.title,
        "chapter": spec.chapter,
        "number": f"{spec.chapter}.{place}",
        "missing": "",
        "base": f"figures/{id}",
    }
    if built is None or built.folder is None:
        return told | {"missing": _sentence(built.missing if built else f"{NOT_ASKED} {id}")}
    facts = store.load(built.folder)
    output_folder(out / "figures")
    with atomic_path(out / "figures" / id) as temporary:
        shutil.copytree(built.folder, temporary, ignore=shutil.ignore_patterns("*.svg", "page.html"))
    for part in [facts, *facts.get("tabs", [])]:
        if part["kind"] == "animation":
            part["addresses"] = [f"{told['base']}/{frame}" for frame in part["frames"]]
    html = (built.folder / facts["html"]).read_text(encoding="utf-8") if facts["kind"] == "page" else ""
    return told | {"facts": facts, "html": html}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _facts(inputs: Inputs) -> dict[str, Any]:
    """Facts stated in the text, taken from the data and the model at hand."""
    facts: dict[str, Any] = {
        "n_glyphs": "thousands of",
        "size": "128",
        "n_pixels": "16,384",
        "n_parameters": "millions",
        "model": "no model",
        "takes_radical": False,
        "has_tower": False,
    }
    facts["glyphs"] = "no data set"
    try:
        info = inputs.info
        n_glyphs = info["characters"] - info.get("undefined", 0)
        facts |= {
            "n_glyphs": f"{n_glyphs:,}",
            "size": str(info["size"]),
            "n_pixels": f"{info['size'] ** 2:,}",
        }
        facts["glyphs"] = f"{n_glyphs:,} glyphs ({info['fonts'][0]}, Unihan {info['unihan']})"
    except UserError:
        pass
    try:
        n = inputs.parameters
        facts["n_parameters"] = f"{n / 1e6:.1f} million" if n > 1e6 else f"{n:,}"
        facts["model"] = f"a model of {facts['n_parameters']} parameters"
        config = inputs.pipe.unet.config
        facts |= {"takes_radical": bool(config.num_class_embeds), "has_tower": inputs.pipe.tower is not None}
        facts["tower_width"] = config.pooled_dim
    except UserError:
        pass
    return facts


def _cover(figure: dict[str, Any]) -> dict[str, Any] | None:
    """The first page's picture: an animation about half-way through."""
    if figure["missing"] or figure["facts"]["kind"] != "animation":
        return None
    facts = figure["facts"]
    return {
        "src": facts["addresses"][int(0.45 * len(facts["addresses"]))],
        "size": facts["size"],
        "alt": "Sheets of glyphs half hidden by noise, and beside them the glyphs that the network sees in it.",
        "text": "Half-way out of the noise: the pictures so far, and what the network takes them for.",
        "link": f"chapter-{figure['chapter']}.html#{figure['id']}",
    }
