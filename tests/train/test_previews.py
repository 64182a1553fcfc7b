"""Previews: always the same pictures from the same weights, and scores beside them."""

import json

import pytest
from PIL import Image

from glyffuser.generate.pipeline import load_pipeline
from glyffuser.train.previews import PROMPTS, SEEDS, Previews


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
