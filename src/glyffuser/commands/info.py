"""What is installed and what was found: look here first when something does not work."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from glyffuser.base.devices import bfloat16_is_fast, default_device
from glyffuser.base.weights import saved_weights
from glyffuser.config import BUNDLED, DATA

PACKAGES = ("glyffuser", "torch", "diffusers", "transformers", "accelerate", "pyarrow", "fonttools")


def collect() -> dict[str, Any]:
    """Versions, device, threads, whether bfloat16 is fast here, the bundled weights and the data set."""
    facts: dict[str, Any] = {name: _version(name) for name in PACKAGES}
    device = default_device()
    facts |= {
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "bf16": "fast" if bfloat16_is_fast(device) else "emulated (float32 is used)",
    }
    if (BUNDLED / "model_index.json").is_file():
        name, parameters = saved_weights(BUNDLED / "unet")
        facts["bundled_weights"] = f"{name}, {parameters / 1e6:.1f} M parameters"
    else:
        facts["bundled_weights"] = "missing; train a model with: glyffuser train"
    facts["data"] = str(DATA) if DATA.is_file() else f"no {DATA}; build it with: glyffuser dataset build"
    return facts


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
