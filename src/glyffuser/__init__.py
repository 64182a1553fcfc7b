"""glyffuser invents Chinese glyphs from English meanings, and shows how diffusion models work.

    from glyffuser import GlyffuserPipeline
    pipe = GlyffuserPipeline.from_pretrained()
    pipe("gold", num_images_per_prompt=4).images[0].save("gold.png")

Importing this package is quick; torch is loaded when a class is first used.
"""

import os
from importlib import import_module
from importlib.metadata import version
from typing import Any

from glyffuser.base.spinning import spins

# The variable is read when torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", str(spins()))

__version__ = version("glyffuser")

# Public name -> the module it lives in. Saved models name `glyffuser` alone, so a class may move.
_EXPORTS = {
    "Config": "glyffuser.config",
    "preset": "glyffuser.config",
    "UserError": "glyffuser.base.errors",
    "TextEncoder": "glyffuser.text.encoder",
    "Schedule": "glyffuser.diffusion.schedules",
    "SAMPLERS": "glyffuser.diffusion.samplers",
    "UNet": "glyffuser.networks.unet",
    "Transformer": "glyffuser.networks.transformer",
    "Autoencoder": "glyffuser.networks.autoencoder",
    "Upscaler": "glyffuser.networks.upscaler",
    "RadicalPrior": "glyffuser.text.prior",
    "TextTower": "glyffuser.text.tower",
    "GlyffuserPipeline": "glyffuser.generate.pipeline",
    "GlyffuserScheduler": "glyffuser.generate.schedulers",
    "load_pipeline": "glyffuser.generate.load",
}
__all__ = [*_EXPORTS]
# When diffusers loads a model, it looks for the base classes of its parts in the module that the parts name.
_BASES = {"ModelMixin": "diffusers", "SchedulerMixin": "diffusers"}


def __getattr__(name: str) -> Any:
    if place := _EXPORTS.get(name) or _BASES.get(name):
        return getattr(import_module(place), name)
    raise AttributeError(f"module 'glyffuser' has no attribute {name!r}")
