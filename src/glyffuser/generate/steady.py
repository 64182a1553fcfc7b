"""The same glyph to the last bit, whatever is drawn with it.

Linear algebra libraries choose the order in which they add by how much there is to add, so a row comes out slightly
different in batches of other lengths. Measured with the networks of this project on a CPU (docs/SCALING.md): where
bfloat16 is multiplied in hardware, a row is the same in every call of four rows or more, and with AVX-512 alone of two
or more; in float32 it is the same in calls of four and of eight rows, but not in those of one, two or sixteen, nor with
more padding after its text.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from glyffuser.base.devices import bfloat16_is_fast
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser

FEW, MANY = 4, 8  # rows of a call in float32; in bfloat16 at least FEW


def steady(D: Denoiser) -> Denoiser:
    """The denoiser, called with such numbers of rows; rows that only fill up a call are dropped."""

    def calls(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        if cond is None:
            return D(x, sigma, cond)
        several = sigma.ndim > 0 and len(sigma) > 1

        def some(rows: Tensor) -> Tensor:
            return D(x[rows], sigma[rows] if several else sigma, cond[rows])

        return in_calls(some, len(x), x.device)

    return calls


def in_calls(make: Callable[[Tensor], Tensor], count: int, device: torch.device) -> Tensor:
    """What `make` returns for row numbers, called for all `count` rows in parts: (count, ...)."""
    return torch.cat([make(rows)[:real] for rows, real in lengths(count, device)])


def lengths(count: int, device: torch.device) -> Iterator[tuple[Tensor, int]]:
    """The rows of each call for `count` rows, and how many of them are real: the others repeat the last."""
    whole = max(count, FEW) if bfloat16_is_fast(device) else MANY
    for first in range(0, count, whole):
        real = min(whole, count - first)
        length = FEW if whole == MANY and real <= FEW else whole
        yield (first + torch.arange(length)).clamp(max=count - 1).to(device), real
