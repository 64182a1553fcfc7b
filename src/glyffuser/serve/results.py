"""What a page shows of glyphs, as HTML. Every text passes through `escaped`; pictures are data URLs."""

import base64
import html
import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from glyffuser.judge.dictionary import Found
from glyffuser.serve.drawing import Frame, Seen
from glyffuser.serve.tray import Item

CODE = str.maketrans({char: f"&#{ord(char)};" for char in "`${}\\"})  # what gradio's templates could take for code
Picture = Callable[[str], np.ndarray | None]  # of a real character


def escaped(text: object) -> str:
    """A text made safe for HTML and for the templates that gradio's HTML component evaluates."""
    return html.escape(str(text)).translate(CODE)


def data_url(image: np.ndarray | Image.Image, kind: str = "PNG") -> str:
    """A picture, uint8 (H, W) or PIL, as a data URL."""
    buffer = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(buffer, kind, **({"quality": 80} if kind == "JPEG" else {}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def heading(picture: Picture) -> str:
    """The head of the page."""
    seal = f'<span class="seal" aria-hidden="true">{_sign("字", picture)}</span>'
    return f'<header class="bar">{seal}<b>glyffuser</b><span>studio</span></header>'


def waiting(count: int) -> str:
    """The stage before the first drawing: an empty sheet."""
    blank = '<span class="tile blank"></span>' * count
    return f'<div class="tiles" aria-hidden="true">{blank}</div>'


def frame(now: Frame) -> str:
    """The stage while glyphs come out of the noise."""
    tiles = "".join(f'<span class="tile"><img alt="" src="{data_url(image, "JPEG")}"></span>' for image in now.images)
    return f'<div class="tiles drawing" data-step="{now.step}" aria-busy="true">{tiles}</div>'


def progress(prompt: str, step: int, steps: int) -> str:
    """The line above the stage while glyphs are drawn."""
    share = 100 * step / steps if steps else 0
    words = f"step {step} of {steps}: what the network predicts" if step else "the noise it starts from"
    return (
        f'<div class="status" role="status"><b>{escaped(prompt)}</b><span>{words}</span>'
        f'<div class="rail"><i style="width:{share:.0f}%"></i></div></div>'
    )


def message(text: str, error: bool = False) -> str:
    """A line above the stage: what happened, or what is wrong and how to mend it."""
    role, kind = ("alert", "status error") if error else ("status", "status")
    return f'<div class="{kind}" role="{role}"><span>{escaped(text)}</span></div>'


def summary(prompt: str, seen: Sequence[Seen]) -> str:
    """The line above finished glyphs."""
    exist, flawed = sum(one.exists for one in seen), sum(one.flagged for one in seen)
    words = [f"{len(seen)} glyph{'s' if len(seen) > 1 else ''}"]
    words += [f"{exist} exist{'s' if exist == 1 else ''} already"] if exist else ["all of them new"]
    words += [f"{flawed} may be flawed"] if flawed else []
    return f'<div class="status" role="status"><b>{escaped(prompt)}</b><span>{", ".join(words)}</span></div>'


def tiles(prompt: str, seen: Sequence[Seen], chosen: int | None, picture: Picture) -> str:
    """Finished glyphs, each a button that opens its details."""
    buttons = "".join(_tile(prompt, one, chosen, picture) for one in seen)
    return f'<div class="tiles" role="group" aria-label="Glyphs">{buttons}</div>'


def _tile(prompt: str, one: Seen, chosen: int | None, picture: Picture) -> str:
    marks = [f'<em class="exists">is {_sign(one.nearest, picture)}</em>'] if one.exists else []
    marks += ['<em class="flawed">flawed?</em>'] if one.flagged else []
    said = f"{_named(prompt, one)}, radical {one.radical}"
    said += f", exists as {one.nearest}" if one.exists else ""
    said += ", may be flawed" if one.flagged else ""
    pressed = str(one.number == chosen).lower()
    return (
        f'<button type="button" class="tile" data-glyph="{one.number}" aria-pressed="{pressed}"'
        f' aria-label="{escaped(said)}"><img alt="" src="{data_url(one.image)}">'
        f'<span class="marks">{"".join(marks)}</span></button>'
    )


def _named(prompt: str, one: Seen) -> str:
    """What a glyph is called; a model may take no text."""
    return f"glyph {one.number + 1}" + (f" for {prompt}" if prompt else "")


def detail(prompt: str, one: Seen, picture: Picture) -> str:
    """The details of one glyph: form, radical, whether it exists, and which real characters are near."""
    form = "may be flawed: worse than 95 % of real glyphs" if one.flagged else "as plausible as real glyphs"
    known = f"yes, as {_sign(one.nearest, picture)}" if one.exists else "no, it is new"
    rows = [
        ("Form", f"{form} (score {one.flaws:.1f}, higher is worse)"),
        ("Radical read", f"{_sign(one.radical, picture)} ({one.chance:.0%}), number {one.radical_number}"),
        ("Strokes", f"about {one.strokes:.0f}"),
        ("Exists already", known),
    ]
    facts = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    nearest = _character(one.nearest, one.definition, f"{one.distance:.1f} pixels away", picture)
    like = "".join(_found(found, picture) for found in one.looks_like)
    sense = "".join(_found(found, picture) for found in one.might_mean)
    return (
        f'<section class="detail" aria-label="About glyph {one.number + 1}">'
        f'<div class="plates"><figure><img alt="The glyph" src="{data_url(one.image)}">'
        f"<figcaption>{escaped(_named(prompt, one))}</figcaption></figure>"
        f'<figure><img alt="The glyph, with suspicious places in orange" src="{data_url(one.heat)}">'
        f"<figcaption>where it may be flawed</figcaption></figure></div>"
        f"<dl>{facts}</dl>"
        f'<div class="nears"><div class="near"><h3>Nearest in form</h3><ul>{nearest}</ul></div>'
        f'<div class="near"><h3>Looks like</h3><ul>{like}</ul></div>'
        f'<div class="near"><h3>Might mean</h3><ul>{sense}</ul></div></div></section>'
    )


def _found(found: Found, picture: Picture) -> str:
    return _character(found.char, found.definition, "", picture)


def _character(char: str, definition: str, more: str, picture: Picture) -> str:
    """A real character and its definition."""
    words = escaped(definition or "no definition known") + (f"<small>{escaped(more)}</small>" if more else "")
    return f'<li><span class="char">{_sign(char, picture)}</span><span>{words}</span></li>'


def _sign(char: str, picture: Picture) -> str:
    """A real character, drawn, since a visitor's machine may have no font for it."""
    drawn = picture(char)
    return escaped(char) if drawn is None else f'<img class="sign" alt="{escaped(char)}" src="{data_url(drawn)}">'


def tray(items: Sequence[Item]) -> str:
    """The chosen glyphs, each with a button that takes it out."""
    if not items:
        return '<p class="hint">Glyphs you put here leave as pictures, outlines or a font.</p>'
    chosen = "".join(
        f'<li><img alt="{escaped(item.name)}" src="{data_url(item.image)}"><span>{escaped(item.name)}</span>'
        f'<button type="button" data-out="{i}" aria-label="Take {escaped(item.name)} out">&#215;</button></li>'
        for i, item in enumerate(items)
    )
    return f'<ul class="tray">{chosen}</ul>'
