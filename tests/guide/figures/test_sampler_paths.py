"""Samplers on the toy: where they end, and how straight their paths are."""

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.request import Usual
from glyffuser.guide.figures.process import sampler_paths
from glyffuser.guide.figures.process.sampler_paths import SHOWN, STOCHASTIC, glyph_paths, roughness, toy_paths
from glyffuser.guide.maths.mixtures import Mixture


@pytest.fixture
def toy() -> Mixture:
    angles = torch.arange(5).double() * 2 * torch.pi / 5
    means = 1.5 * torch.stack([angles.cos(), angles.sin()], dim=1)
    return Mixture(means, torch.tensor(0.05).double(), torch.full((5,), 0.2).double())


@pytest.mark.parametrize("sampler", SHOWN)
def test_every_sampler_ends_on_the_toy(toy, sampler):
    path = toy_paths(toy, Schedule("flow", shift=3.0), sampler, steps=60, n=50, seed=0)
    assert path.shape == (61, 50, 2)
    nearest = torch.cdist(path[-1], toy.means).min(dim=1).values
    assert float((nearest < 0.25).double().mean()) > 0.9


def test_only_stochastic_samplers_jitter(toy):
    schedule = Schedule("flow", shift=3.0)
    rough = {name: roughness(toy_paths(toy, schedule, name, steps=40, n=50, seed=0)) for name in SHOWN}
    assert max(r for name, r in rough.items() if name not in STOCHASTIC) < 2
    assert min(r for name, r in rough.items() if name in STOCHASTIC) > 3


def test_all_start_from_the_same_noise(toy):
    starts = [toy_paths(toy, Schedule("linear"), name, steps=3, n=4, seed=7)[0] for name in SHOWN]
    for start in starts[1:]:
        assert_close(start, starts[0])


def test_a_straight_way_has_roughness_one():
    line = torch.linspace(0, 1, 5)[:, None, None] * torch.ones(1, 3, 2)
    assert roughness(line) == pytest.approx(1)


def test_glyphs_begin_as_the_noise_that_sampling_begins_with(make_pipe):
    pipe = make_pipe()
    paths = glyph_paths(pipe, ("gold",), steps=2, seed=0)
    assert set(paths) == set(SHOWN)
    assert all(path.shape == (3, 1, 16, 16) for path in paths.values())
    assert all((path[0] == paths["ddim"][0]).all() for path in paths.values())


def test_the_caption_names_the_guidance_of_the_model(inputs, monkeypatch):
    monkeypatch.setattr(type(inputs.pipe), "usual", Usual(guidance=1.5))
    monkeypatch.setattr(sampler_paths, "glyph_paths", lambda *_: {})
    monkeypatch.setattr(sampler_paths, "figure_samplers", lambda *_: [Image.new("L", (8, 8))])
    assert sampler_paths.samplers(inputs).caption.endswith("guidance 1.5.")
