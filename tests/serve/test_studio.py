"""The running studio: who may come in, and its page in a browser."""

import base64
import io
import json
import threading
import time
import urllib.parse
import urllib.request
import zipfile
from typing import Any

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from accessible import UNNAMED
from glyffuser.base.errors import UserError
from glyffuser.serve.drawing import Artist, Frame
from glyffuser.serve.studio import check_access
from studio_client import ask, call, wish

MEANING = "#meaning input, #meaning textarea"
FROM_THE_START = 5  # clicks from `glyffuser serve` to an installed font, the last of them the system's own "Install"
PATIENCE = 300_000  # milliseconds: a busy machine is not a failure
PHONE = {"width": 360, "height": 740}


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


def test_health_and_headers(studio):
    def health() -> dict[str, Any]:
        return json.loads(ask(f"{studio.url}/health")[1])

    until = time.monotonic() + 60  # what visitors of other tests asked for is still being drawn
    while health()["waiting"] and time.monotonic() < until:
        time.sleep(0.1)
    assert health() == {"status": "ok", "waiting": 0}
    with urllib.request.urlopen(f"{studio.url}/") as answer:
        assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_with_a_password_nothing_but_health_and_the_login_is_open(locked_studio):
    url = locked_studio.url
    assert ask(f"{url}/health")[0] == 200
    for path in ("config", "gradio_api/info", "gradio_api/file=/etc/passwd", "gradio_api/queue/data?session_hash=x"):
        assert ask(f"{url}/{path}")[0] == 401, path
    for path in ("gradio_api/call/draw", "gradio_api/queue/join", "gradio_api/run/draw"):
        assert ask(f"{url}/{path}", json.dumps({"data": wish("gold")}).encode())[0] == 401, path
    form = {"content-type": "application/x-www-form-urlencoded"}
    wrong = urllib.parse.urlencode({"username": "me", "password": "guess"}).encode()
    assert ask(f"{url}/login", wrong, form)[0] == 400
    from gradio_client import Client

    client = Client(url, auth=("me", "se:cret"), verbose=False)
    assert client.predict("gold", n=1, steps=1, api_name="/draw")["request"]["prompt"] == "gold"


@pytest.fixture(scope="module")
def visits(browser):
    """What the visits of one browser share: its cache."""
    context = browser.new_context(accept_downloads=True)
    context.add_init_script(
        "window.clicks = 0; addEventListener('click', (e) => { window.clicks += e.isTrusted; }, true)"
    )
    yield context
    context.close()


@pytest.fixture
def page(studio, visits):
    """The open page; it may ask nothing of another host, and no script may fail."""
    page = visits.new_page()
    page.set_default_timeout(PATIENCE)
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.goto(studio.url)
    page.wait_for_selector("#draw")
    yield page
    page.close()
    assert failed == []
    assert [url for url in asked if not url.startswith((studio.url, "data:", "blob:"))] == []


def set_steps(page, steps: int) -> None:
    page.click("#how button")
    page.fill("#how input[type=number] >> nth=0", str(steps))
    page.keyboard.press("Tab")


CHARACTERS = "金木水火土日月山石"


@pytest.fixture
def real_glyphs(studio, monkeypatch):
    """The tiny model draws nothing that could be traced: real characters stand in for its glyphs."""
    drawn = np.stack([studio.artist.picture(char) for char in CHARACTERS])
    monkeypatch.setattr(Artist, "draw", lambda self, request: iter([Frame(0, 1, drawn), Frame(1, 1, drawn)]))
    return drawn


def test_from_serve_to_an_installed_font_in_five_clicks(page, real_glyphs, visits, tmp_path):
    page.fill(MEANING, "gold")  # the cursor is there already
    page.click("#draw")
    page.wait_for_selector("button.tile >> nth=8")
    page.click("#keep-all")
    page.click("#font")
    page.wait_for_selector("#files a")
    with page.expect_download() as download:
        page.click("#files a >> nth=0")
    assert page.evaluate("window.clicks") <= FROM_THE_START - 1
    assert download.value.suggested_filename == "MyGlyphs.ttf"
    download.value.save_as(tmp_path / "font.ttf")
    codes = TTFont(tmp_path / "font.ttf").getBestCmap()
    other = visits.new_page()  # the font, installed in a page that is not ours
    other.goto("about:blank")
    loaded = """async (data) => { const face = new FontFace('Mine', `url(data:font/ttf;base64,${data})`);
        document.fonts.add(await face.load()); return document.fonts.check("90px Mine"); }"""
    assert other.evaluate(loaded, base64.b64encode((tmp_path / "font.ttf").read_bytes()).decode())
    painted = """(text) => { const c = new OffscreenCanvas(128, 128).getContext('2d'); c.font = '90px Mine';
        c.fillText(text, 10, 100); return [...c.getImageData(0, 0, 128, 128).data].filter((_, i) => i % 4 == 3); }"""
    inks = [np.array(other.evaluate(painted, chr(0xE000 + k))) > 127 for k in range(len(CHARACTERS))]
    assert all(0xE000 + k in codes for k in range(len(CHARACTERS)))
    typed = np.array(other.evaluate(painted, ":gold:")) > 127
    assert (typed == inks[0]).all()  # the meaning, typed between colons, is the first glyph
    shares = [ink.mean() / (glyph < 128).mean() for ink, glyph in zip(inks, real_glyphs, strict=True)]
    assert np.ptp(shares) < 0.1 * np.mean(shares)  # each has the ink of its own character
    other.close()


def test_what_is_said_of_a_glyph_and_what_leaves_the_tray(page, real_glyphs):
    page.fill(MEANING, "gold")
    page.click("#draw")
    page.wait_for_selector("button.tile >> nth=8")
    page.click("button.tile >> nth=1")
    page.wait_for_selector(".detail")
    said = page.inner_text(".detail")
    assert "glyph 2 for gold" in said
    assert "tree" in said  # the meaning nearest to 木
    page.click("#keep-all")
    page.wait_for_selector("ul.tray li >> nth=8")
    page.click("ul.tray li >> nth=0 >> button")
    page.wait_for_selector("ul.tray li >> nth=8", state="detached")
    for button in ("png", "svg"):
        page.click(f"#{button}")
        page.wait_for_selector(f"#files a[href$='glyphs-{button}.zip']")
        with page.expect_download() as download:
            page.click("#files a >> nth=0")
        with zipfile.ZipFile(download.value.path()) as archive:
            assert archive.namelist() == [f"gold-0-{k}.{button}" for k in range(1, 9)]
            if button == "png":
                first = np.asarray(Image.open(io.BytesIO(archive.read("gold-0-1.png"))))
                assert np.array_equal(first, real_glyphs[1])


def test_who_waits_sees_the_place_and_may_leave_the_queue(page, studio, monkeypatch):
    gate, begun = threading.Event(), threading.Event()

    def held(self, request):
        begun.set()
        gate.wait(100)
        yield Frame(1, 1, np.full((1, 16, 16), 255, np.uint8))

    monkeypatch.setattr(Artist, "draw", held)
    monkeypatch.setattr(Artist, "read", lambda self, images: [])
    other = threading.Thread(target=call, args=(studio.url, wish("gold")))
    other.start()
    assert begun.wait(60)
    page.fill(MEANING, "water")
    page.click("#draw")
    page.wait_for_selector("#stage :text('queue: 1/1')")
    assert json.loads(ask(f"{studio.url}/health")[1])["waiting"] == 1
    page.click("#stop")
    page.wait_for_selector("#status :text('Stopped.')")
    assert json.loads(ask(f"{studio.url}/health")[1])["waiting"] == 0
    gate.set()
    other.join(60)


def test_denoising_streams_and_stops_and_the_next_drawing_begins(page, monkeypatch):
    drawn = Artist.draw

    def slowly(self, request):
        for frame in drawn(self, request):
            time.sleep(0.1)  # the tiny model would be done before the browser has shown three steps
            yield frame

    monkeypatch.setattr(Artist, "draw", slowly)
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
    page.fill("#how input[type=number] >> nth=0", "100")
    page.keyboard.press("Tab")
    page.click("#draw")
    page.wait_for_selector(".tiles.drawing")
    page.click("#stop")
    page.wait_for_selector("#status :text('Stopped.')")
    page.wait_for_selector("button.tile")  # the drawing before it is there again
    page.wait_for_selector("#keep-all")


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
    page.wait_for_timeout(500)  # until the fold is open
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


def test_a_phone_has_no_sideways_scrolling_and_every_control_a_name(studio, browser):
    context = browser.new_context(viewport=PHONE, color_scheme="dark", reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(studio.url)
    page.wait_for_selector("#draw")
    page.click("#how button")
    page.click("#start button")
    page.wait_for_selector("#pad canvas")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(UNNAMED) == []
    page.click("#draw")
    said = page.wait_for_selector("#status [role=alert]").bounding_box()
    assert 0 <= said["y"] < PHONE["height"]  # the error is in sight
    context.close()
