"""A small data set, text encoder, configuration and trained model that the tests share; and a browser."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from glyffuser.commands.shared import importing
from glyffuser.config import Config
from glyffuser.data.dataset import GlyphData, load_dataset
from glyffuser.judge.judges import Judges
from glyffuser.judge.plausibility import Plausibility
from glyffuser.judge.recogniser import Recogniser
from glyffuser.text.prior import RadicalPrior
from tiny import build_tiny_data, make_config, save_encoder, shake

torch.set_num_threads(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, help="how many processes tests/faults kills in all; default: ten")
    parser.addoption("--cases", type=int, help="how much bad input tests/faults makes in all; default: some hundreds")
    parser.addoption("--report", help="a file for what tests/faults counted")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect, which imports everything, as commands import: with the garbage collector paused."""
    with importing():
        return (yield)


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Reset the state that accelerate keeps for the whole process, so that every test starts without it."""
    yield
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(True)
    GradientState._reset_state()


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Path]:
    """A factory for folders that all test processes share: the first to ask fills one with `make`, others wait."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], Any]) -> Path:
        folder = root / name
        with FileLock(root / f"{name}.lock"):
            if not folder.is_dir():
                part = root / f"{name}.part"
                shutil.rmtree(part, ignore_errors=True)  # left by a process that failed
                part.mkdir()
                make(part)
                part.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def tiny_data(once: Callable[..., Path]) -> Path:
    """A data set of 64 characters to train on and one of the test split."""
    return once("tiny-data", build_tiny_data) / "glyphs.parquet"


@pytest.fixture(scope="session")
def tiny_encoder(once: Callable[..., Path]) -> Path:
    """The folder of a random BERT of width 16 that reads letter by letter."""
    return once("tiny-encoder", lambda folder: save_encoder(folder / "tiny-bert")) / "tiny-bert"


@pytest.fixture
def tiny_config(tiny_data: Path, tiny_encoder: Path) -> Config:
    """A run of 8 steps on the tiny data set."""
    return make_config(tiny_data, tiny_encoder)


@pytest.fixture(scope="session")
def tiny_model(tiny_data: Path, tiny_encoder: Path, once: Callable[..., Path]) -> Path:
    """A model folder as training exports it, after one step; but shaken, for after one step it draws nothing."""
    from glyffuser.generate.load import load_pipeline
    from training_runs import Run, finish

    config = make_config(tiny_data, tiny_encoder)
    config.train.max_steps = 1

    def train(folder: Path) -> None:
        finish(Run(config, folder))
        unet = load_pipeline(folder / "model").unet
        torch.manual_seed(0)
        shake(unet)
        unet.save_pretrained(folder / "model" / "unet")

    return once("tiny-run", train) / "model"


@pytest.fixture(scope="session")
def small_unet() -> Callable[..., Any]:
    """A factory for small networks: settings not given are small, or the defaults of config/settings.py."""
    from dataclasses import asdict

    from glyffuser.config import ModelConfig
    from glyffuser.diffusion.process import Process
    from glyffuser.networks.build import build_network
    from glyffuser.networks.conditioned import ConditionedNetwork

    def make(process: Process = Process(), **settings: Any) -> ConditionedNetwork:  # noqa: B008 (it is frozen)
        small = {"sample_size": 16, "patch_size": 4, "block_out_channels": (8, 16), "attention_head_dim": 8}
        told = {"mlp_ratio": 0.0, "cross_attention_dim": 16}
        return build_network(**{**asdict(ModelConfig()), **process.to_config(), **small, **told, **settings})

    return make


@pytest.fixture(scope="session")
def small_upscaler() -> Callable[..., Any]:
    """A factory for small upscalers, by default from 8 to 32 pixels in tiles of 16; `noisy`: no parameter is zero."""
    from glyffuser.diffusion.process import Process
    from glyffuser.networks.upscaler import Upscaler

    def make(noisy: bool = False, **settings: Any) -> Upscaler:
        torch.manual_seed(0)
        sizes = {"sample_size": 32, "low_size": 8, "crop": 16, "patch_size": 4, "block_out_channels": (8, 16)}
        blocks = {"layers_per_block": 1, "norm_groups": 0, "dropout": 0.0}
        network = Upscaler(**{**sizes, **blocks, **Process().to_config(), **settings}).eval()
        if noisy:
            shake(network)
        return network

    return make


@pytest.fixture(scope="session")
def small_autoencoder() -> Callable[..., Any]:
    """A factory for small autoencoders of 32-pixel glyphs, with latents of 3 channels."""
    from glyffuser.networks.autoencoder import Autoencoder

    def make() -> Autoencoder:
        torch.manual_seed(0)
        sizes = {"sample_size": 32, "patch_size": 2, "block_out_channels": (8, 16), "layers_per_block": 1}
        network = Autoencoder(**sizes, latent_channels=3).eval()
        network.normalise(torch.rand(16, 1, 32, 32) * 2 - 1)
        return network

    return make


@pytest.fixture(scope="session")
def make_pipe(tiny_encoder: Path, small_unet: Callable[..., Any]) -> Callable[..., Any]:
    """A factory for random 16-pixel pipelines, no parameter zero, with a network "trained" under a schedule."""
    from glyffuser.diffusion.process import Process
    from glyffuser.diffusion.schedules import Schedule
    from glyffuser.generate.pipeline import GlyffuserPipeline
    from glyffuser.generate.schedulers import GlyffuserScheduler
    from glyffuser.text.encoder import TextEncoder

    predictions = {"flow": "sample", "linear": "epsilon", "cosine": "v_prediction"}
    encoder = TextEncoder(str(tiny_encoder))

    def make(schedule: str = "flow", **settings: Any) -> GlyffuserPipeline:
        torch.manual_seed(0)
        shift = 3.0 if schedule == "flow" else 1.0
        process = Process(Schedule(schedule, shift=shift), predictions[schedule])
        quick = {"block_out_channels": (8,), "attention_levels": (False,)}  # the middle attends in any case
        unet = small_unet(process, **quick | settings).eval()
        shake(unet)
        return GlyffuserPipeline(unet, encoder, GlyffuserScheduler.for_schedule(process.schedule))

    return make


@pytest.fixture(scope="session")
def make_styled() -> Callable[..., Any]:
    """A factory for copies of a pipeline whose network can be told two styles, each of which changes what it draws."""
    from glyffuser.generate.pipeline import GlyffuserPipeline
    from glyffuser.networks.unet import UNet

    def make(plain: GlyffuserPipeline) -> GlyffuserPipeline:
        settings = {key: value for key, value in plain.unet.config.items() if not key.startswith("_")}
        unet = UNet(**settings | {"styles": ("sans", "serif")}).eval()
        missing, unexpected = unet.load_state_dict(plain.unet.state_dict(), strict=False)
        assert (missing, unexpected) == (["style_embedding.weight"], [])
        unet.style_embedding.weight.data[1:].normal_(generator=torch.Generator().manual_seed(0))
        return GlyffuserPipeline(unet, plain.text_encoder, plain.scheduler)

    return make


@pytest.fixture(scope="session")
def splits(tiny_data) -> tuple[GlyphData, GlyphData]:
    """192 glyphs to train on and 64 held out, of 16 pixels like those of `make_pipe`'s pipelines, with noise added."""
    data, rng = load_dataset(tiny_data, "train"), np.random.default_rng(0)

    def some(n: int) -> GlyphData:
        which = np.arange(n) % len(data)
        small = data.images.reshape(len(data), 16, 2, 16, 2).mean((2, 4))[which]
        noisy = (small + rng.normal(0, 20, small.shape)).clip(0, 255).astype(np.uint8)
        return replace(data.select(which), images=noisy)

    return some(192), some(64)


def small_judges() -> Judges:
    """Small untrained judges; the threshold lies where an untrained network's scores do."""
    torch.manual_seed(0)
    recogniser = Recogniser("金木水火土日月山石人", widths=(8, 8, 8, 8), feature_dim=8, character_dim=4)
    return Judges(recogniser, Plausibility(widths=(4, 4, 8, 8)), RadicalPrior(dim=16))


@pytest.fixture
def judges() -> Judges:
    """Small judges that a test may change."""
    return small_judges()


@pytest.fixture(scope="session")
def shared_judges() -> Judges:
    """Small judges that tests leave as they are."""
    return small_judges()


CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge", "chrome")
SWITCHES = (
    *("no-sandbox", "disable-gpu", "disable-quic", "no-first-run"),
    *("disable-background-networking", "disable-component-update", "disable-sync"),
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by playwright's sync API: one that is installed; none is downloaded.

    If there is none, tests are skipped, or fail where GLYFFUSER_BROWSER=required (`make test` sets it where it can
    install one).
    """
    found = next((path for path in map(shutil.which, CHROMIUMS) if path), None)
    if found is None:
        why = "no Chromium or Chrome to look at the pages with; install one (Debian: apt-get install chromium)"
        (pytest.fail if os.environ.get("GLYFFUSER_BROWSER") == "required" else pytest.skip)(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=[f"--{switch}" for switch in SWITCHES])
        yield running
        running.close()
