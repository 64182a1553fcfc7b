"""Every still, animation and set of sliders builds from tiny inputs, with words that say what was computed."""

import numpy as np
import pytest

from glyffuser.guide import style
from glyffuser.guide.catalogue import FIGURES
from glyffuser.guide.drawn import Animation, Missing, Sliders, Still
from glyffuser.guide.figures.steering import guidance as steering
from glyffuser.guide.inputs import Inputs

STILLS = (
    *("samples", "pixels", "noise", "chain", "schedules", "one-step", "prediction", "unet", "time-embedding"),
    *("training", "steps", "conditional", "tokens", "single-step", "attention", "neighbours", "limits"),
)
WATER = 85  # the radical of the tiny data set


def check_words(drawn: Still | Animation | Sliders) -> None:
    for words in (drawn.alt, drawn.caption):
        assert len(words) > 40
        assert "nan" not in words.split()
        assert "  " not in words
        assert "$" not in words  # a page shows captions as they are


@pytest.mark.parametrize("name", STILLS)
def test_a_still_builds(inputs: Inputs, name: str, monkeypatch):
    monkeypatch.setattr(steering, "METAL", WATER)
    drawn = FIGURES[name].build(inputs)
    assert isinstance(drawn, Still)
    check_words(drawn)
    picture = np.asarray(style.to_image(drawn.figure, dpi=40))
    assert picture.std() > 5  # not an empty sheet


@pytest.mark.parametrize("name", ["denoise", "samplers", "gold"])
def test_an_animation_builds(inputs: Inputs, name: str):
    drawn = FIGURES[name].build(inputs)
    assert isinstance(drawn, Animation)
    check_words(drawn)
    first, last = (np.asarray(drawn.frames[i]).astype(int) for i in (0, -1))
    assert np.abs(first - last).mean() > 1
    assert drawn.labels[0] != drawn.labels[-1]


@pytest.mark.parametrize("name", ["gaussian", "guidance"])
def test_sliders_build(inputs: Inputs, name: str):
    drawn = FIGURES[name].build(inputs)
    assert isinstance(drawn, Sliders)
    check_words(drawn)
    assert len(drawn.pictures) == len(drawn.sliders[0].values)
    assert len({picture.tobytes() for picture in drawn.pictures.values()}) == len(drawn.pictures)


def test_a_figure_that_lacks_its_input_says_so(tiny_data, tiny_model, tmp_path):
    bare = Inputs(tiny_data, tiny_model, None, quick=True, cache=tmp_path)
    with pytest.raises(Missing, match="train a model"):
        FIGURES["training"].build(bare)
    with pytest.raises(Missing, match="radical 167"):
        FIGURES["single-step"].build(bare)
