"""The HTTP API: the documents' client, edits and styles, what it refuses, and many visitors at once."""

import base64
import io
import json
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glyffuser.generate.draw import draw
from glyffuser.generate.request import Request
from glyffuser.serve.api import Api
from glyffuser.serve.drawing import Artist, Frame
from glyffuser.serve.layout import WAITING, build_page
from studio_client import ask, bomb, call, heard, picture, queue, wish

ROOT = Path(__file__).parents[2]
VISITORS = 50
STEERED = {"sampler": "euler", "guidance": 3, "negative": "fire"}
BLANK = np.full((1, 16, 16), 255, np.uint8)


def test_the_client_of_the_documents_draws_what_sample_draws(studio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "STUDIO.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code.replace("http://127.0.0.1:7860", studio.url), {})
    expected = draw(studio.artist.pipe, ["gold"] * 4, Request(prompt="gold", n=4, seed=7, steps=20))
    for k in range(4):
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"gold-{k}.png")), expected[k])


def pictures(result: dict) -> np.ndarray:
    """The glyphs of a result, uint8 (N, H, W)."""
    data = [glyph["png"].partition(",")[2] for glyph in result["glyphs"]]
    return np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(png)))) for png in data])


@pytest.mark.parametrize(
    ("asked", "request_"),
    [
        ({"start": "湖", "strength": 0.5, "keep": "left"}, {"init": "湖", "strength": 0.5, "keep": "left"}),
        ({"component": "氵"}, {"parts": ("氵",)}),
        ({"component": "氵", "strength": 0.5}, {"parts": ("氵",), "strength": 0.5}),
        (STEERED, {**STEERED, "guidance": 3.0}),
    ],
)
def test_edits_draw_what_sample_draws(artist, asked, request_):
    result = Api(artist).draw("gold", n=2, seed=3, steps=4, **asked)
    assert np.array_equal(pictures(result), draw(artist.pipe, ["gold"] * 2, Request(n=2, seed=3, steps=4, **request_)))


def test_a_drawing_is_where_glyphs_begin_as_a_file_is_for_sample(artist, tmp_path):
    ink = Image.new("L", (64, 64), 255)
    ink.paste(0, (0, 0, 24, 64))
    ink.save(tmp_path / "sketch.png")
    result = Api(artist).draw("gold", n=1, steps=4, strength=0.5, drawing=picture(ink), keep="left")
    same = Request(n=1, steps=4, strength=0.5, init=str(tmp_path / "sketch.png"), keep="left")
    assert np.array_equal(pictures(result), draw(artist.pipe, ["gold"], same))
    assert not np.array_equal(pictures(result), draw(artist.pipe, ["gold"], Request(n=1, steps=4)))


def test_a_model_with_styles_and_parts_is_told_them(closed, artist, tmp_path):
    """The closed networks' pipeline has both; the API's glyphs are compared with those drawn directly."""
    told = Artist(closed.pipe, artist.judges, artist.table, artist.finder)
    result = Api(told).draw("gold", n=1, seed=3, steps=2, style="sans", component="水:left")
    expected = draw(closed.pipe, ["gold"], Request(n=1, seed=3, steps=2, style="sans", parts=("水:left",)))
    assert np.array_equal(pictures(result), expected)
    assert result["request"]["style"] == "sans"
    labels: dict[str, Any] = {
        block.label: block for block in build_page(told, tmp_path).blocks.values() if hasattr(block, "label")
    }
    assert labels["Style"].visible
    assert [value for _, value in labels["Style"].choices] == ["", "sans"]


def test_a_model_without_text_draws_and_nine_glyphs_are_usual(make_pipe, artist, monkeypatch):
    silent, drawn = Artist(make_pipe(text_route="none"), artist.judges, artist.table, artist.finder), []

    def read(self, images: np.ndarray) -> list:
        drawn.append(images)
        return []

    monkeypatch.setattr(Artist, "read", read)
    Api(silent).draw("", seed=3, steps=1)
    assert np.array_equal(drawn[0], draw(silent.pipe, [""] * 9, Request(seed=3, steps=1)))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (wish("x" * 100_000), "at most 400"),
        (wish(["gold"]), "must be a text, not a list"),
        (wish({"gold": 1}), "must be a text, not an object"),
        (wish("gold", n="many"), "must be a number, not a text"),
        (wish("gold", seed=[1]), "must be a number, not a list"),
        (wish("gold", steps={}), "must be a number, not an object"),
        (wish("gold", guidance=True), "must be a number, not true or false"),
        (wish("gold", sampler=7), "must be a text, not a number"),
        (wish("gold", keep=[]), "must be a text, not a list"),
        (wish("gold", start="湖", strength="half"), "must be a number, not a text"),
        (wish("gold", start="/etc/passwd"), "a single character"),
        (wish("gold", keep="left"), "give the picture with the start"),
        (wish("gold", component="../../etc/passwd"), "etc/passwd"),
        (wish("gold", drawing=bomb(20_000, 20_000)), "no picture that can be read"),
        (wish("gold", drawing=bomb(5_000, 5_000)), "at most 2048"),
        ([], "the prompt is empty"),
        ([None] * 13, "the prompt is empty"),
    ],
)
def test_the_api_refuses_in_words(studio, data, said):
    answer = call(studio.url, data)
    assert "event: error" in answer
    assert said in answer
    assert "Traceback" not in answer


def test_arguments_may_be_left_out_but_not_added(studio):
    assert "event: complete" in call(studio.url, ["gold", 1, 0, 1])
    status, body = ask(f"{studio.url}/gradio_api/call/draw", json.dumps({"data": ["gold"] * 14}).encode())
    assert (status, json.loads(body)) == (400, {"error": "data must be a list of at most 13 arguments"})
    assert ask(f"{studio.url}/gradio_api/call/draw", b'{"data": "gold"}')[0] == 400


def test_fifty_visitors_at_once_get_places_in_the_queue_and_then_their_glyphs(studio, monkeypatch):
    gate, told = threading.Event(), threading.Semaphore(0)
    drawing = threading.Lock()

    def held(self, request):
        assert drawing.acquire(blocking=False)  # one at a time
        gate.wait(100)
        yield Frame(1, 1, BLANK)
        drawing.release()

    monkeypatch.setattr(Artist, "draw", held)
    monkeypatch.setattr(Artist, "read", lambda self, images: [])
    places: dict[str, int] = {}
    ends: dict[str, dict] = {}

    def visit(name: str) -> None:
        for message in heard(studio.url, name):
            if not gate.is_set() and message["msg"] in ("estimation", "process_starts"):
                places[name] = message["rank"] + 1 if message["msg"] == "estimation" else 0
                told.release()
            elif message["msg"] == "process_completed":
                ends[name] = message

    names = [f"visitor{k}" for k in range(VISITORS)]
    threads = [threading.Thread(target=visit, args=(name,)) for name in names]
    for name, thread in zip(names, threads, strict=True):
        status, body = queue(studio.url, name, wish("gold"))
        assert status == 200, body
        thread.start()
    for _ in range(VISITORS + 1):  # the first is told twice: its place, and that it begins
        assert told.acquire(timeout=100)
    assert [places[name] for name in names] == list(range(VISITORS))
    assert json.loads(ask(f"{studio.url}/health")[1])["waiting"] == VISITORS - 1
    for k in range(WAITING - VISITORS + 1):
        assert queue(studio.url, f"late{k}", wish("gold"))[0] == 200
    status, body = queue(studio.url, "too late", wish("gold"))
    assert (status, "full" in body) == (503, True)
    gate.set()
    for thread in threads:
        thread.join(100)
    assert all(end["success"] for end in ends.values())
    assert len(ends) == VISITORS
