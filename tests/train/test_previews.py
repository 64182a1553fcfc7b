"""Previews: always the same pictures from the same weights, and scores beside them."""

import json

import numpy as np
import pytest
from PIL import Image

from glyffuser.generate.draw import draw
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Request
from glyffuser.train.previews import PROMPTS, SEEDS, STEPS, Previews, read_previews


@pytest.fixture
def previews(tmp_path):
    (tmp_path / "samples").mkdir()
    return Previews(tmp_path)


def test_a_grid_and_a_line_of_scores(previews, tiny_model):
    pipe = load_pipeline(tiny_model)
    first, second = previews(pipe, 5), previews(pipe, 10)
    assert first == second
    assert 0 <= first["radical_hits"] <= 1
    assert first["flagged"] == 1  # one step of training draws no glyphs
    lines = [json.loads(line) for line in (previews.out / "scores.jsonl").read_text().splitlines()]
    assert lines == [{"step": 5, **first}, {"step": 10, **second}]
    one, other = (Image.open(previews.out / "samples" / f"step-{step:08d}.png") for step in (5, 10))
    assert one.size == (32 * SEEDS, 32 * len(PROMPTS))
    assert one.tobytes() == other.tobytes()


def test_what_was_drawn_is_read_again(previews, tiny_model):
    pipe = load_pipeline(tiny_model)
    previews(pipe, 5)
    (previews.out / "samples" / "step-last.png").write_bytes(b"")
    Image.new("L", (32, 32)).save(previews.out / "samples" / "step-00000007.png")  # of another layout
    read = read_previews(previews.out)
    assert {step: sheet.shape for step, sheet in read.items()} == {5: (len(PROMPTS), SEEDS, 32, 32)}
    prompt, seed = 3, 2
    steps = min(STEPS, pipe.usual.steps)
    alone = draw(pipe, [PROMPTS[prompt].text], Request(steps=steps), numbers=[seed])[0]
    assert np.abs(read[5][prompt, seed].astype(int) - alone).max() <= 1  # in a batch of others, sums round differently
