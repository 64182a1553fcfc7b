"""The few blocks that all networks here are built from. Images are (B, C, H, W), token states (B, L, D)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def timestep_embedding(t: Tensor, dim: int, max_period: float = 10_000.0) -> Tensor:
    """Sinusoidal embedding of timesteps (Vaswani et al. 2017, section 3.5): (B,) -> (B, dim), float32."""
    half = dim // 2
    frequencies = torch.exp(-math.log(max_period) * torch.arange(half, device=t.device, dtype=torch.float32) / half)
    angles = t.float()[:, None] * frequencies[None, :]  # (B, dim/2)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def zero_init(module: nn.Module) -> nn.Module:
    """Start a residual branch at zero, so that a fresh network is close to the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class GroupNorm(nn.GroupNorm):
    """Group normalisation; the number of groups is the greatest common divisor of `groups` and `channels`."""

    def __init__(self, channels: int, groups: int = 32):
        super().__init__(math.gcd(groups, channels), channels)


class PixelNorm(nn.LayerNorm):
    """Layer normalisation of each pixel's channels (B, C, H, W), as in ConvNeXt (Liu et al. 2022).

    It works with channels last in memory, the order that convolutions prefer, so nothing has to be reordered. On a CPU
    this makes a training step much faster (docs/LOG.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def build_norm(channels: int, groups: int) -> nn.Module:
    """Group normalisation, or, with 0 groups, normalisation of each pixel on its own."""
    return GroupNorm(channels, groups) if groups else PixelNorm(channels)


class ResBlock(nn.Module):
    """Two 3 x 3 convolutions with a skip; the conditioning vector scales and shifts between them.

    As in Dhariwal and Nichol 2021, section 3.1, adaptive group normalisation.
    """

    def __init__(self, in_channels: int, out_channels: int, cond_dim: int, groups: int = 32, dropout: float = 0.0):
        super().__init__()
        self.norm1 = build_norm(in_channels, groups)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.cond = nn.Linear(cond_dim, 2 * out_channels)
        self.norm2 = build_norm(out_channels, groups)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero_init(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """x (B, C, H, W), cond (B, cond_dim) -> (B, C_out, H, W)."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.cond(F.silu(cond))[:, :, None, None].chunk(2, dim=1)  # (B, C_out, 1, 1)
        h = F.silu(self.norm2(h) * (1 + scale) + shift)
        return self.skip(x) + self.conv2(self.dropout(h))


class Attention(nn.Module):
    """Multi-head attention from tokens x (B, N, C) to `context` (B, L, D), or to x itself when it is None."""

    def __init__(self, channels: int, head_dim: int, context_dim: int | None = None):
        super().__init__()
        self.heads = channels // head_dim
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_kv = nn.Linear(context_dim or channels, 2 * channels, bias=False)
        self.to_out = zero_init(nn.Linear(channels, channels))

    def forward(self, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """mask (B, L), True where a context token may be attended to."""
        batch, n, channels = x.shape
        q = self.to_q(x).view(batch, n, self.heads, -1).transpose(1, 2)  # (B, heads, N, head_dim)
        kv = self.to_kv(x if context is None else context)
        k, v = kv.view(batch, kv.shape[1], 2, self.heads, -1).permute(2, 0, 3, 1, 4)  # each (B, heads, L, head_dim)
        attention_mask = None if mask is None else mask[:, None, None, :]
        out = attend(q, k, v, attention_mask)
        return self.to_out(out.transpose(1, 2).reshape(batch, n, channels))


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention of q (B, heads, N, d) to k and v (B, heads, L, d), by the quickest way on their device."""
    if q.device.type == "cpu":  # the fused kernel's backward pass is 5 times slower there (docs/LOG.md)
        return plain_attention(q, k, v, mask)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def plain_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """softmax(q k^T / sqrt(d)) v, written out (Vaswani et al. 2017, equation 1)."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)  # (B, heads, N, L)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(dim=-1) @ v


class TransformerBlock(nn.Module):
    """Self-attention, cross-attention to the text and an MLP, each on a residual branch (Rombach et al. 2022).

    A context_dim of 0 leaves out the text, an mlp_ratio of 0 the MLP.
    """

    def __init__(self, channels: int, head_dim: int, context_dim: int, mlp_ratio: float, dropout: float = 0.0):
        super().__init__()
        self.norm_self = nn.LayerNorm(channels)
        self.attend_self = Attention(channels, head_dim)
        self.norm_cross = nn.LayerNorm(channels) if context_dim else None
        self.attend_text = Attention(channels, head_dim, context_dim) if context_dim else None
        hidden = int(channels * mlp_ratio)
        self.mlp = (
            nn.Sequential(
                nn.LayerNorm(channels),
                nn.Linear(channels, hidden),
                nn.GELU(),
                nn.Dropout(dropout),
                zero_init(nn.Linear(hidden, channels)),
            )
            if hidden
            else None
        )

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, C, H, W), context (B, L, D), mask (B, L) -> (B, C, H, W)."""
        batch, channels, height, width = x.shape
        h = x.flatten(2).transpose(1, 2)  # (B, N, C)
        h = h + self.attend_self(self.norm_self(h))
        if self.norm_cross is not None and self.attend_text is not None:
            h = h + self.attend_text(self.norm_cross(h), context, mask)
        if self.mlp is not None:
            h = h + self.mlp(h)
        return h.transpose(1, 2).view(batch, channels, height, width)


class Downsample(nn.Conv2d):
    """Halve height and width by a strided convolution."""

    def __init__(self, channels: int):
        super().__init__(channels, channels, 3, stride=2, padding=1)


class Upsample(nn.Module):
    """Double height and width: nearest neighbour, then a convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
