"""Which network to use: the one that settings describe, or the class of a saved one."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import ModelMixin

from glyffuser.base.errors import UserError, in_one_line
from glyffuser.base.weights import BROKEN, check_weights, load_network
from glyffuser.diffusion.process import Process
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.conditioned import ConditionedNetwork
from glyffuser.networks.transformer import Transformer
from glyffuser.networks.unet import UNet
from glyffuser.networks.upscaler import Upscaler

# One entry per name of KINDS in base/names.py.
NETWORKS: dict[str, type[ConditionedNetwork]] = {"unet": UNet, "transformer": Transformer}


# One entry per name of COMPANIONS in base/names.py.
BESIDE: dict[str, type[ModelMixin]] = {"upscaler": Upscaler, "autoencoder": Autoencoder}


LIMITS = {"sample_size": 1024, "in_channels": 64, "layers_per_block": 256, "num_train_timesteps": 100_000}


def build_network(kind: str, **settings: Any) -> ConditionedNetwork:
    """Build a network of a kind in NETWORKS, with new weights.

    `settings` are those of ModelConfig and of the process, and the widths of what the text provides; a network takes
    the ones it has a use for. UserError if they contradict one another.
    """
    return NETWORKS[kind](**_taken(NETWORKS[kind], settings))


def build_companion(kind: str, **settings: Any) -> Any:
    """Like `build_network`, for a kind in BESIDE."""
    return BESIDE[kind](**_taken(BESIDE[kind], settings))


def _taken(network: type, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that a class takes."""
    known = inspect.signature(network).parameters
    return {name: value for name, value in settings.items() if name in known}


def kind_of(network: ConditionedNetwork) -> str:
    """The name of a network's class in NETWORKS."""
    return next(name for name, known in NETWORKS.items() if type(network) is known)


def saved_class(folder: Path) -> type[ConditionedNetwork]:
    """The class of the network saved in `folder`, as its config.json names it; UserError if it is unknown."""
    config = ConditionedNetwork.load_config(folder)
    check_settings(folder, config)
    name = config.get("_class_name")
    for network in NETWORKS.values():
        if network.__name__ == name:
            return network
    known = ", ".join(network.__name__ for network in NETWORKS.values())
    raise UserError(f"{folder} holds a network of class {name}, which this version does not know; it knows {known}")


def check_settings(folder: Path, config: Mapping[str, Any]) -> None:
    """UserError for a saved network that would take all memory or never finish; even a small file can ask for that.

    ValueError for a process that does not exist, which would otherwise go unnoticed until glyphs are drawn.
    """
    for name, most in LIMITS.items():
        value = config.get(name, 1)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise UserError(f"{folder} has a {name} of {value!r}, not of 1 to {most}; export or copy the model again")
    if "schedule" in config:  # an autoencoder has none
        Process.from_config(config)


def load_companion(folder: Path, wanted: type[ModelMixin]) -> Any:
    """Load the network in `folder`, or in a run's folder model/; UserError unless it is whole and of class `wanted`."""
    at = folder / "model" if (folder / "model").is_dir() else folder
    name = wanted.__name__
    if not (at / "config.json").is_file():
        raise UserError(f"{folder} holds no {name} (it has no config.json); name a folder that `train` wrote")
    try:
        config = wanted.load_config(at)
        check_settings(at, config)
        found = config.get("_class_name")
        if found != name:
            raise UserError(f"{folder} holds a network of class {found}, not {name}")
        check_weights(at, wanted)
        return load_network(wanted, at).eval()
    except UserError:
        raise
    except BROKEN as error:
        raise UserError(f"cannot load {folder}: {in_one_line(error)}; copy it again") from error
