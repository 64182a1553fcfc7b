"""Noise from seeds: one generator per glyph, so that a glyph does not depend on what is drawn with it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from glyffuser.base.errors import UserError

Noise = Callable[..., Tensor]  # noise(x, now, then) -> standard normal like x, for the interval between two levels
Generators = torch.Generator | list[torch.Generator] | Noise | None


def noise_source(generator: Generators, batch: int) -> Noise:
    """A noise source of the samplers, whatever the interval.

    It draws from one generator, or from one for each image of the batch; a noise source is one already.
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
    stages of a cascade, each told apart by a number.
    """
    numbers = np.random.SeedSequence([seed, k, *stage]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(numbers[0]))
