"""The explorer's page in a browser; the networks are formulas, so Python can draw along."""

import queue
import threading
import webbrowser
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from accessible import UNNAMED
from glyffuser.base.pictures import to_grey
from glyffuser.commands.explorer import Explorer
from glyffuser.config import INTERVAL
from glyffuser.diffusion.guidance import classifier_free
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.serve import explorer
from glyffuser.serve.explorer import server

PROMPT = "a deep river"
SAMPLERS_OF_THE_PAGE = ("dpm++2m-sde", "ddpm", "ddim", "euler")
PATIENCE = 300_000  # milliseconds: a busy machine is not a failure
PHONE = {"width": 360, "height": 740}


def opened(browser: Any, url: str, **how: Any) -> Any:
    """The page once it has drawn, offline if it is a file: without script errors, and without asking another host."""
    settings = {"viewport": {"width": 1000, "height": 800}, "offline": url.startswith("file")}
    context = browser.new_context(**settings | how)
    tab, errors = context.new_page(), []
    tab.set_default_timeout(PATIENCE)
    tab.on("pageerror", lambda error: errors.append(str(error)))
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(url)
    tab.wait_for_function("['drawn', 'failed'].includes(document.body.dataset.state)")
    tab.wait_for_function("document.body.dataset.map === 'open'")
    assert not errors
    assert all(one.startswith((url.rpartition("/")[0], "blob:", "data:")) for one in asked)
    return tab


@pytest.fixture(scope="module")
def tab(browser, explorer_page) -> Iterator[Any]:
    """The page, opened from the file system; every test that uses it draws anew."""
    tab = opened(browser, explorer_page.index.as_uri())
    yield tab
    tab.context.close()


def greys(tab: Any, canvas: str) -> np.ndarray:
    """A canvas as the page shows it: grey values from 0 to 255, int64 (H W,)."""
    pick = "(c) => [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 == 0)"
    return np.array(tab.locator(f"#{canvas}").evaluate(pick), np.int64)


def draw(tab: Any, prompt: str, second: str = "", **choices: str) -> None:
    """Have the page draw, and wait until it has finished."""
    tab.fill("#prompt", prompt)
    tab.fill("#prompt-2", second)
    for name, value in choices.items():
        tab.select_option(f"#{name}", value)
    finished(tab, lambda: tab.click("#draw"))


def finished(tab: Any, press: Any) -> None:
    """Press something that draws, and wait until it is drawn."""
    tab.evaluate("document.body.dataset.state = 'asked'")  # drawing may be over before it can be seen
    press()
    tab.wait_for_function("document.body.dataset.state === 'drawn'")


def step_to(tab: Any, step: int) -> None:
    tab.locator("#step").fill(str(step))
    tab.wait_for_function("([k]) => document.body.dataset.step === String(k)", arg=[step])


def test_gold_is_drawn_with_the_network_switched_off(tab):
    assert tab.evaluate("fetch('https://example.org/').then(() => 'came', () => 'no network')") == "no network"
    assert "“gold”" in tab.inner_text("#lane-0-name")  # what the page draws unasked
    assert "drawn in" in tab.inner_text("#status")
    draw(tab, "gold", steps="8")
    assert len(np.unique(greys(tab, "lane-0-x0"))) > 100


def hashed(x: Any) -> Any:
    """web/src/noise.ts: scramble, on whole numbers modulo 2^32."""
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def page_noise(n: int, seed: int, stream: int) -> torch.Tensor:
    """The page's standard normal noise, web/src/noise.ts: normal (Box and Muller 1958)."""
    modulus = np.uint64(2**32)
    key = hashed(hashed(np.uint64(seed + 0x9E3779B9) % modulus) ^ (np.uint64(stream + 0x7F4A7C15) % modulus))
    places = np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B1)
    chances = (hashed((key + places) % modulus) + 0.5) / 2**32
    radius, angle = np.sqrt(-2 * np.log(chances[::2])), 2 * np.pi * chances[1::2]
    return torch.from_numpy(np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).ravel()).float()


@pytest.mark.parametrize("name", SAMPLERS_OF_THE_PAGE)
def test_the_page_draws_what_python_draws_from_the_same_noise(tab, closed, inputs, name):
    facts, steps, shape = explorer.page_facts({"steps": 40}, inputs), 8, (1, *closed.shape)
    draw(tab, PROMPT, sampler=name, steps=str(steps))
    sigmas = torch.tensor(facts["grids"][steps], dtype=torch.float64)
    fresh = iter([page_noise(int(np.prod(shape)), 0, 1 + i).reshape(shape) for i in range(steps)])
    start = (sigmas[0] * page_noise(int(np.prod(shape)), 0, 0)).float().reshape(shape)
    guided = classifier_free(closed.denoise, inputs.pipe.usual.guidance, closed.condition(""), INTERVAL)
    *_, last = SAMPLERS[name](guided, start, sigmas, closed.condition(PROMPT), lambda x, *_: next(fresh))
    drawn = to_grey(last.x).ravel().astype(np.int64)
    assert len(np.unique(drawn)) > 100
    assert np.abs(greys(tab, "lane-0-x0") - drawn).max() <= 1


def test_steps_are_walked_and_guidance_acts_on_the_step_at_hand(tab, inputs):
    usual = f"{inputs.pipe.usual.guidance:g}"
    draw(tab, PROMPT, sampler="ddpm", steps="8")
    final = greys(tab, "lane-0-x0")
    tab.click("#back")
    tab.wait_for_function("document.body.dataset.step === '7'")
    assert (greys(tab, "lane-0-xt") != final).any()
    step_to(tab, 3)
    low, noisy = greys(tab, "lane-0-x0"), greys(tab, "lane-0-xt")
    tab.locator("#guidance").fill("8")
    tab.wait_for_function("document.body.dataset.scale === '8'")
    assert (greys(tab, "lane-0-x0") != low).any()
    assert (greys(tab, "lane-0-xt") == noisy).all()  # the path to this step stays the same
    tab.locator("#guidance").fill(usual)
    tab.wait_for_function("(usual) => document.body.dataset.scale === usual", arg=usual)
    assert (greys(tab, "lane-0-x0") == low).all()


def test_two_prompts_begin_in_the_same_noise(tab):
    draw(tab, "gold", PROMPT)
    assert PROMPT in tab.inner_text("#lane-1-name")
    assert (greys(tab, "lane-0-x0") != greys(tab, "lane-1-x0")).any()
    tab.click("#first")
    tab.wait_for_function("document.body.dataset.step === '0'")
    assert (greys(tab, "lane-0-xt") == greys(tab, "lane-1-xt")).all()


def test_the_sample_walks_over_the_map(tab, inputs):
    draw(tab, PROMPT, steps="8")
    walk = tab.locator(".atlas-walk")
    assert walk.evaluate("c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)")
    assert walk.get_attribute("data-places") == "9"  # one for each step, and one for the start
    step_to(tab, 4)
    assert walk.get_attribute("data-places") == "5"
    assert tab.locator("#nearest .sign").get_attribute("aria-label") in inputs.data.chars
    assert tab.inner_text("#nearest").removeprefix("Nearest real character: ").strip() in inputs.data.definitions


def test_places_on_the_map_stand_by_their_steps(tab):
    draw(tab, PROMPT, steps="8")
    walk = tab.locator(".atlas-walk")
    for step, places in ((2, "3"), (6, "4"), (4, "4")):  # steps 3 to 5 were not shown on the way to 6, nor is 6 at 4
        step_to(tab, step)
        assert walk.get_attribute("data-places") == places


def test_the_map_opens_at_the_step_that_is_shown(browser, explorer_page):
    tab = opened(browser, explorer_page.index.as_uri())
    walk, last = tab.locator(".atlas-walk"), int(tab.input_value("#step"))
    assert walk.get_attribute("data-places") == "1"
    step_to(tab, last - 1)
    assert walk.get_attribute("data-places") == "1"  # what came after it is taken off the map
    tab.context.close()


def test_the_page_says_where_guidance_acts(tab):
    draw(tab, PROMPT, steps="8")
    said = {}
    for step in (0, 8):
        step_to(tab, step)
        said[step] = tab.inner_text("#guidance-note")
    assert "does not act yet" in said[0]
    assert "only cleaning left" in said[8]


def test_a_stopped_drawing_is_said_to_be_and_can_be_finished(tab):
    draw(tab, PROMPT, steps="8")
    tab.evaluate("document.getElementById('take').disabled = true")  # as before the first drawing
    press = "(ids) => ids.forEach((id) => document.getElementById(id).click())"
    tab.evaluate(press, ["draw", "play"])
    assert tab.inner_text("#status") == "stopped"
    assert tab.inner_text("#play") == "Play"
    finished(tab, lambda: tab.click("#play"))
    assert tab.inner_text("#status") == "drawn"  # no time is told, as it rested
    assert tab.is_enabled("#take")
    assert tab.input_value("#step") == "8"
    finished(tab, lambda: tab.evaluate(press, ["draw", "play", "draw"]))  # a newer one goes on
    assert "drawn in" in tab.inner_text("#status")
    tab.click("#back")
    tab.wait_for_function("document.body.dataset.step === '7'")
    assert "drawn in" in tab.inner_text("#status")


def test_a_drawing_that_is_walked_to_its_end_by_hand_is_drawn(tab):
    draw(tab, PROMPT, steps="8")
    tab.evaluate("document.getElementById('draw').click(); document.getElementById('first').click()")
    tab.wait_for_function("document.body.dataset.step === '0'")
    assert tab.inner_text("#status") == "stopped"
    finished(tab, lambda: tab.locator("#step").fill("8"))
    assert tab.inner_text("#status") == "drawn"


def test_a_character_of_the_map_is_noised_and_denoised(tab):
    tab.locator("[data-canvas]").focus()
    tab.keyboard.press("ArrowLeft")  # the nearest character is read out
    tab.keyboard.press("Enter")
    tab.wait_for_function("!document.getElementById('lab-name').textContent.startsWith('invented')")
    tab.locator("#level").fill("0")
    tab.wait_for_function("Number(document.getElementById('lab').dataset.sigma) < 0.1")
    assert np.abs(greys(tab, "lab-xt") - greys(tab, "lab-glyph")).mean() < 40  # next to no noise
    assert tab.locator("#lab-name .sign").get_attribute("aria-label")
    named = tab.inner_text("#lab-name").strip()
    finished(tab, lambda: tab.click("#denoise"))
    assert named in tab.inner_text("#lane-0-name")


def test_open_serves_an_isolated_page_that_uses_threads(browser, explorer_page, inputs, tmp_path, monkeypatch, capsys):
    """`glyffuser explorer --open`, except for writing the page, which exists already."""
    addresses: queue.Queue[str] = queue.Queue()
    servers: list[Any] = []

    def kept(folder, port):
        servers.append(server(explorer_page.index.parent, port))
        return servers[0]

    monkeypatch.setattr(explorer, "write_explorer", lambda *_: explorer_page)
    monkeypatch.setattr(explorer, "server", kept)
    monkeypatch.setattr(webbrowser, "open", addresses.put)
    command = threading.Thread(target=Explorer(out=tmp_path / "page", data=inputs.data_path, open_page=True).run)
    command.start()
    try:
        tab = opened(browser, addresses.get(timeout=60))
        assert tab.evaluate("crossOriginIsolated")
        cores = tab.evaluate("navigator.hardwareConcurrency")
        assert tab.evaluate("Number(document.body.dataset.threads)") == min(cores, 4)
        assert "drawn in" in tab.inner_text("#status")
        tab.context.close()
    finally:
        servers[0].shutdown()
        command.join(10)
    assert not command.is_alive()
    assert str(explorer_page.index) in capsys.readouterr().out


def test_a_phone_with_reduced_motion_shows_a_drawing_once_and_needs_no_sideways_scrolling(browser, explorer_page):
    calm = {"viewport": PHONE, "reduced_motion": "reduce", "color_scheme": "dark"}
    tab = opened(browser, explorer_page.index.as_uri(), **calm)
    tab.evaluate(
        """() => { window.painted = 0; const put = CanvasRenderingContext2D.prototype.putImageData;
        CanvasRenderingContext2D.prototype.putImageData = function (...all) {
          window.painted += this.canvas.id === 'lane-0-x0'; return put.apply(this, all); }; }"""
    )
    draw(tab, "gold", PROMPT, steps="8")
    assert tab.evaluate("window.painted") == 1
    stopped = """() => new Promise((done) => {
        new MutationObserver((_, watch) => { if (document.body.dataset.step !== '3') return; watch.disconnect();
          const was = window.painted; document.getElementById('play').click(); done(window.painted - was);
        }).observe(document.body, { attributeFilter: ['data-step'] });
        document.getElementById('draw').click(); })"""
    assert tab.evaluate(stopped) == 1  # where it was stopped is shown
    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.evaluate(UNNAMED) == []
    tab.context.close()


@pytest.mark.parametrize(
    ("content", "said"), [(None, "missing; write the page again"), (b"glyffuserPart(", "damaged; copy the page again")]
)
def test_a_part_that_cannot_be_had_is_said_on_the_page(browser, explorer_page, tmp_path, content, said):
    folder = explorer_page.index.parent
    (tmp_path / "page" / "data").mkdir(parents=True)
    for file in folder.rglob("*"):
        if file.is_file() and file.name != "denoiser.js":
            target = tmp_path / "page" / file.relative_to(folder)
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(file)
    if content is not None:
        (tmp_path / "page" / "data" / "denoiser.js").write_bytes(content)
    context = browser.new_context()
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    tab.goto((tmp_path / "page" / "index.html").as_uri())
    tab.wait_for_function("document.body.dataset.state === 'failed'")
    assert tab.inner_text("#status") == f"this page cannot run the model: data/denoiser.js is {said}"
    context.close()
