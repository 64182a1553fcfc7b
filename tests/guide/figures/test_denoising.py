"""What is predicted, and what steps change."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from glyffuser.base.pictures import sheet
from glyffuser.diffusion.process import noised
from glyffuser.generate.draw import draw
from glyffuser.generate.request import Request
from glyffuser.generate.schedulers import GlyffuserScheduler
from glyffuser.guide.figures.process.denoising import CURVE, changed, figure_denoise, predict, prediction_errors
from glyffuser.guide.figures.process.noising import CHAIN_PARTS, backward_chain, chain_times, forward_chain
from glyffuser.guide.frames import SheetFrame
from glyffuser.guide.sampling import moments_of, steps_of


@pytest.fixture
def x0() -> torch.Tensor:
    return torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)


@pytest.mark.parametrize("schedule", ["flow", "linear", "cosine"])
def test_noise_and_glyph_make_up_what_the_network_saw(make_pipe, x0, schedule):
    pipe = make_pipe(schedule)
    eps = torch.randn_like(x0)
    xt, noise, clean = predict(pipe, x0, eps, 600.0, pipe.condition(["gold", "fish"]))
    sigma = pipe.schedule.sigma(torch.tensor([600.0, 600.0]))
    assert_close(xt, noised(x0, eps, sigma, pipe.schedule))
    assert_close(noised(clean, noise, sigma, pipe.schedule), xt, rtol=0, atol=1e-4)


def test_errors_of_noise_and_glyph_hang_together(make_pipe, x0):
    """At one noise level, the two errors differ by the factor sigma, whatever the network predicts."""
    pipe = make_pipe()
    noise, clean = prediction_errors(pipe, x0, ["gold", "fish"], seed=0)
    sigma = pipe.schedule.sigma(torch.tensor(CURVE * pipe.schedule.T)).numpy()
    np.testing.assert_allclose(clean, sigma * noise, rtol=1e-3)


def test_changed_counts_pixels_on_another_side():
    sheets = np.full((3, 1, 2, 2), 255, np.uint8)
    sheets[0, 0, 0] = 0
    sheets[1, 0, 0, 0] = 0
    np.testing.assert_allclose(changed(sheets), [0.5, 0.25, 0])


def test_the_chain_starts_clean_and_ends_in_its_noise(make_pipe, x0):
    pipe = make_pipe()
    eps = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    forward = forward_chain(x0[:1], pipe.schedule, eps)
    assert torch.equal(forward[0], x0[0])
    assert_close(forward[-1], eps[0], rtol=0, atol=0.01)
    backward = backward_chain(pipe, "gold", eps, steps=6, seed=0)
    assert backward.shape == forward.shape
    assert torch.equal(backward[-1], eps[0])
    assert chain_times(1000) == [0, *(round(1000 * part) for part in CHAIN_PARTS[1:-1]), 999]


def test_glyphs_are_those_of_the_pipeline_whatever_the_batch(make_pipe):
    pipe = make_pipe()
    prompts = ["gold"] * 18  # more than one batch
    drawn = draw(pipe, prompts, Request(steps=2))
    assert drawn.shape == (18, 16, 16)
    *_, last = steps_of(pipe, prompts[:3], steps=2)
    expected = np.stack([np.asarray(p) for p in pipe(prompts[:1], num_inference_steps=2, generator=[_seed()]).images])
    np.testing.assert_allclose(drawn[:1].astype(int), expected, atol=2)
    assert last.x.shape == (3, 1, 16, 16)
    assert not np.array_equal(drawn[0], drawn[17])


def _seed() -> torch.Generator:
    from glyffuser.base.noise import seeded

    return seeded(0, 0)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_a_moment_holds_what_the_network_sees_in_its_own_picture(make_pipe, guidance):
    pipe = make_pipe()
    pipe.scheduler = GlyffuserScheduler.for_schedule(pipe.schedule, guidance=guidance)
    prompts = ["gold", "fish"]
    *seen, last = moments_of(pipe, prompts, steps=4, seed=5)
    D, cond = pipe.denoiser(guidance), pipe.condition(prompts)
    assert len(seen) == 4
    for t, xt, x0 in seen:
        sigma = pipe.schedule.sigma(torch.tensor(t, dtype=torch.float64))
        assert_close(D(xt / float(pipe.schedule.alpha(sigma)), sigma, cond), x0, rtol=0, atol=5e-3)
    *_, step = steps_of(pipe, prompts, steps=4, seed=5)
    assert last.t == 0
    assert torch.equal(last.xt, step.x)
    assert torch.equal(last.x0, step.x)


def test_frames_hold_the_sheets_pixel_for_pixel(make_pipe):
    pipe = make_pipe()
    frames = figure_denoise(list(moments_of(pipe, ["gold"] * 4, steps=3)), columns=2)
    assert len(frames) == 4
    picture = np.arange(64, dtype=np.uint8).reshape(8, 8)
    frame = SheetFrame([("a", "#000000"), ("b", "#000000")], (8, 8), note=True)
    made = np.asarray(frame.frame([picture, 255 - picture], "a line"))
    left, right = frame.lefts
    np.testing.assert_array_equal(made[frame.top : frame.top + 8, left : left + 8, 0], picture)
    np.testing.assert_array_equal(made[frame.top : frame.top + 8, right : right + 8, 2], 255 - picture)


def test_a_sheet_has_its_pictures_in_rows():
    images = np.stack([np.full((3, 3), value, np.uint8) for value in (10, 20, 30)])
    whole = sheet(images, columns=2, gap=1)
    assert whole.shape == (7, 7)
    assert [whole[0, 0], whole[0, 4], whole[4, 0], whole[4, 4], whole[3, 3]] == [10, 20, 30, 255, 255]
