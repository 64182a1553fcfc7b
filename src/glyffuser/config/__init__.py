"""Every setting, in small dataclasses, and the table of presets.

A run is described by one `Config`. `preset("cpu")` gives one, `override` changes single fields ("train.lr=1e-4"), and
TOML goes in and out, so that the config.toml in a run folder alone repeats the run.
"""

from glyffuser.config.fields import dump_config, load_config, override, set_field
from glyffuser.config.presets import PRESETS, STUDENTS, preset
from glyffuser.config.settings import (
    BUNDLED,
    DATA,
    GUIDANCE,
    INTERVAL,
    SAMPLER,
    STEPS,
    Config,
    DataConfig,
    DiffusionConfig,
    DistilConfig,
    ModelConfig,
    TextConfig,
    TrainConfig,
)

__all__ = [
    "BUNDLED",
    "DATA",
    "GUIDANCE",
    "INTERVAL",
    "PRESETS",
    "SAMPLER",
    "STEPS",
    "STUDENTS",
    "Config",
    "DataConfig",
    "DiffusionConfig",
    "DistilConfig",
    "ModelConfig",
    "TextConfig",
    "TrainConfig",
    "dump_config",
    "load_config",
    "override",
    "preset",
    "set_field",
]
