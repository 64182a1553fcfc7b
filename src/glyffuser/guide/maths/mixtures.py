"""Toy distributions whose noised densities, scores and best denoisers are all known in closed form.

With them a sampler can be watched without a network, and a claim checked to the last digit. Noise of level sigma
only widens each round Gaussian of a `Mixture` from spread s to sqrt(s^2 + sigma^2).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

INK = 128  # a pixel darker than this counts as ink


@dataclass(frozen=True)
class Mixture:
    """A mixture of K round Gaussians in d dimensions.

    means: (K, d); spread: the standard deviation of each, (K,) or a scalar; weights: (K,), summing to 1. float64.
    """

    means: Tensor
    spread: Tensor
    weights: Tensor

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n points (n, d)."""
        chosen = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], dtype=torch.float64, generator=generator)
        return self.means[chosen] + self.spread.expand(len(self.weights))[chosen, None] * noise

    def log_terms(self, x: Tensor, sigma: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
        """Log of each component's part of the density noised to level sigma, at x (B, d): (B, K); its variance (K,)."""
        x = x.double()
        variance = (self.spread**2 + torch.as_tensor(sigma, dtype=torch.float64) ** 2).expand(len(self.weights))
        squared = (x[:, None, :] - self.means[None]).square().sum(-1)  # (B, K)
        logs = self.weights.log() - squared / (2 * variance) - x.shape[1] / 2 * (2 * math.pi * variance).log()
        return logs, variance

    def log_density(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """log q at x (B, d), where q is the distribution of x0 + sigma * eps: (B,)."""
        return self.log_terms(x, sigma)[0].logsumexp(dim=1)

    def score(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Gradient of `log_density`, (B, d): each component pulls towards its mean, the likelier the stronger."""
        logs, variance = self.log_terms(x, sigma)
        shares = logs.softmax(dim=1) / variance  # (B, K)
        return shares @ self.means - shares.sum(1, keepdim=True) * x.double()

    def denoise(self, x: Tensor, sigma: Tensor, cond: object = None) -> Tensor:
        """The best guess of x0 at x = x0 + sigma * eps: x + sigma^2 score (Efron 2011). A denoiser for any sampler."""
        return (x + sigma.double() ** 2 * self.score(x, sigma)).to(x.dtype)


def ink_mixture(
    image: np.ndarray, points: int = 400, spread: float = 0.02, seed: int = 0, scale: float = 1.0
) -> Mixture:
    """A 2-D toy from a glyph: a Gaussian at each of `points` places, drawn at random, where the picture has ink.

    image: uint8 (H, W), ink 0. Coordinates run from -scale to scale, upwards, as in a plot; spread in the same units.
    Raises ValueError where the picture has no ink.
    """
    rows, columns = np.nonzero(image < INK)
    if not len(rows):
        raise ValueError("the picture has no ink")
    chosen = np.random.default_rng(seed).choice(len(rows), min(points, len(rows)), replace=False)
    height, width = image.shape
    places = np.stack([(columns[chosen] + 0.5) / width, 1 - (rows[chosen] + 0.5) / height], axis=1) * 2 - 1
    means = scale * torch.from_numpy(places)
    return Mixture(means, torch.tensor(spread, dtype=torch.float64), torch.full((len(means),), 1 / len(means)).double())


@dataclass(frozen=True)
class JointNormal:
    """A mixture of K correlated normals over (x, y), to picture a conditional density.

    weights (K,), means (K, 2), covariances (K, 2, 2), numpy float64.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray

    def joint(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """p(x, y), elementwise."""
        total = np.zeros(np.broadcast(x, y).shape)
        for weight, mean, covariance in zip(self.weights, self.means, self.covariances, strict=True):
            inverse, determinant = np.linalg.inv(covariance), np.linalg.det(covariance)
            dx, dy = x - mean[0], y - mean[1]
            squared = inverse[0, 0] * dx**2 + 2 * inverse[0, 1] * dx * dy + inverse[1, 1] * dy**2
            total += weight * np.exp(-squared / 2) / (2 * math.pi * math.sqrt(determinant))
        return total

    def marginal(self, values: np.ndarray, axis: int) -> np.ndarray:
        """p(x) for axis 0, p(y) for axis 1, at `values`: a mixture of the components' own normals."""
        parts = zip(self.weights, self.means[:, axis], self.covariances[:, axis, axis], strict=True)
        return np.sum([w * normal(values, m, math.sqrt(v)) for w, m, v in parts], axis=0)

    def conditional(self, x: np.ndarray, y: float) -> np.ndarray:
        """p(x given y) at values x: the joint density along one line, divided by the density of that y."""
        return self.joint(x, np.full_like(x, y)) / self.marginal(np.array([y]), 1)


def normal(x: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """The normal density at x."""
    return np.exp(-0.5 * ((x - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
