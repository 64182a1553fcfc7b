"""Numbers behind the landscape: against scikit-learn, scipy, finite differences, and random draws."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.neighbors import KernelDensity

from glyffuser.diffusion.schedules import Schedule
from glyffuser.guide.maths.densities import (
    CELLS,
    eps_of_draws,
    exact_denoised,
    kernel_density,
    mixture_log_density,
    mixture_score,
    noised_density,
)

REACH = 4.0


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(6, 2))
    return centres[rng.integers(6, size=150)] + 0.1 * rng.normal(size=(150, 2))


def grid(cells: int = CELLS) -> np.ndarray:
    middles = (np.arange(cells) + 0.5) / cells * 2 * REACH - REACH
    return np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)


@pytest.mark.parametrize("bandwidth", [0.06, 0.3])
def test_kernel_density_is_that_of_scikit_learn(points, bandwidth):
    ours = kernel_density(points, bandwidth, REACH)
    theirs = np.exp(KernelDensity(bandwidth=bandwidth).fit(points).score_samples(grid())).reshape(CELLS, CELLS)
    assert np.abs(ours - theirs).max() < 0.02 * theirs.max()
    assert ours.sum() * (2 * REACH / CELLS) ** 2 == pytest.approx(1, abs=1e-3)


def test_points_outside_of_the_window_are_lost():
    assert kernel_density(np.array([[99.0, 0.0], [0.0, 0.0]]), 0.2, REACH).sum() * (2 * REACH / CELLS) ** 2 == (
        pytest.approx(0.5, abs=1e-3)
    )


def test_noised_density_is_the_mixture_in_closed_form(points):
    alpha_bar, bandwidth = 0.6, 0.1
    ours = noised_density(points, alpha_bar, bandwidth, REACH)
    sigma = np.sqrt(alpha_bar * bandwidth**2 + 1 - alpha_bar)
    theirs = np.exp(mixture_log_density(grid(), np.sqrt(alpha_bar) * points, sigma)).reshape(CELLS, CELLS)
    assert np.abs(ours - theirs).max() < 0.01 * theirs.max()


def test_noised_density_is_that_of_noised_points(points):
    alpha_bar, rng = 0.3, np.random.default_rng(1)
    noisy = np.sqrt(alpha_bar) * points[rng.integers(len(points), size=200_000)]
    noisy += np.sqrt(1 - alpha_bar) * rng.normal(size=noisy.shape)
    counts, _, _ = np.histogram2d(noisy[:, 1], noisy[:, 0], bins=16, range=[[-REACH, REACH]] * 2, density=True)
    ours = noised_density(points, alpha_bar, 0.01, REACH).reshape(16, CELLS // 16, 16, CELLS // 16).mean(axis=(1, 3))
    assert np.abs(ours - counts).max() < 0.03 * ours.max()


def test_all_noise_is_one_bell(points):
    last = float(Schedule("linear").alpha_bar()[-1])
    bell = multivariate_normal(np.zeros(2)).pdf(grid()).reshape(CELLS, CELLS)
    assert np.abs(noised_density(points, last, 0.06, REACH) - bell).max() < 0.03 * bell.max()


@pytest.mark.parametrize("sigma", [0.05, 0.3, 2.0])
def test_score_is_the_slope_of_the_log_density(points, sigma):
    x = np.random.default_rng(2).normal(size=(50, 2)) * np.sqrt(1 + sigma**2)
    step = 1e-4 * sigma
    slopes = [
        (mixture_log_density(x + step * d, points, sigma) - mixture_log_density(x - step * d, points, sigma))
        / (2 * step)
        for d in np.eye(2)
    ]
    np.testing.assert_allclose(mixture_score(x, points, sigma), np.stack(slopes, axis=1), rtol=1e-4, atol=1e-3)


def test_score_of_one_point_is_known():
    x = np.array([[1.0, 2.0]])
    np.testing.assert_allclose(mixture_score(x, np.zeros((1, 2)), 0.5), -x / 0.25)


def test_mean_noise_of_draws_is_minus_sigma_times_the_score(points):
    sigma = 0.6
    x, eps = eps_of_draws(points, sigma, 400_000, 24, seed=0)
    predicted = -sigma * mixture_score(x, points, sigma)
    assert len(x) > 50
    assert np.corrcoef(eps.ravel(), predicted.ravel())[0, 1] > 0.995
    assert np.polyfit(predicted.ravel(), eps.ravel(), 1)[0] == pytest.approx(1, abs=0.03)


def test_exact_denoiser_is_the_score_in_pixel_space():
    rng = np.random.default_rng(3)
    clean = rng.integers(0, 256, (40, 16), dtype=np.uint8)
    x0 = clean[:5] / 127.5 - 1
    sigma = np.array([0.05, 0.5, 1.0, 3.0, 10.0])
    x = x0 + sigma[:, None] * rng.normal(size=x0.shape)
    guess = exact_denoised(torch.from_numpy(x).float(), clean, sigma).numpy()
    for row in range(5):
        score = mixture_score(x[row : row + 1], clean / 127.5 - 1, sigma[row])[0]
        np.testing.assert_allclose((guess[row] - x[row]) / sigma[row] ** 2, score, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(guess[0], x0[0], atol=1e-3)  # hardly any noise: the glyph itself
