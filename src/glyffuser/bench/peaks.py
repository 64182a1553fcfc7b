"""The most this machine can do: operations per second in matrix products and in convolutions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from glyffuser.base.devices import bfloat16_is_fast
from glyffuser.bench.timing import Clock, timed

MATRICES = (1024, 2048)  # sides
CONVOLUTIONS = ((64, 128, 16), (64, 256, 8), (64, 256, 16))  # (glyphs, channels, side), kernels of 3 x 3


class Peaks(NamedTuple):
    """The most operations per second seen, a multiplication and an addition counted as two; and the precision."""

    matrix: float
    convolution: float
    precision: str


def operations(work: Callable[[], Any]) -> int:
    """Operations of the matrix products and convolutions in one run of `work`, by torch's count."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def ended(work: Callable[[], Any]) -> Callable[[], None]:
    """`work`, and then a wait until the device has finished it: a GPU works on after a call has returned."""

    def whole() -> None:
        work()
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()

    return whole


def measure_peaks(now: Clock, device: torch.device, repeats: int = 3) -> Peaks:
    """The best of matrix products and of convolutions of some sizes, forward only, in bfloat16 where that is fast."""
    kind = torch.bfloat16 if bfloat16_is_fast(device) else torch.float32

    def best(works: list[Callable[[], Any]]) -> float:
        return max(operations(work) / timed(ended(work), repeats, now).median for work in works)

    def product(side: int) -> Callable[[], Any]:
        a, b = torch.randn(2, side, side).to(device, kind)
        return lambda: a @ b

    def convolution(glyphs: int, channels: int, side: int) -> Callable[[], Any]:
        x = torch.randn(glyphs, channels, side, side).to(device, kind, memory_format=torch.channels_last)
        kernel = torch.randn(channels, channels, 3, 3).to(device, kind)
        return lambda: F.conv2d(x, kernel, padding=1)

    return Peaks(
        best([product(side) for side in MATRICES]),
        best([convolution(*sizes) for sizes in CONVOLUTIONS]),
        str(kind).removeprefix("torch."),
    )
