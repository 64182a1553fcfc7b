"""The same glyph to the last bit, whatever is drawn with it.

Libraries of linear algebra choose how they add by how much there is to add, so a row of a batch comes out a little
different in batches of other lengths. Measured with the networks of this project on a CPU (docs/SCALING.md): where
bfloat16 is multiplied in hardware a row is the same in every call of four rows or more, and with AVX-512 alone of two;
in float32 it is the same in calls of four and of eight rows, but not in those of one, two or sixteen, nor with more
padding behind its text.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from glyffuser.base.devices import bfloat16_is_fast
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser

FEW, MANY = 4, 8  # rows of a call in float32; in bfloat16 at least FEW


def steady(D: Denoiser) -> Denoiser:
    """The denoiser, asked for its rows in calls of such lengths; rows that only fill a call up are dropped."""

    def calls(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        if cond is None:
            return D(x, sigma, cond)
        several = sigma.ndim > 0 and len(sigma) > 1

        def some(rows: Tensor) -> Tensor:
            return D(x[rows], sigma[rows] if several else sigma, cond[rows])

        return in_calls(some, len(x), x.device)

    return calls


def in_calls(make: Callable[[Tensor], Tensor], count: int, device: torch.device) -> Tensor:
    """What `make` makes of rows, by their numbers, for all of `count` rows (count, ...)."""
    return torch.cat([make(rows)[:real] for rows, real in lengths(count, device)])


def lengths(count: int, device: torch.device) -> Iterator[tuple[Tensor, int]]:
    """The rows of each call for `count` rows, and how many of them are real: the others repeat the last."""
    whole = max(count, FEW) if bfloat16_is_fast(device) else MANY
    for first in range(0, count, whole):
        real = min(whole, count - first)
        length = FEW if whole == MANY and real <= FEW else whole
        yield (first + torch.arange(length)).clamp(max=count - 1).to(device), real
