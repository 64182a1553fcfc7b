"""What the device at hand is fast at."""

from contextlib import AbstractContextManager, nullcontext

import torch


def default_device() -> torch.device:
    """The accelerator, if there is one; otherwise the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def fast_matmul(device: torch.device) -> AbstractContextManager:
    """Autocast to bfloat16 where that is fast; elsewhere float32."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if bfloat16_is_fast(device) else nullcontext()
