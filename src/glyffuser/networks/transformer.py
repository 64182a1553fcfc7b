"""A second denoising network: a diffusion transformer (DiT, Peebles and Xie 2023), of one width from end to end.

The patches of a glyph become a sequence of tokens. Each block attends among them, then to the text, then processes each
on its own; timestep, text as a whole and labels scale, shift and gate what it does. Each patch is told its place at the
start, and rotations of queries and keys tell how two patches lie relative to each other, as in Li and He 2025 (Back to
basics). Without the former, patches of blank paper or heavy noise could not tell a glyph's middle from its corners.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.base.errors import UserError
from glyffuser.base.names import TEXT_ROUTES
from glyffuser.networks.conditioned import ConditionedNetwork, attended_dim
from glyffuser.networks.layers import Attention, attend, zero_init

# The base of the rotations' frequencies: 10,000 suits long texts, 100 the few patches along an axis, as chosen by Heo
# et al. 2024 (Rotary position embedding for vision transformer).
ROTARY_BASE = 100.0


class Transformer(ConditionedNetwork):
    """Predict noise, clean image or velocity from a noised glyph, its timestep and token states of the text.

    Most settings have no default here: defaults are in config/settings.py.

    Args:
        sample_size: height and width of the image in pixels; a multiple of patch_size.
        in_channels: colour channels of the image (1 = grey).
        patch_size: side of a patch in pixels; each is one token.
        block_out_channels: the width of the tokens, a single number.
        layers_per_block: number of blocks.
        attention_head_dim: width of one attention head; a multiple of 4, as channels turn in pairs along two axes.
        mlp_ratio: hidden width of the blocks' MLP, as a multiple of the width.
        cross_attention_dim: width d of the token states.
        num_class_embeds: number of class labels (radicals, 0 = none) that it takes besides the text; 0 = takes none.
        pooled_dim: width of the vector for the whole text that it takes besides the token states; 0 = it takes their
            mean instead.
        components: characters that it can be told as parts of the glyph, besides the text; "" = none.
        styles: names of the styles that it can be told, in the order of their labels, from 1; empty = none.
        text_route: how the text reaches it: "attention", of its blocks to the token states; "pooled", one vector for
            the whole text, added to the timestep's; "both" (as in Saharia et al. 2022, Imagen); or "none".
        prediction_type, schedule, num_train_timesteps, shift, rescale_betas_zero_snr: the process that the network was
            trained for, without which its weights mean nothing; see `Process.to_config` and the property `process`.
    """

    __module__ = "glyffuser"  # what a saved model names, whichever room the class lives in

    @register_to_config
    def __init__(
        self,
        *,
        sample_size: int,
        patch_size: int,
        block_out_channels: tuple[int, ...],
        layers_per_block: int,
        attention_head_dim: int,
        mlp_ratio: float,
        cross_attention_dim: int,
        num_class_embeds: int,
        prediction_type: str,
        schedule: str,
        num_train_timesteps: int,
        shift: float,
        in_channels: int = 1,
        rescale_betas_zero_snr: bool = False,
        pooled_dim: int = 0,
        components: str = "",
        styles: tuple[str, ...] = (),
        text_route: str = TEXT_ROUTES[0],
    ):
        super().__init__()
        check_shape(sample_size, patch_size, block_out_channels, attention_head_dim, mlp_ratio)
        (width,) = block_out_channels
        self.build_conditioning(
            width, width, cross_attention_dim, pooled_dim, num_class_embeds, components, styles, text_route
        )
        context_dim = attended_dim(text_route, cross_attention_dim)
        pixels = in_channels * patch_size**2
        self.patch_in = nn.Linear(pixels, width)
        self.blocks = nn.ModuleList(
            Block(width, attention_head_dim, context_dim, mlp_ratio) for _ in range(layers_per_block)
        )
        self.norm_out = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation_out = build_modulation(width, 2)
        self.patch_out = zero_init(nn.Linear(width, pixels))

    def edges(self) -> list[nn.Module]:
        """See `ConditionedNetwork.edges`."""
        return [self.patch_in, self.patch_out]

    def predict(self, x: Tensor, cond: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """See `ConditionedNetwork.predict`."""
        height, width = x.shape[-2:]
        angles = rotary_angles(height, width, self.config.attention_head_dim, x.device)
        x = self.patch_in(x.flatten(2).transpose(1, 2))  # (B, N, width)
        x = x + places(height, width, x.shape[2], x.device).to(x.dtype)
        for block in self.blocks:
            x = block(x, cond, context, mask, angles)
        shift, scale = self.modulation_out(cond)[:, None].chunk(2, dim=-1)
        x = self.patch_out(modulated(self.norm_out(x), shift, scale))
        return x.transpose(1, 2).unflatten(2, (height, width))


class Block(nn.Module):
    """Attention among the patches, attention to the text, and an MLP, each on a residual branch.

    The first and the last follow adaLN-zero (Peebles and Xie 2023, section 3.2): the conditioning vector shifts and
    scales what they see and gates what they add, which is nothing at first. Attention to the text, whose own output
    starts at zero, sits between them without a gate, as in PixArt-alpha (Chen et al. 2023); a context_dim of 0 leaves
    it out.
    """

    def __init__(self, channels: int, head_dim: int, context_dim: int, mlp_ratio: float):
        super().__init__()
        self.modulation = build_modulation(channels, 6)
        self.norm_self = nn.LayerNorm(channels, elementwise_affine=False)
        self.attend_self = RotaryAttention(channels, head_dim)
        self.norm_text = nn.LayerNorm(channels) if context_dim else None
        self.attend_text = Attention(channels, head_dim, context_dim) if context_dim else None
        self.norm_mlp = nn.LayerNorm(channels, elementwise_affine=False)
        self.mlp = SwiGLU(channels, int(channels * mlp_ratio))

    def forward(self, x: Tensor, cond: Tensor, context: Tensor, mask: Tensor | None, angles: Tensor) -> Tensor:
        """x (B, N, C), cond (B, C), context (B, L, D), mask (B, L), angles (N, head_dim/2) -> (B, N, C)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(cond)[:, None].chunk(6, dim=-1)  # (B, 1, C)
        x = x + gate1 * self.attend_self(modulated(self.norm_self(x), shift1, scale1), angles)
        if self.norm_text is not None and self.attend_text is not None:
            x = x + self.attend_text(self.norm_text(x), context, mask)
        return x + gate2 * self.mlp(modulated(self.norm_mlp(x), shift2, scale2))


class RotaryAttention(nn.Module):
    """Multi-head attention among tokens (B, N, C) whose queries and keys are normalised, then rotated by their place.

    RMS norms bound the scores (Henry et al. 2020; Dehghani et al. 2023, section 2); with rotations, the scores depend
    on two places only through the offset between them (Su et al. 2021, equation 16).
    """

    def __init__(self, channels: int, head_dim: int):
        super().__init__()
        self.heads = channels // head_dim
        self.to_qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.norm_q = nn.RMSNorm(head_dim, eps=1e-6)
        self.norm_k = nn.RMSNorm(head_dim, eps=1e-6)
        self.to_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """x (B, N, C), angles (N, head_dim/2) -> (B, N, C)."""
        qkv = self.to_qkv(x).unflatten(2, (3, self.heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, N, head_dim)
        q, k = (
            rotated(norm(part.to(norm.weight.dtype)), angles).to(v.dtype)  # under autocast, normalised in float32
            for norm, part in ((self.norm_q, q), (self.norm_k, k))
        )
        return self.to_out(attend(q, k, v).transpose(1, 2).flatten(2))


class SwiGLU(nn.Module):
    """An MLP whose hidden layer is gated by a second one (Shazeer 2020, equation 6)."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.to_hidden = nn.Linear(channels, 2 * hidden)
        self.to_out = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.to_hidden(x).chunk(2, dim=-1)
        return self.to_out(F.silu(gate) * value)


def build_modulation(channels: int, parts: int) -> nn.Module:
    """A map from a conditioning vector (B, C) to `parts` vectors (B, parts * C), all zero at first."""
    return nn.Sequential(nn.SiLU(), zero_init(nn.Linear(channels, parts * channels)))


def modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """x (B, N, C), scaled and shifted by (B, 1, C)."""
    return x * (1 + scale) + shift


def rotary_angles(height: int, width: int, head_dim: int, device: torch.device | None = None) -> Tensor:
    """How far each pair of a head's channels turns at each place: (height * width, head_dim/2), float32, in radians.

    Axial: the first half of the pairs turns with the row, the second with the column; frequencies fall geometrically
    from 1 (Su et al. 2021, equation 15), with ROTARY_BASE.
    """
    pairs = head_dim // 4  # an axis
    frequencies = ROTARY_BASE ** (-torch.arange(pairs, device=device, dtype=torch.float32) / pairs)
    rows, columns = (
        torch.arange(n, device=device, dtype=torch.float32)[:, None] * frequencies for n in (height, width)
    )
    rows = rows[:, None].expand(height, width, pairs)
    columns = columns[None].expand(height, width, pairs)
    return torch.cat([rows, columns], dim=-1).flatten(0, 1)


def places(height: int, width: int, channels: int, device: torch.device | None = None) -> Tensor:
    """What each place adds to its patch: sines and cosines of row and column, (height * width, channels), float32
    (Vaswani et al. 2017, section 3.5, along two axes as in Peebles and Xie 2023).
    """
    angles = rotary_angles(height, width, channels, device)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Turn channels i and i + d/2 of x (..., N, d) as a point in the plane by angles (N, d/2) (Su et al. 2021)."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def check_shape(sample_size: int, patch_size: int, widths: Sequence[int], head_dim: int, mlp_ratio: float) -> None:
    """UserError if the settings of a Transformer contradict one another."""
    if len(widths) != 1:
        raise UserError(
            f"model.block_out_channels {list(widths)}: a transformer has a single width, for example "
            "--set model.block_out_channels=[256]"
        )
    if sample_size % patch_size:
        raise UserError(
            f"model.sample_size {sample_size} is not a multiple of model.patch_size {patch_size}; change one of them"
        )
    if head_dim % 4 or widths[0] % head_dim:
        raise UserError(
            f"model.block_out_channels {list(widths)}: a transformer's width must be a multiple of "
            f"model.attention_head_dim {head_dim}, itself a multiple of 4"
        )
    if int(widths[0] * mlp_ratio) < 1:
        raise UserError(f"model.mlp_ratio {mlp_ratio:g} leaves a transformer without an MLP; make it larger, say 2")
