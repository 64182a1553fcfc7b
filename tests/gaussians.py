"""Gaussian data, whose denoiser and probability flow are known in closed form, and samples of noise.

For data N(mu, S) the noised data at level sigma are N(mu, S + sigma^2 I), the exact denoiser is
D(x, sigma) = mu + S (S + sigma^2 I)^-1 (x - mu), and the probability flow from sigma_0 to sigma multiplies x - mu by
((S + sigma^2 I) (S + sigma_0^2 I)^-1)^(1/2) (Karras et al. 2022, equations 1 and 3).
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

DIM = 3  # pixels of the images (B, 1, 1, 3)


class Gaussian(NamedTuple):
    """Data N(mu, V diag(variances) V^T)."""

    mu: Tensor
    V: Tensor
    variances: Tensor

    @property
    def S(self) -> Tensor:
        return self.V @ torch.diag(self.variances) @ self.V.T

    def D(self, x: Tensor, sigma: Tensor, cond: Any = None) -> Tensor:
        gain = torch.linalg.solve(self.S + sigma**2 * torch.eye(DIM, dtype=torch.float64), self.S)
        return (self.mu + (x.reshape(-1, DIM) - self.mu) @ gain.T).reshape(x.shape)

    def flow(self, x: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Where the probability flow takes x from noise level `start` to `end`."""
        scale = ((self.variances + end**2) / (self.variances + start**2)).sqrt()
        return (self.mu + (x.reshape(-1, DIM) - self.mu) @ self.V @ torch.diag(scale) @ self.V.T).reshape(x.shape)


def gaussian(seed: int) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    V = torch.linalg.qr(torch.randn(DIM, DIM, dtype=torch.float64, generator=generator)).Q
    mu = torch.randn(DIM, dtype=torch.float64, generator=generator)
    return Gaussian(mu, V, torch.tensor([0.02, 0.3, 1.5], dtype=torch.float64))


def images(batch: int, seed: int = 1) -> Tensor:
    return torch.randn(batch, 1, 1, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
