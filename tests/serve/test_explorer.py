"""The explorer's folder, its server, and its page in a browser, with a tiny model."""

import base64
import gzip
import http.client
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.generate.pipeline import load_pipeline
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.map_layout import shrink
from glyffuser.serve.explorer import CHUNK, MARK, Page, check_folder, projection, script, server, write_explorer

PROMPT = "a deep river"


@pytest.fixture(scope="module")
def inputs(tiny_data, tiny_model, tmp_path_factory) -> Inputs:
    """A tiny model whose network has nothing at zero, so that prompts and guidance show."""
    pipe, folder = load_pipeline(tiny_model), tmp_path_factory.mktemp("lively")
    torch.manual_seed(0)
    for parameter in pipe.unet.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    pipe.save_pretrained(folder)
    return Inputs(tiny_data, folder, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def page(inputs, tmp_path_factory) -> Page:
    return write_explorer(inputs, tmp_path_factory.mktemp("explorer") / "page")


@pytest.fixture
def address(page) -> Iterator[str]:
    with server(page.index.parent) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def unpacked(text: str) -> bytes:
    chunks = json.loads(re.fullmatch(r'glyffuserPart\("\w+", (\[.*\])\);\n', text)[1])  # type: ignore[index]
    return gzip.decompress(b"".join(map(base64.b64decode, chunks)))


@pytest.mark.parametrize("size", [0, 10, CHUNK + 5])
def test_a_part_comes_out_as_it_went_in(size):
    data = np.random.default_rng(0).integers(0, 256, size, np.uint8).tobytes()
    assert unpacked(script("wasm", data)) == data


def test_the_folder_is_whole_and_names_no_other_host(page):
    folder = page.index.parent
    assert page.bytes == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert {"data/denoiser.js", "data/wasm.js", "data/atlas.js", "assets/map.js", "index.html"} <= page.files.keys()
    for source in re.findall(r'(?:src|href)="([^"]+)"', page.index.read_text(encoding="utf-8")):
        assert source.startswith(("#", "data:")) or (folder / source).is_file(), source


def test_features_are_placed_where_the_map_has_them(inputs):
    numbers, rows = projection(inputs.atlas)
    k = inputs.atlas.features.shape[1]
    mean, steps, components = np.split(np.frombuffer(numbers, "<f4"), [1024, 1024 + k])
    features = (shrink(inputs.data.images) - mean) @ components.reshape(1024, k)
    kept = np.frombuffer(rows, np.int8).reshape(-1, k) * steps
    assert (np.abs(features - kept) <= 0.51 * steps + 1e-4).all()


def test_other_files_are_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        check_folder(tmp_path)
    (tmp_path / MARK).write_text("{}")
    check_folder(tmp_path)


def test_the_server_isolates_and_shows_nothing_else(address):
    for path, status in {"/": 200, "/../../etc/passwd": 404, "/%2e%2e/%2e%2e/etc/passwd": 404}.items():
        connection = http.client.HTTPConnection(address)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == status, path
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        connection.close()


def opened(browser: Any, url: str) -> Any:
    """The page with the network switched off, once it has drawn; no error may have been raised."""
    context = browser.new_context(viewport={"width": 1000, "height": 800}, offline=url.startswith("file"))
    tab, errors = context.new_page(), []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(url)
    tab.wait_for_function("['drawn', 'failed'].includes(document.body.dataset.state)", timeout=120_000)
    tab.wait_for_function("document.body.dataset.map === 'open'", timeout=60_000)
    assert not errors
    assert all(one.startswith((url.rpartition("/")[0], "blob:", "data:")) for one in asked)
    return tab


def greys(tab: Any, canvas: str) -> np.ndarray:
    pick = (
        "(c) => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).filter((_, i) => i % 4 == 0)"
    )
    return np.array(tab.locator(f"#{canvas}").evaluate(pick))


def test_the_page_draws_from_the_file_system(browser, page):
    tab = opened(browser, page.index.as_uri())
    assert "drawn in" in tab.inner_text("#status")
    assert PROMPT not in tab.inner_text("#lane-0-name")
    final = greys(tab, "lane-0-x0")
    tab.click("#back")
    tab.wait_for_function("document.getElementById('step').value == document.getElementById('step').max - 1")
    tab.wait_for_timeout(1000)
    before = greys(tab, "lane-0-xt")
    assert (before != final).any()
    clean = greys(tab, "lane-0-x0")
    tab.locator("#step").fill("3")
    tab.wait_for_function("document.getElementById('step-said').textContent.startsWith('step 3')")
    low = greys(tab, "lane-0-x0")
    tab.locator("#guidance").fill("8")
    tab.wait_for_timeout(1500)
    assert (greys(tab, "lane-0-x0") != low).any()  # guidance acts on the step at hand
    assert (low != clean).any()
    tab.context.close()


def test_two_prompts_begin_in_the_same_noise(browser, page):
    tab = opened(browser, page.index.as_uri())
    tab.fill("#prompt-2", PROMPT)
    tab.click("#draw")
    tab.wait_for_function("document.body.dataset.state === 'drawing'")
    tab.wait_for_function("document.body.dataset.state === 'drawn'", timeout=60_000)
    assert PROMPT in tab.inner_text("#lane-1-name")
    tab.click("#first")
    tab.wait_for_function("document.getElementById('step').value === '0'")
    tab.wait_for_timeout(1000)
    assert (greys(tab, "lane-0-xt") == greys(tab, "lane-1-xt")).all()
    tab.context.close()


def test_a_character_of_the_map_is_noised_and_denoised(browser, page):
    tab = opened(browser, page.index.as_uri())
    tab.locator("[data-canvas]").focus()
    tab.keyboard.press("ArrowLeft")  # the nearest character is read out
    tab.keyboard.press("Enter")
    tab.wait_for_function("document.getElementById('lab').dataset.sigma")
    tab.wait_for_function("!document.getElementById('lab-name').textContent.startsWith('invented')")
    tab.locator("#level").fill("0")
    tab.wait_for_function("Number(document.getElementById('lab').dataset.sigma) < 0.1")
    near = np.abs(greys(tab, "lab-xt") - greys(tab, "lab-glyph")).mean()
    assert near < 40  # next to no noise
    tab.evaluate("document.body.dataset.state = 'asked'")  # drawing may be over sooner than one can look
    tab.click("#denoise")
    tab.wait_for_function("document.body.dataset.state === 'drawn'", timeout=60_000)
    tab.context.close()
