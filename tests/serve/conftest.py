"""A studio with a tiny random model that listens on this machine."""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gradio")

from glyffuser.judge.dictionary import Finder, load_dictionary
from glyffuser.judge.judges import BUNDLED_JUDGES, load_contrastive, load_judges
from glyffuser.judge.novelty import load_ideographs
from glyffuser.serve.drawing import Artist


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


@pytest.fixture(scope="module")
def studio(artist) -> Iterator[Studio]:
    """The studio, running in a thread."""
    import uvicorn

    from glyffuser.serve.studio import LOOPBACK, build_app, private_folder

    with private_folder() as folder, socket.create_server(("127.0.0.1", 0)) as listening:
        app: Any = build_app(artist, folder, hosts=LOOPBACK)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield Studio(artist, f"http://127.0.0.1:{listening.getsockname()[1]}", folder)
        server.should_exit = True
        thread.join(20)
