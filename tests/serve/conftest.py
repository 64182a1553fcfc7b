"""A studio on this machine, with a tiny random model; an explorer's page whose networks are formulas."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("gradio")

from closed_networks import Closed
from desks import PROMPTS, opened, until
from glyffuser.data.pairs import PairFile
from glyffuser.diffusion.process import Process
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.pairs import PairSource
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.generate.schedulers import GlyffuserScheduler
from glyffuser.guide.inputs import Inputs
from glyffuser.judge.dictionary import Finder, load_dictionary
from glyffuser.judge.judges import BUNDLED_JUDGES, load_contrastive, load_judges
from glyffuser.judge.novelty import load_ideographs
from glyffuser.serve import explorer, label
from glyffuser.serve.desk import Desk
from glyffuser.serve.drawing import Artist
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.tower import TextTower
from maps import flat_atlas


@pytest.fixture(scope="session", autouse=True)
def dressed_once() -> Iterator[None]:
    """Make the desk's page once: every server makes the same one, which takes a second for the font's subset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label, "page_files", cache(label.page_files))
        yield


@dataclass
class Studio:
    """A running studio: its artist, its address and its folder."""

    artist: Artist
    url: str
    folder: Path


@pytest.fixture(scope="session")
def artist(make_pipe) -> Artist:
    """A random model of 16 pixels with the bundled judges."""
    pipe = make_pipe("flow")
    finder = Finder(*load_contrastive(), pipe.text_encoder, load_dictionary(BUNDLED_JUDGES / "contrastive"))
    return Artist(pipe, load_judges(), load_ideographs(), finder)


@contextmanager
def running(artist: Artist, **how: Any) -> Iterator[Studio]:
    """A studio, running in a thread."""
    import uvicorn

    from glyffuser.serve.studio import LOOPBACK, build_app, private_folder

    with private_folder() as folder, socket.create_server(("127.0.0.1", 0)) as listening:
        app: Any = build_app(artist, folder, hosts=LOOPBACK, **how)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield Studio(artist, f"http://127.0.0.1:{listening.getsockname()[1]}", folder)
        server.should_exit = True
        thread.join(3)  # a second is usual; beside a browser that is still open it may not end


@pytest.fixture(scope="session")
def studio(artist) -> Iterator[Studio]:
    """The studio, open to everyone on this machine."""
    with running(artist) as studio:
        yield studio


@pytest.fixture
def locked_studio(artist) -> Iterator[Studio]:
    """A studio that asks for a name and a password."""
    with running(artist, auth=("me", "se:cret")) as studio:
        yield studio


@pytest.fixture(scope="session")
def closed(small_unet, tiny_encoder) -> Closed:
    """Closed-form networks of 32 pixels that take everything that a model may be told."""
    torch.manual_seed(0)
    process = Process(Schedule("flow", shift=3.0), "sample")
    told = {"num_class_embeds": 215, "pooled_dim": 8, "components": ("水",), "styles": ("sans",)}
    unet = small_unet(process, sample_size=32, **told).eval()
    tower = TextTower(16, width=8, hidden=16, components="水").eval()
    encoder, scheduler = TextEncoder(str(tiny_encoder)), GlyffuserScheduler.for_schedule(process.schedule)
    return Closed(GlyffuserPipeline(unet, encoder, scheduler, tower=tower))


@pytest.fixture(scope="session")
def inputs(closed, tiny_data, tmp_path_factory) -> Inputs:
    """The tiny data set on a flat map."""
    plain = Inputs(tiny_data)
    flat = flat_atlas(plain.data.images, plain.data.codepoints)

    class Flat(Inputs):
        pipe = closed.pipe
        atlas = flat
        parameters = sum(parameter.numel() for parameter in closed.pipe.unet.parameters())

    return Flat(tiny_data, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def explorer_page(inputs, closed, tmp_path_factory) -> explorer.Page:
    """The explorer's folder with those networks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(explorer, "export_onnx", closed.export)
        return explorer.write_explorer(inputs, tmp_path_factory.mktemp("explorer") / "page")


@pytest.fixture(scope="module")
def source(make_pipe) -> PairSource:
    return PairSource(make_pipe(), PROMPTS, Request(steps=1))


@pytest.fixture
def desk(source, tmp_path) -> Desk:
    return Desk(source, PairFile(tmp_path / "pairs.parquet"))


@pytest.fixture
def port(desk) -> Iterator[int]:
    with opened(desk) as found:
        until(lambda: 0 in desk.waiting)
        yield found
