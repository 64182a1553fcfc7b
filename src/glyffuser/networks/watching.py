"""Watching a network attend to the text, without changing what it does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from glyffuser.networks.layers import Attention


@contextmanager
def text_attention(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Watch every block's `attend_text`: name of the block -> attention (B, N, L), mean over heads, rows sum to 1.

    Each forward pass within the context fills the dictionary. Hooks read the outputs of `to_q` and `to_kv` and change
    nothing.
    """
    maps: dict[str, Tensor] = {}
    handles = []
    for name, block in network.named_modules():
        layer = getattr(block, "attend_text", None)
        if isinstance(layer, Attention):
            handles += _watch(name, layer, maps)
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def _watch(name: str, layer: Attention, maps: dict[str, Tensor]) -> list[torch.utils.hooks.RemovableHandle]:
    """Hooks on one attention layer that put its map into `maps` under `name`."""
    seen: dict[str, Tensor] = {}

    def keep(part: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[part] = output.detach().float()

        return hook

    def weigh(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        mask = inputs[2] if len(inputs) > 2 else None
        maps[name] = attention_weights(seen["q"], seen["kv"], layer.heads, mask)

    return [
        layer.to_q.register_forward_hook(keep("q")),
        layer.to_kv.register_forward_hook(keep("kv")),
        layer.register_forward_hook(weigh),
    ]


def attention_weights(q: Tensor, kv: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(d)), mean over heads split as in networks/layers.py: (B, N, C), (B, L, 2C) -> (B, N, L)."""
    batch, n, channels = q.shape
    queries = q.view(batch, n, heads, -1).transpose(1, 2)  # (B, heads, N, head_dim)
    keys = kv.view(batch, kv.shape[1], 2, heads, -1)[:, :, 0].transpose(1, 2)  # (B, heads, L, head_dim)
    with torch.autocast(q.device.type, enabled=False):  # otherwise products would be rounded to bfloat16
        scores = queries @ keys.transpose(-1, -2) * (channels // heads) ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
    return scores.softmax(dim=-1).mean(dim=1)
