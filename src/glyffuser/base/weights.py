"""Weights on disk: whether they fit their config, and a hash that identifies networks."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from glyffuser.base.errors import DAMAGED, UserError

if TYPE_CHECKING:
    from diffusers import ModelMixin

    Network = TypeVar("Network", bound=ModelMixin)

BROKEN = (*DAMAGED, ImportError, SafetensorError)  # what loading a bad model can raise


def check_weights(folder: Path, network: "type[ModelMixin]") -> None:
    """UserError unless the weights in `folder` are exactly those that its config asks for, by name and shape."""
    with torch.device("meta"):
        wanted = {k: tuple(v.shape) for k, v in network.from_config(network.load_config(folder)).state_dict().items()}
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder} has no safetensors weights; export or copy the model again")
    found: dict[str, tuple[int, ...]] = {}
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            found |= {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
    wrong = sorted(k for k in wanted.keys() | found.keys() if wanted.get(k) != found.get(k))
    if wrong:
        k = wrong[0]
        raise UserError(
            f"the weights in {folder} do not fit its config: {len(wrong)} differ, for example {k} "
            f"(is {found.get(k)}, should be {wanted.get(k)})"
        )


def load_network(wanted: "type[Network]", folder: Path) -> "Network":
    """The network saved in `folder`, in aligned memory. No pickles: those can run code. Raises one of BROKEN."""
    network = wanted.from_pretrained(folder, use_safetensors=True)
    to_aligned_memory(network)
    return network


def to_aligned_memory(network: torch.nn.Module) -> None:
    """Move weights to where torch puts tensors of its own, a multiple of 64 bytes.

    Loaded ones lie as in their file, and how products round can depend on that (Intel MKL on processors without
    AVX-512): then a model that was loaded would not draw, to the last bit, what it drew before it was saved.
    """
    for tensor in [*network.parameters(), *network.buffers()]:
        if tensor.data_ptr() % 64:
            tensor.data = tensor.data.clone()


def weights_hash(network: torch.nn.Module) -> str:
    """The first 16 hex digits of a SHA-256 over a network's weights, in float32."""
    return _hash(network.state_dict())


def saved_weights(folder: Path) -> tuple[str, int]:
    """The `weights_hash` and the number of parameters of the network saved in `folder`, from its files alone."""
    weights: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    return _hash(weights), sum(weight.numel() for weight in weights.values())


def _hash(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(weight.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
