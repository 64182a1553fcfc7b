"""What is installed and what was found: the first thing to ask for when something does not work."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from glyffuser.base.devices import bfloat16_is_fast
from glyffuser.base.weights import weights_hash
from glyffuser.config import BUNDLED, DATA
from glyffuser.generate.pipeline import load_pipeline

PACKAGES = ("glyffuser", "torch", "diffusers", "transformers", "accelerate", "pyarrow", "fonttools")


def collect() -> dict[str, Any]:
    """Versions, device, threads, whether bfloat16 is fast here, the bundled weights and the data set."""
    facts: dict[str, Any] = {name: _version(name) for name in PACKAGES}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts |= {
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "bf16": "fast" if bfloat16_is_fast(device) else "emulated (float32 is used)",
    }
    if (BUNDLED / "model_index.json").is_file():
        pipe = load_pipeline(BUNDLED)
        millions = sum(p.numel() for p in pipe.unet.parameters()) / 1e6
        facts["bundled_weights"] = f"{weights_hash(pipe.unet)}, {millions:.1f} M parameters"
    else:
        facts["bundled_weights"] = "missing; train a model with: glyffuser train"
    facts["data"] = str(DATA) if DATA.is_file() else f"no {DATA}; make it with: glyffuser dataset build"
    return facts


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
