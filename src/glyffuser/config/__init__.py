"""Every setting, in small dataclasses, and the table of presets.

A run is described by one `Config`. `preset("cpu")` gives one, `override` changes single fields ("train.lr=1e-4"), and
configurations are read from and written to TOML, so that the config.toml in a run folder is enough to repeat the run.
"""

from glyffuser.config.fields import dump_config, load_config, override, set_field
from glyffuser.config.presets import ALIGNED, PRESETS, STUDENTS, preset
from glyffuser.config.settings import (
    AUTOENCODER,
    BUNDLED,
    DATA,
    ETA,
    GUIDANCE,
    INTERVAL,
    SAMPLER,
    STEPS,
    UPSCALER,
    AlignConfig,
    Config,
    DataConfig,
    DiffusionConfig,
    DistilConfig,
    ModelConfig,
    TextConfig,
    TrainConfig,
    named_model,
)

__all__ = [
    "ALIGNED",
    "AUTOENCODER",
    "BUNDLED",
    "DATA",
    "ETA",
    "GUIDANCE",
    "INTERVAL",
    "PRESETS",
    "SAMPLER",
    "STEPS",
    "STUDENTS",
    "UPSCALER",
    "AlignConfig",
    "Config",
    "DataConfig",
    "DiffusionConfig",
    "DistilConfig",
    "ModelConfig",
    "TextConfig",
    "TrainConfig",
    "dump_config",
    "load_config",
    "named_model",
    "override",
    "preset",
    "set_field",
]
