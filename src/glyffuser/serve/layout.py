"""The page: where everything stands, and which action belongs to what."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from glyffuser.base.names import SAMPLER_NAMES
from glyffuser.generate.request import SIDES, STRENGTH
from glyffuser.serve import results
from glyffuser.serve.api import Api
from glyffuser.serve.drawing import Artist
from glyffuser.serve.handlers import Handlers, Session, dice
from glyffuser.serve.limits import LONGEST, MOST_GLYPHS, MOST_GUIDANCE, MOST_STEPS, USUAL_GLYPHS

STATIC = Path(__file__).parent / "static"
WAITING = 64  # drawings in the queue; later visitors are told that it is full
HOUR = 3600  # seconds
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
ONE: dict[str, Any] = {"concurrency_id": "drawing", "concurrency_limit": 1}
PACKING: dict[str, Any] = {"concurrency_id": "packing", "concurrency_limit": 1}
CLICKED = """element.addEventListener('click', (event) => {
  const at = event.target.closest('[data-glyph], [data-out]');
  if (!at) return;
  const what = 'glyph' in at.dataset ? 'glyph' : 'out';
  trigger('click', {[what]: Number(at.dataset[what])});
});"""
DRAWN_BY_HAND = """(...values) => {
  values[%d] = window.studioPad ? window.studioPad() : '';
  // On a phone what happens stands below all that can be asked for.
  if (matchMedia('(max-width: 720px)').matches) document.getElementById('result').scrollIntoView();
  return values;
}"""


@dataclass
class Place:
    """The parts of the page that actions change."""

    status: gr.HTML
    stage: gr.HTML
    detail: gr.HTML
    history: gr.Dropdown
    keeping: gr.Row
    keep_one: gr.Button
    keep_all: gr.Button


def build_page(artist: Artist, folder: Path) -> gr.Blocks:
    """The page of one artist; files for download are written into `folder`."""
    act = Handlers(artist, folder)
    with gr.Blocks(title="glyffuser studio", analytics_enabled=False, delete_cache=(HOUR, HOUR)) as page:
        session = gr.State(Session(), time_to_live=6 * HOUR)
        gr.HTML(results.heading(artist.picture), js_on_load=None)
        gr.api(Api(artist).draw, api_name="draw", **ONE)  # first, so that it gets the name
        with gr.Row(elem_id="desk"):
            with gr.Column(scale=1, min_width=300, elem_id="wish"):
                wish, draw, stop = _wish(artist)
            with gr.Column(scale=2, min_width=320, elem_id="result"):
                place = _result()
        with gr.Column(elem_id="tray"):
            _tray(act, session, place)
        inputs = [session, *wish]
        outputs = [place.status, place.stage, place.detail, place.history, place.keeping]
        hand = DRAWN_BY_HAND % inputs.index(wish[9])
        events = [
            on(
                act.draw,
                inputs,
                outputs,
                js=hand,
                show_progress="minimal",
                show_progress_on=place.stage,
                **ONE,
                **PRIVATE,
            )
            for on in (draw.click, wish[0].submit)
        ]
        stopped = stop.click(None, cancels=events, queue=False, **PRIVATE)
        stopped.then(act.cancelled, session, outputs, queue=False, show_progress="hidden", **PRIVATE)
        place.stage.click(
            act.open, session, [place.stage, place.detail, place.keep_one], show_progress="hidden", **PRIVATE
        )
        shown = [place.status, place.stage, place.detail, place.keeping]
        place.history.input(act.recall, [session, place.history], shown, show_progress="hidden", **PRIVATE)
    page.queue(max_size=WAITING, default_concurrency_limit=8, api_open=False)
    return page


def _wish(artist: Artist) -> tuple[list[Any], gr.Button, gr.Button]:
    """The visitor's inputs, in the order of `handlers.FIELDS`, and the buttons that start and stop."""
    usual, styles = artist.pipe.usual, artist.pipe.styles
    prompt = gr.Textbox(
        label="Meaning", placeholder="gold", max_length=LONGEST, lines=1, autofocus=True, elem_id="meaning"
    )
    with gr.Row(elem_classes="go"):
        draw = gr.Button("Draw", variant="primary", elem_id="draw")
        stop = gr.Button("Stop", elem_id="stop")
    n = gr.Slider(1, MOST_GLYPHS, USUAL_GLYPHS, step=1, label="How many", elem_id="number")
    with gr.Row(elem_classes="seed"):
        seed = gr.Number(0, label="Seed", precision=0, minimum=0, elem_id="seed", scale=3)
        roll = gr.Button("Another seed", elem_id="dice", min_width=48, scale=0)
    roll.click(dice, None, seed, queue=False, show_progress="hidden", **PRIVATE)
    with gr.Accordion("How it is drawn", open=False, elem_id="how"):
        negative = gr.Textbox(label="Steer away from", max_length=LONGEST, lines=1)
        steps = gr.Slider(1, MOST_STEPS, usual.steps, step=1, label="Steps")
        guidance = gr.Slider(0, MOST_GUIDANCE, usual.guidance, step=0.1, label="Guidance (1 = off)")
        sampler = gr.Dropdown(list(SAMPLER_NAMES), value=artist.pipe.sampler_name, label="Sampler")
        style = gr.Dropdown([("any", ""), *((s, s) for s in styles)], value="", label="Style", visible=bool(styles))
    with gr.Accordion("Start from something", open=False, elem_id="start"):
        start = gr.Textbox(label="A character", placeholder="湖", max_length=2, lines=1, elem_id="start-char")
        gr.HTML(html_template=_static("pad.html"), js_on_load=_static("pad.js"), elem_id="pad")
        drawing = gr.Textbox(visible=False)
        strength = gr.Slider(0.05, 1, STRENGTH, step=0.05, label="How much to redraw")
        keep = gr.Dropdown([("nothing", ""), *((side, side) for side in SIDES)], value="", label="Keep this side of it")
        component = gr.Textbox(label="A component it must have", placeholder="氵 or 馬:right", max_length=40, lines=1)
    wish = [prompt, n, seed, negative, steps, guidance, sampler, style, start, drawing, strength, keep, component]
    return wish, draw, stop


def _result() -> Place:
    """Where glyphs appear, with what was read in them."""
    status = gr.HTML(results.message("Type a meaning and press Draw."), js_on_load=None, elem_id="status")
    stage = gr.HTML(results.waiting(USUAL_GLYPHS), js_on_load=CLICKED, elem_id="stage")
    with gr.Row(visible=False, elem_id="keeping") as keeping:
        keep_all = gr.Button("Put all into the tray", elem_id="keep-all")
        keep_one = gr.Button("Put this one into the tray", visible=False, elem_id="keep-one")
    detail = gr.HTML("", js_on_load=None, elem_id="detail")
    history = gr.Dropdown([], label="Earlier drawings", visible=False, elem_id="history")
    return Place(status, stage, detail, history, keeping, keep_one, keep_all)


def _tray(act: Handlers, session: gr.State, place: Place) -> None:
    """The chosen glyphs, and the ways to take them away."""
    gr.HTML("<h2>Tray</h2>", js_on_load=None)
    chosen = gr.HTML(results.tray([]), js_on_load=CLICKED, elem_id="chosen")
    with gr.Column(visible=False, elem_id="leaving") as leaving:
        with gr.Row(equal_height=True):
            family = gr.Textbox("My Glyphs", label="Name of the font", max_length=40, scale=2, elem_id="family")
            font = gr.Button("Make a font", variant="primary", elem_id="font")
            png = gr.Button("PNG", elem_id="png")
            svg = gr.Button("SVG", elem_id="svg")
            clear = gr.Button("Empty the tray", elem_id="clear")
        word = gr.HTML("", js_on_load=None, elem_id="word")
        files = gr.File(
            label="Files to download", file_count="multiple", visible=False, interactive=False, elem_id="files"
        )
    kept = [place.status, chosen, leaving]
    quick: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}
    place.keep_all.click(partial(act.keep, everything=True), session, kept, **quick)
    place.keep_one.click(partial(act.keep, everything=False), session, kept, **quick)
    chosen.click(act.take_out, session, [chosen, leaving], **quick)
    clear.click(act.clear, session, [chosen, leaving], **quick)
    packing: dict[str, Any] = {"show_progress": "minimal", **PACKING, **PRIVATE}
    for button, pack in ((font, act.pack_font), (png, act.pack_png), (svg, act.pack_svg)):
        button.click(pack, [session, family], [word, files], **packing)


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")
