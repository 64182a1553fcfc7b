"""The HTTP API: one function, by which programs draw as the page does (docs/STUDIO.md)."""

from typing import Any

import gradio as gr

from glyffuser.base.errors import UserError
from glyffuser.serve.drawing import Artist
from glyffuser.serve.limits import in_words, read_request
from glyffuser.serve.results import data_url


class Api:
    """What programs may call."""

    def __init__(self, artist: Artist):
        self.artist = artist

    def draw(
        self,
        prompt: str,
        n: int | None = None,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        sampler: str | None = None,
        negative: str | None = None,
        style: str | None = None,
        start: str | None = None,
        drawing: str | None = None,
        strength: float | None = None,
        keep: str | None = None,
        component: str | None = None,
    ) -> dict:
        """Draw glyphs for an English meaning.

        Returns {"request": what decided the pictures, "glyphs": [{"png": data URL, "radical": ..., "exists": ...}]}.
        A request that cannot be met is answered with an error message.
        """
        wish = {"prompt": prompt, "n": n, "seed": seed, "steps": steps, "guidance": guidance, "sampler": sampler}
        wish |= {"negative": negative, "style": style, "start": start, "drawing": drawing, "strength": strength}
        try:
            request = read_request(wish | {"keep": keep, "component": component}, self.artist.pipe)
            (*_, last) = self.artist.draw(request)
        except UserError as error:
            raise gr.Error(in_words(error), print_exception=False) from error
        glyphs: list[dict[str, Any]] = [
            {"png": data_url(seen.image), **seen.facts()} for seen in self.artist.read(last.images)
        ]
        return {"request": self.artist.record(request), "glyphs": glyphs}
