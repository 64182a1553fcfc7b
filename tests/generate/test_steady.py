"""The same glyph to the last bit, whatever else is drawn beside it."""

import numpy as np
import pytest
import torch

from crews import InTurn
from glyffuser.config import BUNDLED
from glyffuser.diffusion.conditions import Condition
from glyffuser.generate import draw as drawing
from glyffuser.generate import steady
from glyffuser.generate.draw import draw
from glyffuser.generate.files import groups
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Request

PROMPTS = ["gold", "gold", "a very small kind of fish that lives in the rivers of the south", "water", "gold"]


@pytest.mark.parametrize(("fast", "allowed"), [(False, {4, 8}), (True, set(range(4, 40)))])
@pytest.mark.parametrize("sigma", [torch.tensor(2.0), torch.arange(1.0, 40.0)])
def test_rows_come_back_in_their_places_from_calls_of_agreed_lengths(monkeypatch, fast, allowed, sigma):
    monkeypatch.setattr(steady, "bfloat16_is_fast", lambda device: fast)
    lengths = set()

    def D(x, sigma, cond):
        lengths.add(len(x))
        return x * sigma.view(-1, 1) + cond.states[:, 0]

    for n in range(1, 40):
        x = torch.arange(n, dtype=torch.float32)[:, None]
        cond = Condition(100 * x[:, None], torch.ones(n, 1, dtype=torch.bool))
        levels = sigma if sigma.ndim == 0 else sigma[:n]
        assert torch.equal(steady.steady(D)(x, levels, cond), x * levels.view(-1, 1) + 100 * x)
    assert lengths <= allowed


def test_glyphs_of_one_prompt_do_not_depend_on_other_prompts_or_on_how_they_are_shared(make_pipe):
    pipe = make_pipe()
    request = Request(steps=3, guidance=3.0, seed=5)
    whole = draw(pipe, PROMPTS, request)
    assert whole.std() > 10
    for size in (2, 5):
        np.testing.assert_array_equal(draw(pipe, PROMPTS, request, crew=InTurn(size=size)), whole)


@pytest.mark.slow
@pytest.mark.parametrize("fast", [False, True])
def test_the_bundled_model_draws_the_same_glyphs_in_batches_of_any_size(monkeypatch, fast):
    if fast and not steady.bfloat16_is_fast(torch.device("cpu")):
        pytest.skip("no bfloat16 in this processor")
    if not fast:
        monkeypatch.setattr("glyffuser.base.devices.bfloat16_is_fast", lambda device: False)
        monkeypatch.setattr(steady, "bfloat16_is_fast", lambda device: False)
    pipe, request = load_pipeline(BUNDLED), Request(steps=2)
    whole = draw(pipe, PROMPTS, request)
    for batch in (3, 1):
        monkeypatch.setattr(drawing, "BATCH", batch)
        again = draw(pipe, PROMPTS, request)
        if fast:
            np.testing.assert_array_equal(again, whole)
        else:  # in float32, texts of other lengths beside a glyph still change a few pixels by one level
            assert np.abs(again.astype(int) - whole).max() <= 1
            assert (again != whole).mean() < 1e-3


def test_requests_are_drawn_together_where_only_the_prompt_differs():
    few = [Request(prompt, n=4) for prompt in ("gold", "silk", "fire:1, water:0.5", "horse", "water", "ice", "tree")]
    few[-1] = Request("tree", n=4, steps=3)
    assert [list(group) for group in groups(few, 8)] == [[0, 1], [2], [3, 4], [5], [6]]
    assert [list(group) for group in groups(few[:2], 3)] == [[0], [1]]
    assert list(groups([], 8)) == []
