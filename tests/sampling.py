"""A small network, noise levels, noise and a start for tests of samplers."""

from typing import Any

import torch
from torch import Tensor

from glyffuser.diffusion.samplers import Noise
from glyffuser.diffusion.schedules import karras_sigmas

GRID = karras_sigmas(6, 0.02, 30.0)


def network(xt: Tensor, t: Tensor, *_: Any) -> Tensor:
    """Nonlinear in the image and in time, mixing pixels; deterministic."""
    t = torch.as_tensor(t, dtype=xt.dtype).reshape(-1, 1, 1, 1) / 1000
    return torch.sin(2 * xt + t) * (1 - 0.5 * t) + 0.3 * torch.roll(xt, 1, dims=-1) * torch.cos(3 * t)


def noise_source(seed: int, dtype: torch.dtype = torch.float64) -> Noise:
    """Noise like x from one generator, which draws different numbers in float32 and in float64."""
    generator = torch.Generator().manual_seed(seed)
    return lambda x, now, then: torch.randn(x.shape, generator=generator, dtype=dtype).to(x)


def start(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)
