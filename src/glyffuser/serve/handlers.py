"""What happens on the page: a visitor's session, and one method for each thing that can be clicked."""

import secrets
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from glyffuser.base.errors import UserError
from glyffuser.base.weights import weights_hash
from glyffuser.generate.request import Request
from glyffuser.serve import results, tray
from glyffuser.serve.drawing import Artist, Seen
from glyffuser.serve.limits import USUAL_GLYPHS, in_words, read_request
from glyffuser.serve.tray import Item

KEPT = 12  # drawings that a session remembers
EVERY = 0.1  # seconds between two frames, at least
FIELDS = (
    *("prompt", "n", "seed", "negative", "steps", "guidance", "sampler", "style"),
    *("start", "drawing", "strength", "keep", "component"),
)  # in the order in which the page sends them


@dataclass(frozen=True)
class Drawn:
    """A finished drawing of a session."""

    request: Request
    seen: list[Seen]

    @property
    def label(self) -> str:
        """Its name in the history."""
        seed = f"seed {self.request.seed}"
        return f"{self.request.prompt[:40]} · {seed}" if self.request.prompt else seed  # a model may take no text


class Session:
    """What one visitor has drawn and chosen: finished drawings, oldest first; the drawing and glyph shown; the tray."""

    def __init__(self) -> None:
        self.history: list[Drawn] = []
        self.shown = -1
        self.chosen: int | None = None
        self.tray: list[Item] = []

    def now(self) -> Drawn:
        """The drawing shown. UserError if there is none."""
        if not -len(self.history) <= self.shown < len(self.history):
            raise UserError("draw something first")
        return self.history[self.shown]


class Handlers:
    """The page's actions. Outputs are HTML texts and component updates, in the order that `layout` names."""

    def __init__(self, artist: Artist, folder: Path):
        self.artist, self.folder = artist, folder
        self.model = weights_hash(artist.pipe.unet)

    def draw(self, session: Session, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Draw; yields (status, stage, detail, history, keeping row)."""
        try:
            request = read_request(dict(zip(FIELDS, values, strict=True)), self.artist.pipe, page=True)
            last = yield from self._frames(request)
            drawn = Drawn(request, self.artist.read(last))
        except UserError as error:
            yield results.message(in_words(error), error=True), gr.skip(), gr.skip(), gr.skip(), gr.skip()
            return
        session.history = [*session.history, drawn][-KEPT:]
        session.shown, session.chosen = len(session.history) - 1, None
        yield (*self._shown(session), self._choices(session), SHOW)

    def _frames(self, request: Request) -> Generator[tuple[Any, ...], None, np.ndarray]:
        """Yield the stage as often as EVERY allows; returns the finished glyphs."""
        sent, last = 0.0, np.empty((0, 0, 0), np.uint8)
        for frame in self.artist.draw(request):
            last = frame.images
            if time.monotonic() - sent >= EVERY or frame.finished:
                sent = time.monotonic()
                status = results.progress(request.prompt, frame.step, frame.steps)
                yield status, results.frame(frame), "", gr.skip(), HIDE
        return last

    def cancelled(self, session: Session) -> tuple[Any, ...]:
        """The page after Stop, with the drawing shown before, if there is one; as `draw` yields it."""
        stopped = results.message("Stopped.")
        if not session.history:
            return stopped, results.waiting(USUAL_GLYPHS), "", gr.skip(), HIDE
        _, stage, detail = self._shown(session)
        return stopped, stage, detail, self._choices(session), SHOW

    def open(self, session: Session, event: gr.EventData) -> tuple[str, str, Any]:
        """Show what was read in the clicked glyph: (stage, detail, button that puts it into the tray)."""
        index = _index(event, "glyph")
        if not session.history or index is None or not 0 <= index < len(session.now().seen):
            return gr.skip(), gr.skip(), gr.skip()
        session.chosen = index
        _, stage, detail = self._shown(session)
        return stage, detail, gr.update(visible=True)

    def recall(self, session: Session, label: Any) -> tuple[Any, ...]:
        """Show an earlier drawing: (status, stage, detail, keeping row)."""
        labels = self._labels(session)
        if label not in labels:
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        session.shown, session.chosen = labels.index(label), None
        return (*self._shown(session), SHOW)

    def keep(self, session: Session, everything: bool) -> tuple[Any, ...]:
        """Put the open glyph, or all that are shown, into the tray: (status, tray, leaving row)."""
        try:
            drawn = session.now()
            if not everything and session.chosen is None:
                raise UserError("open a glyph first: click it")
            wanted = drawn.seen if everything or session.chosen is None else [drawn.seen[session.chosen]]
            items = [Item(drawn.request.prompt, drawn.request.seed, s.number, s.image, self.model) for s in wanted]
            session.tray = tray.added(session.tray, items)
        except UserError as error:
            return results.message(in_words(error), error=True), gr.skip(), gr.skip()
        return gr.skip(), *self._tray(session)

    def take_out(self, session: Session, event: gr.EventData) -> tuple[Any, ...]:
        """Take the clicked glyph out of the tray: (tray, leaving row)."""
        index = _index(event, "out")
        if index is not None and 0 <= index < len(session.tray):
            session.tray = [*session.tray[:index], *session.tray[index + 1 :]]
        return self._tray(session)

    def clear(self, session: Session) -> tuple[Any, ...]:
        """Empty the tray: (tray, leaving row)."""
        session.tray = []
        return self._tray(session)

    def pack_png(self, session: Session, family: Any) -> tuple[Any, Any]:
        """Make PNG pictures of the tray: (message, files), as the other two return."""
        return self._packed("Ready.", lambda folder: tray.pack_pngs(session.tray, folder))

    def pack_svg(self, session: Session, family: Any) -> tuple[Any, Any]:
        """Make SVG outlines of the tray."""
        return self._packed("Ready.", lambda folder: tray.pack_svgs(session.tray, folder))

    def pack_font(self, session: Session, family: Any) -> tuple[Any, Any]:
        """Make a font of the tray, under a name, and its specimen."""
        word = "Open the .ttf to install the font; its specimen shows what to type."
        return self._packed(word, lambda folder: tray.pack_font(session.tray, folder, family))

    def _packed(self, word: str, pack: Callable[[Path], list[Path]]) -> tuple[Any, Any]:
        try:
            files = pack(tray.fresh_folder(self.folder))
        except UserError as error:
            return results.message(in_words(error), error=True), gr.update(visible=False)
        return results.message(word), gr.update(value=[str(file) for file in files], visible=True)

    def _shown(self, session: Session) -> tuple[str, str, str]:
        """Status, stage and detail of what a session shows."""
        drawn, prompt = session.now(), session.now().request.prompt
        chosen = session.chosen
        detail = "" if chosen is None else results.detail(prompt, drawn.seen[chosen], self.artist.picture)
        return (
            results.summary(prompt, drawn.seen),
            results.tiles(prompt, drawn.seen, chosen, self.artist.picture),
            detail,
        )

    def _tray(self, session: Session) -> tuple[Any, ...]:
        return results.tray(session.tray), gr.update(visible=bool(session.tray))

    def _labels(self, session: Session) -> list[str]:
        return [f"{i + 1}. {drawn.label}" for i, drawn in enumerate(session.history)]

    def _choices(self, session: Session) -> Any:
        labels = self._labels(session)
        return gr.update(choices=labels[::-1], value=labels[session.shown], visible=len(labels) > 1)


HIDE, SHOW = gr.update(visible=False), gr.update(visible=True)


def dice() -> int:
    """A random seed."""
    return secrets.randbelow(1_000_000)


def _index(event: gr.EventData, name: str) -> int | None:
    """The number that a click on the page sent; None for anything else."""
    data = event._data
    value = data.get(name) if isinstance(data, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
