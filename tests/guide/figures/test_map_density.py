"""Figures over the map at tiny size."""

import numpy as np
import pytest

from glyffuser.guide.drawn import Animation, Still, Tabs
from glyffuser.guide.figures.data.map_density import SHOWN_TIMESTEPS, density, figure_forward, forward, point_colours
from glyffuser.guide.figures.process.score import LEVELS, SIGMAS, agreement, average, score
from glyffuser.guide.maths.densities import exact_denoised


def test_density_is_drawn_beside_the_dots(inputs):
    drawn = density(inputs)
    assert isinstance(drawn, Still)
    assert len(drawn.figure.axes) == 2
    assert f"{len(inputs.data):,} glyphs" in drawn.figure.axes[0].get_title()


def test_forward_shows_every_timestep_twice(inputs):
    drawn = figure_forward(inputs.atlas.points, point_colours(inputs.data.radicals)[0])
    assert len(drawn.axes) == 2 * len(SHOWN_TIMESTEPS)


def test_forward_ends_as_a_bell_whatever_it_began_as(inputs):
    tabs = forward(inputs)
    assert isinstance(tabs, Tabs)
    moving = tabs.tabs[1][1]
    assert isinstance(moving, Animation)
    assert moving.labels[0] == "t = 0"
    assert moving.labels[-1] == "t = 999"


def test_the_noise_of_draws_agrees_with_the_score(inputs):
    assert average(inputs.atlas.points, 0.6, 200_000, seed=0).correlation > 0.99


def test_agreement_is_one_where_the_network_is_exact(inputs, monkeypatch):
    """A network that gives the exact answer agrees in full; the comparison itself adds nothing."""
    flat = inputs.data.images.reshape(len(inputs.data), -1)

    def exact(x, sigma, cond):
        return exact_denoised(x.flatten(1), flat, np.full(len(x), float(sigma))).view_as(x)

    monkeypatch.setattr(inputs.pipe, "denoiser", lambda: exact)
    found = agreement(inputs, 3)
    assert found.noise.shape == found.pull.shape == (len(LEVELS), 3)
    assert found.noise.min() > 0.999
    assert found.pull.min() > 0.99


def test_score_has_four_fields_and_two_checks(inputs):
    drawn = score(inputs)
    assert isinstance(drawn, Still)
    assert len(drawn.figure.axes) == len(SIGMAS) + 2
    assert "correlation 0.99" in drawn.caption


@pytest.mark.parametrize("n", [1, 6])
def test_commonest_radicals_have_colours(n):
    radicals = np.array([85] * 5 + [30] * 3 + [1])
    colours, common = point_colours(radicals, n)
    assert common == [85, 30, 1][:n]
    assert len(set(colours)) == min(n, 3) + (n < 3)
