"""glyffuser invents Chinese glyphs from English meanings, and shows how diffusion models work.

    from glyffuser import GlyffuserPipeline
    pipe = GlyffuserPipeline.from_pretrained()
    pipe("gold", num_images_per_prompt=4).images[0].save("gold.png")

Importing this package is quick; a class loads torch when it is first asked for.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("glyffuser")

# Public name -> the module it lives in. Saved models name these modules in model_index.json: never move one.
_EXPORTS = {
    "Config": "glyffuser.config",
    "preset": "glyffuser.config",
    "UserError": "glyffuser.errors",
    "TextEncoder": "glyffuser.text",
    "Schedule": "glyffuser.diffusion.schedules",
    "SAMPLERS": "glyffuser.diffusion.samplers",
    "UNet": "glyffuser.models.unet",
    "RadicalPrior": "glyffuser.models.prior",
    "GlyffuserPipeline": "glyffuser.pipeline",
    "GlyffuserScheduler": "glyffuser.schedulers",
    "load_pipeline": "glyffuser.pipeline",
    "Trainer": "glyffuser.train",
}
__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'glyffuser' has no attribute {name!r}")
