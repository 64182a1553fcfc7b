"""Every setting, in small dataclasses, and the table of presets.

A run is described by one `Config`. `preset("cpu")` gives one, `override` changes single fields ("train.lr=1e-4"), and
TOML goes in and out, so that the config.toml in a run folder alone repeats the run.
"""

import dataclasses
import json
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from glyffuser.base.errors import UserError
from glyffuser.base.names import (
    DISTILLATIONS,
    KINDS,
    OPTIMIZERS,
    PRECISIONS,
    PREDICTION_TYPES,
    SCHEDULES,
    TIMESTEPS,
    WEIGHTINGS,
)

BUNDLED = Path(__file__).parent / "weights"  # the model that comes with the package
DATA = Path("data/glyphs.parquet")  # what `dataset build` writes and others read

# How glyphs are drawn by default; chosen by `benchmarks/choices.py` (docs/LOG.md, entry 6) and by
# the curves of `glyffuser evaluate` (entries 8 and 9).
SAMPLER, STEPS, GUIDANCE = "dpm++2m-sde", 40, 2.0
INTERVAL = (0.3, math.inf)  # noise levels between which guidance acts: below, there is only cleaning left to do


@dataclass
class DataConfig:
    """What the model learns from."""

    path: str = str(DATA)  # the file that `glyffuser dataset build` wrote
    definition: float = 0.3  # chance that a caption is the whole definition,
    sense: float = 0.5  # a single sense of it ("gold"), so that one-word prompts work;
    mixture: float = 0.2  # or some of its senses in another order
    drop: float = 0.1  # chance that the caption, and the radical, is dropped, for classifier-free guidance
    composition: float = 0.0  # or a description of the parts: "water at the left, every at the right"
    drop_style: float = 0.1  # chance that the style is dropped, so that the model can also be asked for none
    drop_radical: float = 0.1  # chance that the radical alone is dropped, so that the network still heeds the text
    drop_parts: float = 0.8  # chance that no parts are told, where the network takes them; else each is told by half
    balance: float = 0.0  # 0 = glyphs are seen equally often, 1 = radicals are; see data/order.py

    @property
    def kinds(self) -> tuple[float, ...]:
        """How often each kind of caption is drawn, in the order of `Captions.choices`."""
        return (self.definition, self.sense, self.mixture, *([self.composition] if self.composition else []))


@dataclass
class TextConfig:
    """What reads the prompt."""

    encoder: str = "minilm"  # "minilm" (from its pip package), "t5", a hub id, or a local folder
    max_length: int = 96  # longer prompts are cut, in tokens
    words_only: bool = False  # whether the network sees the words alone, without punctuation and a text's marks
    tower: int = 0  # width of the vector that a tower, fitted first, reads from a text; 0 = no tower
    tower_steps: int = 3000  # optimiser steps that the tower is fitted for
    download: bool = False  # whether a hub id may be fetched over the network


@dataclass
class ModelConfig:
    """The network (networks/unet.py, networks/transformer.py)."""

    kind: str = "unet"  # of KINDS; a transformer ignores attention_levels, norm_groups and dropout
    sample_size: int = 128  # image height and width, pixels
    patch_size: int = 8  # space-to-depth factor of the stem; 1 = plain pixels
    block_out_channels: tuple[int, ...] = (128, 256)  # width of each level, finest first; a transformer has one
    layers_per_block: int = 2  # residual blocks per level; all blocks of a transformer
    attention_levels: tuple[bool, ...] = (False, True)  # which levels attend to themselves and to the text
    attention_head_dim: int = 64  # width of one attention head
    mlp_ratio: float = 2.0  # MLP width in the transformer blocks; 0 = none, in a U-Net only
    num_class_embeds: int = 0  # 215 = the network is also given a radical, which a prior draws for the text; 0 = not
    components: int = 0  # the so many commonest parts of characters can be told to the network by name; 0 = none
    styled: bool = False  # whether the network is also told the style of the font; the data set says which there are
    norm_groups: int = 32  # groups of the group normalisation; 0 = normalise each pixel on its own, faster on a CPU
    dropout: float = 0.0  # dropout rate inside the blocks


@dataclass
class DiffusionConfig:
    """The process (diffusion/)."""

    schedule: str = "flow"  # how noise grows: of SCHEDULES
    T: int = 1000  # number of timesteps
    shift: float = 3.0  # resolution shift of flow matching: above 1, more of both happens at high noise
    prediction_type: str = "sample"  # what the network answers: of PREDICTION_TYPES
    timesteps: str = "logit_normal"  # how training timesteps are drawn: of TIMESTEPS
    weighting: str = "velocity"  # of the loss: of WEIGHTINGS


@dataclass
class TrainConfig:
    """The training loop (train/loop.py)."""

    init: str = ""  # a model folder whose weights the run starts from, where names and shapes match; "" = from scratch
    seed: int = 0  # of initial weights, data order and noise
    batch_size: int = 64  # glyphs per step and process
    max_steps: int = 100_000  # optimiser steps; the learning rate decays over the last `decay` of them
    max_minutes: float = 0.0  # stop cleanly after this many minutes in all, the decay done; 0 = no limit
    optimizer: str = "adamw"  # of OPTIMIZERS
    lr: float = 8e-4  # peak learning rate
    warmup_steps: int = 200  # steps of linear warm-up
    decay: float = 0.2  # last part of the run over which the learning rate falls to zero
    weight_decay: float = 0.01  # share of a weight lost per step, divided by lr
    beta1: float = 0.9  # of AdamW
    beta2: float = 0.99
    grad_clip: float = 1.0  # largest norm of the gradient
    ema_decay: float = 0.9995  # of the averaged weights that are exported
    mixed_precision: str = "bf16"  # of PRECISIONS; "bf16" becomes "no", float32, where the device only emulates it
    compile: bool = False  # torch.compile the network (needs a C++ compiler on a CPU)
    log_every: int = 20  # steps between log lines
    preview_every: int = 1000  # steps between sample grids
    checkpoint_every: int = 500  # steps between checkpoints
    keep_checkpoints: int = 2  # how many of them are kept
    tensorboard: bool = False  # also log to TensorBoard


@dataclass
class DistilConfig:
    """What a student learns from its teacher (train/distil.py). `glyffuser distil` fills this in."""

    teacher: str = ""  # a model or run folder; "" = the network learns from the glyphs alone
    method: str = "guidance"  # of DISTILLATIONS: guided predictions in one evaluation, or few steps
    guidance: float = GUIDANCE  # scale of the teacher's guidance
    lowest: float = INTERVAL[0]  # noise level below which the teacher is not guided
    steps: int = 4  # steps that a student of "moments" is to draw in


@dataclass
class Config:
    """One run."""

    data: DataConfig = field(default_factory=DataConfig)
    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    distil: DistilConfig = field(default_factory=DistilConfig)


# What the presets `cpu`, `gpu` and `transformer` share: fewer steps for the same loss, and faster steps.
FAST: dict[str, Any] = {
    "data.balance": 0.4,
    "data.composition": 0.15,
    "data.drop_radical": 0.7,
    "text.words_only": True,
    "text.tower": 256,
    "model.norm_groups": 0,
    "model.num_class_embeds": 215,
    "train.optimizer": "muon",
    "train.lr": 2e-3,
}

# The fast recipe, for two CPU cores and some hours.
CPU: dict[str, Any] = {
    **FAST,
    "train.max_minutes": 300.0,
    "train.decay": 0.3,
    "train.ema_decay": 0.999,
    "train.preview_every": 500,
}

# Each preset is the defaults above with these fields changed. docs/LOG.md says how the numbers were found.
PRESETS: dict[str, dict[str, Any]] = {
    "cpu": CPU,
    # The same recipe on a finer grid, for one GPU; not measured yet. As large as 64 MiB of bfloat16 weights allow.
    "gpu": {
        **FAST,
        "model.patch_size": 4,
        "model.block_out_channels": (96, 192, 288),
        "model.attention_levels": (False, True, True),
        "model.attention_head_dim": 32,
        "train.batch_size": 256,
        "train.max_minutes": 28.0,
        "train.compile": True,
        "train.ema_decay": 0.999,
    },
    # The recipe and the cost of `cpu`, by a diffusion transformer; not measured yet.
    "transformer": {
        **CPU,
        "model.kind": "transformer",
        "model.block_out_channels": (256,),
        "model.layers_per_block": 7,
    },
    # The recipe of `cpu` for a data set of several fonts, whose style the network is told; not measured yet.
    "styles": {
        **CPU,
        "data.path": "data/styles.parquet",
        "model.styled": True,
    },
    # The classic recipe: Ho et al. 2020 on plain pixels, about 119 M parameters, for a large GPU; not measured yet.
    "article": {
        "data.definition": 1.0,
        "data.sense": 0.0,
        "data.mixture": 0.0,
        "model.patch_size": 1,
        "model.block_out_channels": (128, 256, 512, 512),
        "model.attention_levels": (False, True, True, False),  # and in the middle
        "model.mlp_ratio": 1.25,
        "diffusion.schedule": "linear",
        "diffusion.prediction_type": "epsilon",
        "diffusion.timesteps": "uniform",
        "diffusion.weighting": "simple",
        "diffusion.shift": 1.0,
        "train.lr": 1e-4,
        "train.warmup_steps": 1000,
        "train.decay": 1.0,
        "train.beta2": 0.999,
        "train.ema_decay": 0.9999,
    },
    # For tests: learns next to nothing, but runs the same code as the others.
    "tiny": {
        "model.block_out_channels": (32, 64),
        "model.layers_per_block": 1,
        "model.attention_head_dim": 32,
        "train.batch_size": 16,
        "train.max_steps": 60,
        "train.warmup_steps": 5,
        "train.preview_every": 30,
        "train.checkpoint_every": 30,
        "train.log_every": 10,
        "train.ema_decay": 0.9,
    },
}

# What `glyffuser distil` changes in the preset `cpu`, by method. Rates as for fine-tuning; without momentum where two
# networks chase each other, as in Salimans et al. 2024.
STUDENTS: dict[str, dict[str, Any]] = {
    "guidance": {
        "train.optimizer": "adamw",
        "train.lr": 2e-4,
        "train.max_minutes": 60.0,
        "train.decay": 1.0,
    },
    "moments": {
        "diffusion.timesteps": "uniform",
        "train.optimizer": "adamw",
        "train.lr": 1e-4,
        "train.beta1": 0.0,
        "train.max_minutes": 240.0,
        "train.decay": 0.5,
    },
}

# What a setting may be, where its type does not say enough.
CHOICES = {
    "model.kind": KINDS,
    "diffusion.schedule": SCHEDULES,
    "diffusion.prediction_type": PREDICTION_TYPES,
    "diffusion.timesteps": TIMESTEPS,
    "diffusion.weighting": WEIGHTINGS,
    "train.optimizer": OPTIMIZERS,
    "train.mixed_precision": PRECISIONS,
    "distil.method": DISTILLATIONS,
}
FRACTIONS = {
    *(
        "data.definition",
        "data.sense",
        "data.mixture",
        "data.drop",
        "data.balance",
        "data.drop_radical",
        "data.drop_parts",
        "data.drop_style",
        "data.composition",
        "model.dropout",
    ),
    *("train.decay", "train.beta1", "train.beta2", "train.ema_decay"),
}
LOWEST = {
    "diffusion.T": 2,
    "model.num_class_embeds": 0,
    "model.components": 0,
    "text.tower": 0,
    "model.norm_groups": 0,
    "train.seed": 0,
    "train.warmup_steps": 0,
}


def preset(name: str) -> Config:
    """The Config of a named preset; UserError lists the names."""
    if name not in PRESETS:
        raise UserError(f"unknown preset {name!r}; choose one of {', '.join(PRESETS)}")
    config = Config()
    for key, value in PRESETS[name].items():
        set_field(config, key, value)
    return config


def override(config: Config, assignments: list[str]) -> Config:
    """Apply "section.key=value" strings (TOML values; bare words are strings) to `config` and return it."""
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: write it as section.key=value, for example train.lr=1e-4")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        set_field(config, key.strip(), value)
    return config


def load_config(path: str | Path, base: Config | None = None) -> Config:
    """Read a TOML file over `base` (default: the cpu preset). UserError for unknown or mistyped keys."""
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the configuration {path}: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    config = base or Config()
    for section, values in tables.items():
        if not isinstance(values, dict):
            raise UserError(f"{path}: {section} is outside a section; put it under one of {_names(config)}")
        for key, value in values.items():
            set_field(config, f"{section}.{key}", value)
    return config


def dump_config(config: Config) -> str:
    """The whole configuration as TOML, without comments."""
    lines = []
    for section in fields(config):
        lines.append(f"[{section.name}]")
        values = dataclasses.asdict(getattr(config, section.name))
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    """JSON spells strings, numbers, booleans and arrays as TOML does, except for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def set_field(config: Config, key: str, value: Any) -> None:
    """Set one "section.key"; UserError for an unknown key or a value of another type."""
    section_name, _, name = key.partition(".")
    section = getattr(config, section_name, None)
    if not name or not dataclasses.is_dataclass(section):
        raise UserError(f"unknown setting {key!r}; sections are {_names(config)}, for example train.lr")
    hints = typing.get_type_hints(type(section))
    if name not in hints:
        raise UserError(f"unknown setting {key!r}; [{section_name}] has {', '.join(hints)}")
    setattr(section, name, _in_range(key, _typed(key, value, hints[name])))


def _typed(key: str, value: Any, hint: Any) -> Any:
    """`value` as the type `hint`, if that loses nothing."""
    if isinstance(hint, types.GenericAlias):  # tuple[int, ...]
        item = typing.get_args(hint)[0]
        if isinstance(value, list | tuple):
            return tuple(_typed(key, v, item) for v in value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    name = hint.__name__ if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) else str(hint)
    raise UserError(f"{key} must be {name}, not {value!r}")


def _in_range(key: str, value: Any) -> Any:
    """`value` if the setting allows it. Whole numbers start at 1, others at 0, except for those in LOWEST."""
    for item in value if isinstance(value, tuple) else (value,):
        if key in CHOICES and item not in CHOICES[key]:
            raise UserError(f"{key} must be one of {', '.join(CHOICES[key])}, not {item!r}")
        if isinstance(item, str | bool):
            continue
        low, high = LOWEST.get(key, 1 if isinstance(item, int) else 0), 1 if key in FRACTIONS else math.inf
        if not low <= item <= high or item == math.inf:
            limits = f"between {low} and {high}" if high == 1 else f"{low} or more"
            raise UserError(f"{key} must be {limits}, not {item}")
    return value


def _names(config: Config) -> str:
    return ", ".join(f.name for f in fields(config))
