"""The bundled model as a user meets it, asked for gold in few steps: the judges read what it draws."""

import json

import numpy as np
import pytest
from PIL import Image

from glyffuser.generate.files import sample_to_folder
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import load_judges


@pytest.fixture(scope="module")
def gold(tmp_path_factory):
    """Four glyphs for gold after twelve steps, and four for a kind of fish."""
    requests = [Request(prompt, n=4, steps=12) for prompt in ("gold", "a kind of fish")]
    return sample_to_folder(load_pipeline(), requests, tmp_path_factory.mktemp("gold"))


@pytest.mark.parametrize(("which", "radical"), [(0, 167), (1, 195)])
def test_it_draws_the_radical_that_was_meant(gold, which, radical):
    images = np.stack([np.asarray(Image.open(path)) for path in gold[which].glyphs])
    judged = load_judges()(images)
    assert (judged.radical.argmax(dim=1) + 1).tolist() == [radical] * 4
    assert ((judged.strokes > 8) & (judged.strokes < 30)).all()  # the radical alone has eight strokes or eleven


def test_the_glyphs_are_ink_on_white_paper_and_differ(gold):
    images = np.stack([np.array(Image.open(path)) for path in gold[0].glyphs])
    ink = (images < 128).mean(axis=(1, 2))
    assert ((ink > 0.1) & (ink < 0.4)).all()
    assert (images[:, :2] == 255).all()
    assert ((images > 25) & (images < 230)).mean() < 0.15  # only edges are grey
    assert len({image.tobytes() for image in images}) == 4


def test_the_record_names_the_nearest_character_of_each(gold):
    nearest = json.loads(gold[0].json.read_text())["nearest"]
    assert len(nearest) == 4
    assert all(match["distance"] > 0 for match in nearest)  # none is a pixel-for-pixel copy
    assert all(match["exists"] == (match["distance"] <= 4) for match in nearest)
