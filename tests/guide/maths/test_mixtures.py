"""Toys against scipy, and against finite differences of their own log density."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm
from torch.testing import assert_close

from glyffuser.guide.maths.mixtures import JointNormal, Mixture, ink_mixture, normal


@pytest.fixture
def mixture() -> Mixture:
    means = torch.tensor([[0.0, 0.0], [1.0, -2.0], [-1.5, 0.5]], dtype=torch.float64)
    return Mixture(means, torch.tensor([0.3, 0.5, 0.2]).double(), torch.tensor([0.5, 0.2, 0.3]).double())


@pytest.fixture
def points() -> torch.Tensor:
    return torch.randn(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("sigma", [0.0, 0.7, 5.0])
def test_log_density_is_scipys(mixture, points, sigma):
    total = np.zeros(len(points))
    for mean, spread, weight in zip(mixture.means, mixture.spread, mixture.weights, strict=True):
        covariance = (float(spread) ** 2 + sigma**2) * np.eye(2)
        total += float(weight) * multivariate_normal(mean.numpy(), covariance).pdf(points.numpy())
    np.testing.assert_allclose(mixture.log_density(points, sigma).numpy(), np.log(total), rtol=1e-10)


@pytest.mark.parametrize("sigma", [0.0, 0.7, 5.0])
def test_score_is_the_slope_of_the_log_density(mixture, points, sigma):
    step = 1e-5
    slopes = []
    for axis in range(2):
        shift = step * torch.eye(2, dtype=torch.float64)[axis]
        slopes.append(
            (mixture.log_density(points + shift, sigma) - mixture.log_density(points - shift, sigma)) / (2 * step)
        )
    assert_close(mixture.score(points, sigma), torch.stack(slopes, dim=1), rtol=1e-6, atol=1e-6)


def test_denoiser_is_the_mean_of_what_noise_could_have_hidden(mixture):
    """E[x0 | x] by Bayes' rule over many draws of x0."""
    sigma = torch.tensor(0.8)
    x = torch.tensor([[0.3, -0.6]], dtype=torch.float64)
    x0 = mixture.sample(200_000, torch.Generator().manual_seed(1))
    weights = (-(x - x0).square().sum(1) / (2 * sigma**2)).softmax(dim=0)
    assert_close(mixture.denoise(x, sigma), weights[None] @ x0, rtol=0, atol=0.01)


def test_ink_mixture_stands_on_ink():
    image = np.full((16, 16), 255, np.uint8)
    image[2:4, 8:12] = 0  # high and right of the middle
    means = ink_mixture(image, points=5).means
    assert means.shape == (5, 2)
    assert bool((means[:, 0] > 0).all())
    assert bool((means[:, 1] > 0.5).all())
    assert_close(ink_mixture(image, points=5, scale=2.0).means, 2 * means)
    with pytest.raises(ValueError, match="no ink"):
        ink_mixture(np.full((4, 4), 255, np.uint8))


@pytest.fixture
def joint() -> JointNormal:
    covariance = np.array([[0.6, 0.35], [0.35, 0.5]])
    return JointNormal(np.array([1.0]), np.array([[0.4, -0.2]]), covariance[None])


def test_a_slice_of_one_correlated_normal_is_the_textbooks(joint):
    x = np.linspace(-3, 3, 50)
    mean = 0.4 + 0.35 / 0.5 * (1.1 - -0.2)
    np.testing.assert_allclose(joint.conditional(x, 1.1), norm(mean, np.sqrt(0.6 - 0.35**2 / 0.5)).pdf(x), rtol=1e-10)
    np.testing.assert_allclose(joint.marginal(x, 0), norm(0.4, np.sqrt(0.6)).pdf(x), rtol=1e-10)
    np.testing.assert_allclose(joint.marginal(x, 1), norm(-0.2, np.sqrt(0.5)).pdf(x), rtol=1e-10)
    grid = np.stack(np.meshgrid(x, x), axis=-1)
    expected = multivariate_normal(joint.means[0], joint.covariances[0]).pdf(grid)
    np.testing.assert_allclose(joint.joint(grid[..., 0], grid[..., 1]), expected, rtol=1e-9)


def test_normal_is_scipys():
    x = np.linspace(-3, 5, 9)
    np.testing.assert_allclose(normal(x, 1.0, 0.7), norm(1.0, 0.7).pdf(x), rtol=1e-12)
