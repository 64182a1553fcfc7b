"""What is installed and what was found: look here first when something does not work."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from glyffuser.base.devices import bfloat16_is_fast, default_device, processor
from glyffuser.base.weights import saved_weights
from glyffuser.config import BUNDLED, DATA

PACKAGES = ("glyffuser", "torch", "diffusers", "transformers", "accelerate", "pyarrow", "fonttools")


def collect() -> dict[str, Any]:
    """Versions, device, processor, threads and spins, whether bfloat16 is fast here, bundled weights and data set."""
    facts: dict[str, Any] = {name: _version(name) for name in PACKAGES}
    device = default_device()
    facts |= {
        "torch": str(torch.__version__),  # with the build, which the metadata of the PyPI package leave out
        "python": platform.python_version(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "processor": processor(),
        "instructions": instructions(),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "spins": os.environ.get("GOMP_SPINCOUNT"),
        "bf16": "fast" if bfloat16_is_fast(device) else "slow (float32 is used)",
    }
    if (BUNDLED / "model_index.json").is_file():
        name, parameters = saved_weights(BUNDLED / "unet")
        facts["bundled_weights"] = f"{name}, {parameters / 1e6:.1f} M parameters"
    else:
        facts["bundled_weights"] = "missing; train a model with: glyffuser train"
    facts["data"] = str(DATA) if DATA.is_file() else f"no {DATA}; build it with: glyffuser dataset build"
    return facts


def instructions() -> str:
    """The widest vector instructions that torch uses here, and those for bfloat16."""
    names = [torch.backends.cpu.get_cpu_capability()]
    names += ["AVX512-BF16"] if torch.cpu._is_avx512_bf16_supported() else []
    names += ["AMX"] if torch.cpu._is_amx_tile_supported() else []
    return ", ".join(names)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
