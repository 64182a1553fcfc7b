"""The running studio: its page in a browser, its API, and what it refuses."""

import json
import re
import threading
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from fontTools.ttLib import TTFont

from glyffuser.base.errors import UserError
from glyffuser.serve.drawing import Artist, Frame
from glyffuser.serve.guard import LARGEST_BODY, wrong
from glyffuser.serve.studio import check_access

ROOT = Path(__file__).parents[2]
MEANING = "#meaning input, #meaning textarea"


def ask(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body of an answer; POST where there is data."""
    headers = {"content-type": "application/json"} | (headers or {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def call(url: str, data: list) -> str:
    """What the API streams for positional arguments."""
    status, body = ask(f"{url}/gradio_api/call/draw", json.dumps({"data": data}).encode())
    assert status == 200, body
    return ask(f"{url}/gradio_api/call/draw/{json.loads(body)['event_id']}")[1]


def wish(prompt: object, **more: object) -> list:
    """Arguments of the API, few steps."""
    usual = {"n": 2, "seed": 3, "steps": 2} | more
    names = ("guidance", "sampler", "negative", "style", "start", "drawing", "strength", "keep", "component")
    return [prompt, usual["n"], usual["seed"], usual["steps"], *(more.get(name) for name in names)]


@pytest.mark.parametrize(
    ("host", "auth", "no_auth", "expected"),
    [
        ("127.0.0.1", None, False, None),
        ("localhost", None, False, None),
        ("::1", None, False, None),
        ("0.0.0.0", "me:se:cret", False, ("me", "se:cret")),
        ("0.0.0.0", None, True, None),
    ],
)
def test_who_may_come_in(host, auth, no_auth, expected):
    assert check_access(host, auth, no_auth) == expected


@pytest.mark.parametrize(
    ("host", "auth", "no_auth"),
    [("0.0.0.0", None, False), ("example.org", None, False), ("::", None, False)]
    + [("127.0.0.1", auth, False) for auth in ("me", "me:", ":secret", "")]
    + [("127.0.0.1", "me:secret", True)],
)
def test_other_machines_need_a_word(host, auth, no_auth):
    with pytest.raises(UserError, match="--auth"):
        check_access(host, auth, no_auth)


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[1]",
        b'{"data": [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]}',
        b'{"data": [[{"u\\u0072l": "http://example.org/"}]]}',
        b'{"prompt": {"path": "x"}}',
        b"[" * 100_000,
    ],
)
def test_bodies_that_are_refused(body):
    assert wrong(body) is not None


def test_bodies_that_are_let_through():
    assert wrong(b"") is None
    assert wrong(b'{"data": ["gold", 3, null], "event_data": {"glyph": 2}}') is None


def test_health_and_headers(studio):
    assert json.loads(ask(f"{studio.url}/health")[1]) == {"status": "ok", "waiting": 0}
    with urllib.request.urlopen(f"{studio.url}/") as answer:
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_client_of_the_documents_draws_what_sample_draws(studio, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "STUDIO.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(code.replace("http://127.0.0.1:7860", studio.url), {})
    from PIL import Image

    from glyffuser.generate.draw import draw
    from glyffuser.generate.request import Request

    expected = draw(studio.artist.pipe, ["gold"] * 4, Request(prompt="gold", n=4, seed=7, steps=20))
    for k in range(4):
        assert np.array_equal(np.asarray(Image.open(tmp_path / f"gold-{k}.png")), expected[k])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (wish("x" * 100_000), "at most 400"),
        (wish(["gold"]), "must be a text, not a list"),
        (wish("gold", n="many"), "must be a number, not a text"),
        (wish("gold", start="/etc/passwd"), "a single character"),
    ],
)
def test_the_api_refuses_in_words(studio, data, said):
    answer = call(studio.url, data)
    assert "event: error" in answer
    assert said in answer
    assert "Traceback" not in answer


def test_no_files_go_in_and_none_come_out(studio):
    assert ask(f"{studio.url}/gradio_api/upload", b"x")[0] == 404
    assert ask(f"{studio.url}/gradio_api/proxy=http://example.org/")[0] == 404
    assert ask(f"{studio.url}/gradio_api/call/draw", b'{"data": [{"path": "/etc/passwd"}]}')[0] == 400
    assert ask(f"{studio.url}/gradio_api/call/draw", b" " * (LARGEST_BODY + 1))[0] == 413
    for path in ("/etc/passwd", ROOT / "README.md", f"{studio.folder}/../../etc/passwd", "http://example.org/"):
        assert ask(f"{studio.url}/gradio_api/file={path}")[0] in (400, 403, 404)
    assert ask(f"{studio.url}/health", headers={"host": "evil.example"})[0] == 400


def test_several_visitors_wait_their_turn(studio):
    answers: list[str] = []
    visitors = [threading.Thread(target=lambda: answers.append(call(studio.url, wish("gold")))) for _ in range(12)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert len(answers) == 12
    assert all("event: complete" in answer for answer in answers)


@pytest.fixture
def page(studio, browser):
    """The open page, and after the test: it asked nothing of another host, and no script failed."""
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(60_000)
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(studio.url)
    page.wait_for_selector("#draw")
    yield page
    context.close()
    assert failed == []
    assert [url for url in asked if not url.startswith((studio.url, "data:", "blob:"))] == []


def set_steps(page, steps: int) -> None:
    page.click("#how button")
    page.fill("#how input[type=number] >> nth=0", str(steps))
    page.keyboard.press("Tab")


def test_from_a_meaning_to_a_font(page, studio, tmp_path, monkeypatch):
    """The tiny model draws nothing that could be traced: real characters stand in for its glyphs."""
    characters = np.stack([studio.artist.picture(char) for char in "金木水火土日月山石"])
    monkeypatch.setattr(Artist, "draw", lambda self, request: iter([Frame(0, 1, characters), Frame(1, 1, characters)]))
    set_steps(page, 3)
    page.fill(MEANING, "gold")
    page.click("#draw")
    page.wait_for_selector("button.tile >> nth=8")
    page.click("button.tile >> nth=1")
    page.wait_for_selector(".detail")
    assert "glyph 2 for gold" in page.inner_text(".detail")
    page.click("#keep-all")
    page.wait_for_selector("ul.tray li >> nth=8")
    page.click("ul.tray li >> nth=0 >> button")
    page.wait_for_selector("ul.tray li >> nth=8", state="detached")
    page.click("#font")
    page.wait_for_selector("#files a")
    with page.expect_download() as download:
        page.click("#files a >> nth=0")
    download.value.save_as(tmp_path / "font.ttf")
    assert 0xE007 in TTFont(tmp_path / "font.ttf").getBestCmap()


def test_denoising_streams_and_stops_and_the_next_drawing_begins(page):
    set_steps(page, 100)
    page.fill(MEANING, "gold")
    page.click("#draw")
    seen: set[str | None] = set()
    while len(seen) < 3:
        seen.add(page.wait_for_selector(".tiles.drawing").get_attribute("data-step"))
    page.click("#stop")
    page.wait_for_selector("#status :text('Stopped.')")
    page.wait_for_selector(".tiles.drawing", state="detached")
    page.wait_for_timeout(1500)
    assert page.query_selector(".tiles.drawing, button.tile") is None
    assert "Stopped." in page.inner_text("#status")
    page.fill("#how input[type=number] >> nth=0", "2")
    page.keyboard.press("Tab")
    page.click("#draw")
    page.wait_for_selector("button.tile")


def test_hostile_prompts_stay_text(page):
    page.evaluate("window.hit = 0")
    set_steps(page, 1)
    for prompt in ("<img src=x onerror='window.hit=1'>", "${window.hit=1} {{value}} `"):
        page.fill(MEANING, prompt)
        page.click("#draw")
        page.wait_for_function("text => document.querySelector('#status b')?.textContent === text", arg=prompt)
        page.wait_for_selector("button.tile")
    assert page.evaluate("window.hit") == 0


def test_what_is_wrong_stands_on_the_page(page):
    page.click("#draw")
    page.wait_for_selector("#status [role=alert]")
    assert "the prompt is empty" in page.inner_text("#status")


def test_a_drawing_reaches_the_studio(page):
    set_steps(page, 2)
    page.click("#start button")
    canvas = page.wait_for_selector("#pad canvas")
    page.wait_for_timeout(500)  # the fold opens
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 150, steps=4)
    page.mouse.up()
    page.fill(MEANING, "gold")
    page.fill("#start-char input, #start-char textarea", "湖")
    page.click("#draw")
    page.wait_for_function("document.querySelector('#status').textContent.includes('not from both')")
