"""Paths between two requests."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.diffusion.samplers import PATHWISE, SAMPLERS
from glyffuser.generate.draw import draw
from glyffuser.generate.paths import draw_path, path
from glyffuser.generate.request import Request

GOLD = Request("gold", steps=4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_path_begins_and_ends_at_the_glyphs_of_its_requests(make_pipe, sampler):
    pipe, seen = make_pipe(), []
    start = replace(GOLD, sampler=sampler)
    end = replace(start, prompt="fish", seed=3)
    shares = [i / 18 for i in range(19)]
    glyphs = draw_path(pipe, start, end, shares, [1], lambda *at: seen.append(at))[:, 0].astype(int)
    assert len(glyphs) == 19
    assert seen == [(i, 8) for i in range(1, 9)]
    for request, glyph in ((start, glyphs[0]), (end, glyphs[-1])):
        wanted = draw(pipe, [request.prompt], request, numbers=[1])[0].astype(int)
        assert np.abs(glyph - wanted).max() <= 3  # other batch sizes round differently
    if sampler not in PATHWISE:
        steps = np.abs(np.diff(glyphs, axis=0)).mean(axis=(1, 2))
        assert np.median(steps) < 0.6 * np.abs(glyphs[0] - glyphs[-1]).mean()  # neighbours are alike


@pytest.mark.parametrize("seed", [GOLD.seed, 3])
def test_half_way_noise_is_standard_normal(seed):
    end = replace(GOLD, prompt="fish", seed=seed)
    (stretch,) = path(GOLD, end, [(0.5, number) for number in range(4)])
    assert stretch.noise(torch.empty(4, 1, 32, 32)).std() == pytest.approx(1, abs=0.05)  # four standard errors


def test_glyphs_of_several_numbers_go_each_its_own_way(make_pipe):
    pipe, end = make_pipe(), replace(GOLD, seed=3)
    both = draw_path(pipe, GOLD, end, [0.0, 0.5], [4, 2]).astype(int)
    for column, number in enumerate((4, 2)):
        alone = draw_path(pipe, GOLD, end, [0.0, 0.5], [number])[:, 0].astype(int)
        assert np.abs(both[:, column] - alone).max() <= 3


def test_prompts_move_by_their_weights():
    places = [(share, 0) for share in (0, 0.25, 0.5, 0.75, 1)]
    (stretch,) = path(GOLD, replace(GOLD, prompt="fire:1, water:1"), places)
    assert stretch.prompts[0] == "gold"
    assert stretch.prompts[1] == "gold:0.750000, fire:0.250000, water:0.250000"
    assert stretch.prompts[4] == "fire:1, water:1"
    (same,) = path(GOLD, replace(GOLD, seed=1), places[:3])
    assert same.prompts == ["gold"] * 3


def test_ends_that_differ_otherwise_are_refused():
    with pytest.raises(UserError, match="prompt, seed and style alone"):
        next(path(GOLD, replace(GOLD, steps=5), [(0, 0)]))
    with pytest.raises(UserError, match="a path between styles needs one at both ends"):
        next(path(GOLD, replace(GOLD, style="serif"), [(0, 0)]))
