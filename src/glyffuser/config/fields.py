"""Settings from and to text: single fields as "section.key=value", whole runs as TOML, each value checked."""

import dataclasses
import json
import math
import tomllib
import types
import typing
from dataclasses import fields
from pathlib import Path
from typing import Any

from glyffuser.base.errors import UserError
from glyffuser.base.names import (
    COMPANIONS,
    DISTILLATIONS,
    KINDS,
    OPTIMIZERS,
    PRECISIONS,
    PREDICTION_TYPES,
    SCHEDULES,
    TEXT_ROUTES,
    TIMESTEPS,
    WEIGHTINGS,
)
from glyffuser.config.settings import Config

# What a setting may be, where its type does not say enough.
CHOICES = {
    "model.kind": KINDS + COMPANIONS,
    "model.text_route": TEXT_ROUTES,
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
        "data.parts_alone",
        "data.drop_style",
        "data.composition",
        "data.low_noise",
        "model.dropout",
    ),
    *("train.decay", "train.beta1", "train.beta2", "train.ema_decay"),
}
MOST = 2**31 - 1  # the largest whole number: what libraries take as an index or a size
LOWEST = {
    "diffusion.T": 2,
    "model.num_class_embeds": 0,
    "model.components": 0,
    "model.detail": 0,
    "model.low_size": 0,
    "model.crop": 0,
    "text.tower": 0,
    "model.norm_groups": 0,
    "train.seed": 0,
    "train.warmup_steps": 0,
}


def override(config: Config, assignments: list[str]) -> Config:
    """Apply "section.key=value" strings (TOML values; bare words are strings) to `config` and return it."""
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment}: write it as section.key=value, for example train.lr=1e-4")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except (ValueError, RecursionError):
            value = text
        set_field(config, key.strip(), value)
    return config


def load_config(path: str | Path, base: Config | None = None) -> Config:
    """Read a TOML file over `base` (default: the defaults of every setting). UserError for unknown or mistyped keys."""
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the configuration {path}: {getattr(error, 'strerror', None) or error}") from error
    except (ValueError, RecursionError) as error:  # TOML's own error is a ValueError
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
    """Set one "section.key"; UserError for an unknown key, or a value of another type or out of range."""
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
        low = LOWEST.get(key, 1 if isinstance(item, int) else 0)
        high = 1 if key in FRACTIONS else MOST if isinstance(item, int) else math.inf
        if not low <= item <= high or item == math.inf:
            limits = f"between {low} and {high}" if high == 1 or item > high else f"{low} or more"
            raise UserError(f"{key} must be {limits}, not {item}")
    return value


def _names(config: Config) -> str:
    return ", ".join(f.name for f in fields(config))
