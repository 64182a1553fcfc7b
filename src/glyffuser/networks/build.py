"""Which network: the one that settings describe, or the class of a saved one."""

import inspect
from pathlib import Path
from typing import Any

from glyffuser.base.errors import UserError
from glyffuser.networks.conditioned import ConditionedNetwork
from glyffuser.networks.transformer import Transformer
from glyffuser.networks.unet import UNet

# One entry a name in base/names.py.
NETWORKS: dict[str, type[ConditionedNetwork]] = {"unet": UNet, "transformer": Transformer}


def build_network(kind: str, **settings: Any) -> ConditionedNetwork:
    """A network of a kind, one of NETWORKS, with new weights.

    Of `settings`, which are those of ModelConfig, of the process, and the widths of what the text gives, it
    takes what it has a use for. UserError where they contradict one another.
    """
    network = NETWORKS[kind]
    taken = inspect.signature(network).parameters
    return network(**{name: value for name, value in settings.items() if name in taken})


def kind_of(network: ConditionedNetwork) -> str:
    """The name in NETWORKS of a network's class."""
    return next(name for name, known in NETWORKS.items() if type(network) is known)


def saved_class(folder: Path) -> type[ConditionedNetwork]:
    """The class of the network saved in `folder`, by its config.json; UserError for an unknown one."""
    name = ConditionedNetwork.load_config(folder).get("_class_name")
    for network in NETWORKS.values():
        if network.__name__ == name:
            return network
    known = ", ".join(network.__name__ for network in NETWORKS.values())
    raise UserError(f"{folder} holds a network of class {name}, which this version does not know; it knows {known}")
