"""The explorer's folder and its server; the networks are formulas."""

import base64
import gzip
import http.client
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from glyffuser.base.errors import UserError
from glyffuser.config import BUNDLED
from glyffuser.guide.maths.map_layout import shrink
from glyffuser.serve.explorer import CHUNK, MARK, check_folder, projection, script, server
from glyffuser.text.encoder import resolve


@pytest.fixture
def address(explorer_page) -> Iterator[str]:
    with server(explorer_page.index.parent) as running:
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


def test_the_folder_is_whole_and_names_no_other_host(explorer_page):
    folder = explorer_page.index.parent
    assert explorer_page.bytes == sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    parts = {"data/denoiser.js", "data/wasm.js", "data/atlas.js", "assets/map.js", "index.html"}
    assert parts <= explorer_page.files.keys()
    for source in re.findall(r'(?:src|href)="([^"]+)"', explorer_page.index.read_text(encoding="utf-8")):
        assert source.startswith(("#", "data:")) or (folder / source).is_file(), source


def test_the_bundled_models_folder_stays_below_80_megabytes(explorer_page):
    """An estimate, since its export takes minutes: an int8 weight takes 1.2 bytes once zipped and turned into text, a
    character of the map 500; benchmarks/explorer.py prints the folder's real size.
    """
    files = [*BUNDLED.rglob("*.safetensors"), *Path(resolve("minilm")).glob("*.safetensors")]
    weights = 0
    for file in files:
        with safe_open(file, "np") as tensors:
            weights += sum(int(np.prod(tensors.get_slice(name).get_shape())) for name in tensors.keys())  # noqa: SIM118
    rest = sum(size for name, size in explorer_page.files.items() if "wasm" in name or name.startswith("assets"))
    assert weights > 30e6
    assert 1.2 * weights + 500 * 21_000 + rest < 80e6


def test_features_are_placed_where_the_map_has_them(inputs):
    numbers, rows = projection(inputs.atlas)
    k = inputs.atlas.features.shape[1]
    mean, steps, components = np.split(np.frombuffer(numbers, "<f4"), [1024, 1024 + k])
    features = (shrink(inputs.data.images) - mean) @ components.reshape(1024, k)
    kept = np.frombuffer(rows, np.int8).reshape(-1, k) * steps
    assert (np.abs(features - kept) <= 0.51 * steps + 1e-4).all()


@pytest.mark.parametrize("mark", [None, "{}", "[1]", "{", '{"files": 3}'])
def test_a_folder_that_was_not_written_here_is_never_replaced(tmp_path, mark):
    check_folder(tmp_path / "missing")
    check_folder(tmp_path)
    (tmp_path / "thesis.txt").write_text("mine")
    if mark is not None:
        (tmp_path / MARK).write_text(mark)
    with pytest.raises(UserError, match="holds other files"):
        check_folder(tmp_path)


@pytest.mark.parametrize("name", ["CNAME", ".git/HEAD", "data/notes.txt"])
def test_other_files_in_an_explorers_folder_are_never_replaced(explorer_page, tmp_path, name):
    page = tmp_path / "page"
    for file in explorer_page.files:
        (page / file).parent.mkdir(parents=True, exist_ok=True)
        (page / file).symlink_to(explorer_page.index.parent / file)
    check_folder(page)
    (page / name).parent.mkdir(exist_ok=True)
    (page / name).write_text("mine")
    with pytest.raises(UserError, match=f"holds other files, such as {re.escape(name)}, which would be lost"):
        check_folder(page)


def test_the_server_isolates_and_shows_nothing_else(address):
    for path, status in {"/": 200, "/../../etc/passwd": 404, "/%2e%2e/%2e%2e/etc/passwd": 404}.items():
        connection = http.client.HTTPConnection(address)
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == status, path
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        connection.close()
