"""Schedules and information: against betas, and against limits known without computing."""

import numpy as np
import pytest
import torch

from glyffuser.diffusion.schedules import Schedule
from glyffuser.guide.figures.process.schedules import (
    busy,
    compared,
    glyph_information,
    pixel_information,
    step_variance,
)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_variance_of_a_step_is_beta(name):
    schedule = Schedule(name)
    np.testing.assert_allclose(step_variance(schedule), schedule.betas().numpy()[1:], rtol=1e-6)


def test_flow_matching_adds_up_to_its_noise():
    """Going step by step, scaling the signal and adding noise, must end at the scales of the jump."""
    schedule = Schedule("flow")
    sigma = schedule.sigma(torch.arange(schedule.T))
    alpha = schedule.alpha(sigma).numpy()
    noise = (alpha[0] * float(sigma[0])) ** 2
    for now, before, added in zip(alpha[1:], alpha[:-1], step_variance(schedule), strict=True):
        noise = (now / before) ** 2 * noise + added
    np.testing.assert_allclose(np.sqrt(noise), alpha[-1] * float(sigma[-1]), rtol=1e-9)


def test_a_pixel_says_all_without_noise_and_nothing_in_much():
    left = pixel_information(np.array([0.02, 0.5, 1.0, 100.0]), ink=0.3)
    assert left[0] == pytest.approx(1, abs=1e-6)
    assert left[-1] < 1e-3
    assert np.all(np.diff(left) <= 0)


def test_pixel_information_is_the_binary_channels():
    """For even odds: 1 - E[log2(1 + exp(-2 y / sigma^2))] with y = 1 + sigma eps."""
    sigma = 0.9
    y = 1 + sigma * np.random.default_rng(0).standard_normal(400_000)
    expected = 1 - np.mean(np.log2(1 + np.exp(-2 * y / sigma**2)))
    assert pixel_information(np.array([sigma]), 0.5)[0] == pytest.approx(expected, abs=0.003)


def test_two_glyphs_are_one_bit():
    """Two points at distance 2: the same channel as a pixel of -1 or +1 with even odds."""
    sigmas = np.array([0.5, 1.0, 2.0])
    points = torch.tensor([[-1.0], [1.0]]).repeat(1000, 1)  # each a thousand times: log2(1000) bits can never be known
    bits = glyph_information(sigmas, points, tries=2000, seed=0) * np.log2(2000)
    np.testing.assert_allclose(bits, pixel_information(sigmas, 0.5), atol=0.03)


def test_busy_counts_what_is_neither_whole_nor_gone():
    assert busy(np.array([1.0, 0.99, 0.5, 0.2, 0.01])) == pytest.approx(0.4)


def test_a_models_own_schedule_is_among_those_compared():
    assert [s.name for s in compared(Schedule("flow", shift=3.0))] == ["linear", "cosine", "flow"]
    own = Schedule("cosine")
    assert compared(own)[1] is own
    assert len(compared(own)) == 2
