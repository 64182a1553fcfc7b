"""Inputs of the tiny data set and the tiny model on a flat map, with a run folder and an untrained recogniser."""

import json
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.map_layout import Atlas
from glyffuser.judge.recogniser import Recogniser
from glyffuser.train.previews import PROMPTS, SEEDS
from maps import flat_atlas
from tiny import shake


@pytest.fixture(scope="session")
def tiny_recogniser() -> Recogniser:
    torch.manual_seed(0)
    return Recogniser("水氵", widths=(4, 8, 8, 8), feature_dim=12, character_dim=4).eval()


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with a line repeated by a resumed run and one cut off, and two sheets of samples."""
    run = tmp_path_factory.mktemp("runs") / "mine"
    (run / "samples").mkdir(parents=True)
    lines = [{"step": step, "loss": 2.0 / step, "minutes": step / 10} for step in (*range(1, 21), 20)]
    text = "\n".join(json.dumps(line) for line in lines) + '\n{"step": 21, "lo'
    (run / "metrics.jsonl").write_text(text)
    shape = (len(PROMPTS) * 8, SEEDS * 8)
    for step in (10, 20):
        noise = np.random.default_rng(step).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(noise).save(run / "samples" / f"step-{step:08d}.png")
    return run


@pytest.fixture(scope="session")
def inputs(
    tiny_data: Path,
    tiny_model: Path,
    run_folder: Path,
    tiny_recogniser: Recogniser,
    tmp_path_factory: pytest.TempPathFactory,
) -> Inputs:
    class Whole(Inputs):
        recogniser = tiny_recogniser

        @cached_property
        def atlas(self) -> Atlas:
            return flat_atlas(self.data.images, self.data.codepoints)

    made = Whole(tiny_data, tiny_model, run_folder, quick=True, cache=tmp_path_factory.mktemp("cache"))
    torch.manual_seed(0)
    shake(made.pipe.unet)
    return made
