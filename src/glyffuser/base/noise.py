"""Noise from seeds: each glyph has its own, so that it does not depend on what is drawn or learnt with it."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from glyffuser.base.errors import UserError

Noise = Callable[..., Tensor]  # noise(x, now, then) -> standard normal like x, for the interval between two levels
Generators = torch.Generator | list[torch.Generator] | Noise | None


def noise_source(generator: Generators, batch: int) -> Noise:
    """A noise source for the samplers.

    It draws from one generator, or from one for each image of the batch, whatever the interval; a noise source is
    returned unchanged.
    """
    if callable(generator):
        return generator
    if isinstance(generator, list) and len(generator) != batch:
        raise UserError(f"{len(generator)} generators for {batch} glyphs; pass one, or one per glyph")

    def noise(x: Tensor, *interval: Any) -> Tensor:
        return randn_tensor(x.shape, generator=generator, device=x.device, dtype=torch.float32)

    return noise


def seeded(seed: int, k: int, *stage: int) -> torch.Generator:
    """The generator of glyph k under a seed: glyphs of one seed, or of neighbouring seeds, share no noise, nor do the
    stages of a cascade, each of which has a number.
    """
    numbers = np.random.SeedSequence([seed, k, *stage]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(numbers[0]))


def chances(seed: int, use: int, first: int, count: int) -> np.ndarray:
    """Four numbers in [0, 1) for each of `count` places from `first` on: float64 (count, 4).

    They depend on seed, use and place alone, however the places are divided among calls: Philox, which counts instead
    of keeping a state (Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3), has a block of four for each.
    """
    key = np.random.SeedSequence([seed, use]).generate_state(2, np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=first)).random((count, 4))


def normal(shape: Iterable[int], each: np.ndarray, device: torch.device) -> Tensor:
    """Standard normal noise (B, *shape) on the device, each row set by its own number in [0, 1), `each` (B,)."""
    generator = torch.Generator(device)
    made = torch.empty(len(each), *shape, device=device)
    for row, number in zip(made, each, strict=True):
        row.normal_(generator=generator.manual_seed(int(number * 2**53)))
    return made
