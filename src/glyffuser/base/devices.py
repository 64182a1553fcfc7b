"""The device at hand, and what it is fast at."""

import platform
import re
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path

import torch


def default_device() -> torch.device:
    """The accelerator, if there is one; otherwise the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@cache
def processor() -> str:
    """The name that the processor reports."""
    listed = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", listed.read_text(), re.MULTILINE) if listed.is_file() else None
    return found[1] if found else platform.processor() or platform.machine()


def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32.

    Intel's processors do so with AMX. Where a virtual machine hides AMX, the remaining AVX512-BF16 is half as fast as
    float32 (docs/LOG.md); AMD's AVX512-BF16 is faster than float32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    return torch.cpu._is_amx_tile_supported() or (torch.cpu._is_avx512_bf16_supported() and "Intel" not in processor())


def fast_matmul(device: torch.device) -> AbstractContextManager:
    """Autocast to bfloat16 where that is fast; elsewhere float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if bfloat16_is_fast(device) else nullcontext()
