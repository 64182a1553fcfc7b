"""The denoising network: a U-Net with attention to the text, behind a space-to-depth stem of any factor.

With `patch_size=1` it is the classic text-conditioned U-Net on plain pixels (Ho et al. 2020; Rombach et al. 2022). With
`patch_size=8` the same class works on a 16 x 16 grid of 8 x 8 pixel patches, as JiT (Li and He 2025) does, and is about
a hundred times cheaper. The network then predicts the clean image: 64 pixels of noise do not fit through a narrow
stem, 64 pixels of strokes do.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.base.errors import UserError
from glyffuser.base.names import TEXT_ROUTES
from glyffuser.networks.conditioned import ConditionedNetwork, attended_dim
from glyffuser.networks.detail import DetailHead, check_detail
from glyffuser.networks.layers import (
    Downsample,
    ResBlock,
    TransformerBlock,
    Upsample,
    build_norm,
    zero_init,
)


class Stage(nn.Module):
    """One residual block and, at levels with attention, a transformer block after it."""

    def __init__(self, in_channels: int, out_channels: int, cond_dim: int, attention: dict | None, **block: Any):
        super().__init__()
        self.block = ResBlock(in_channels, out_channels, cond_dim, **block)
        self.attention = TransformerBlock(out_channels, **attention) if attention else None

    def forward(self, x: Tensor, cond: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        x = self.block(x, cond)
        return x if self.attention is None else self.attention(x, context, mask)


class UNet(ConditionedNetwork):
    """Predict noise, clean image or velocity from a noised glyph, its timestep and token states of the text.

    Most settings have no default here: defaults are in config/settings.py.

    Args:
        sample_size: height and width of the image in pixels; a multiple of patch_size * 2 ** (levels - 1).
        in_channels: colour channels of the image (1 = grey).
        patch_size: space-to-depth factor of the stem; 1 = plain pixels.
        block_out_channels: width of each level, finest first.
        layers_per_block: residual blocks per level on the way down (one more on the way up).
        attention_levels: for each level, whether its blocks attend to themselves and to the text.
        attention_head_dim: width of one attention head.
        mlp_ratio: hidden width of the transformer blocks' MLP, as a multiple of the level's width; 0 = none.
        cross_attention_dim: width d of the token states.
        num_class_embeds: number of class labels (radicals, 0 = none) that it takes besides the text; 0 = takes none.
        pooled_dim: width of the vector for the whole text that it takes besides the token states; 0 = it takes their
            mean instead.
        components: characters that it can be told as parts of the glyph, besides the text; "" = none.
        styles: names of the styles that it can be told, in the order of their labels, from 1; empty = none.
        text_route: how the text reaches it: "attention", of its blocks to the token states; "pooled", one vector for
            the whole text, added to the timestep's; "both" (as in Saharia et al. 2022, Imagen); or "none".
        norm_groups: groups of the group normalisation; 0 = normalise each pixel on its own, faster on a CPU.
        dropout: dropout rate inside the blocks.
        detail: width of the head that adds details finer than a patch; 0 = none.
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
        attention_levels: tuple[bool, ...],
        attention_head_dim: int,
        mlp_ratio: float,
        cross_attention_dim: int,
        num_class_embeds: int,
        norm_groups: int,
        dropout: float,
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
        detail: int = 0,
    ):
        super().__init__()
        check_shape(sample_size, patch_size, block_out_channels, attention_levels, attention_head_dim)
        widths = list(block_out_channels)
        cond_dim = 4 * widths[0]
        self.build_conditioning(
            widths[0], cond_dim, cross_attention_dim, pooled_dim, num_class_embeds, components, styles, text_route
        )
        pixels = in_channels * patch_size**2
        self.stem = nn.Conv2d(pixels, widths[0], 3, padding=1)
        attention = {
            "head_dim": attention_head_dim,
            "context_dim": attended_dim(text_route, cross_attention_dim),
            "mlp_ratio": mlp_ratio,
            "dropout": dropout,
        }

        def stage(n_in: int, n_out: int, attend: bool) -> Stage:
            return Stage(n_in, n_out, cond_dim, attention if attend else None, groups=norm_groups, dropout=dropout)

        self.down = nn.ModuleList()
        skips, width = [widths[0]], widths[0]
        for level, (n, attend) in enumerate(zip(widths, attention_levels, strict=True)):
            for _ in range(layers_per_block):
                self.down.append(stage(width, n, attend))
                width = n
                skips.append(width)
            if level + 1 < len(widths):
                self.down.append(Downsample(width))
                skips.append(width)
        self.middle = nn.ModuleList([stage(width, width, True), stage(width, width, False)])
        self.up = nn.ModuleList()
        for level, (n, attend) in reversed(list(enumerate(zip(widths, attention_levels, strict=True)))):
            for _ in range(layers_per_block + 1):
                self.up.append(stage(width + skips.pop(), n, attend))
                width = n
            if level:
                self.up.append(Upsample(width))
        self.norm_out = build_norm(width, norm_groups)
        self.conv_out = zero_init(nn.Conv2d(width, pixels, 3, padding=1))
        if detail:
            check_detail(width, patch_size)
        self.head = DetailHead(width, in_channels, patch_size, detail, cond_dim, norm_groups) if detail else None

    def edges(self) -> list[nn.Module]:
        """See `ConditionedNetwork.edges`."""
        finer = [] if self.head is None else [self.head.conv_in, self.head.conv_out]
        return [self.stem, self.conv_out, *finer]

    def predict(self, x: Tensor, cond: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        """See `ConditionedNetwork.predict`."""
        if not self.config.norm_groups:  # then nothing below needs another memory order
            x = x.contiguous(memory_format=torch.channels_last)
        noised, skips = x, self.contract(x, cond, context, mask)
        x = skips.pop()
        for module in self.up:
            if isinstance(module, Stage):
                x = module(torch.cat([x, skips.pop()], dim=1), cond, context, mask)
            else:
                x = module(x)
        x = F.silu(self.norm_out(x))
        coarse = self.conv_out(x)
        return coarse if self.head is None else coarse + self.head(x, noised, coarse, cond)

    def contract(self, x: Tensor, cond: Tensor, context: Tensor, mask: Tensor | None) -> list[Tensor]:
        """The way down: the outputs of all its modules on the folded image, from the stem's to the middle's."""
        found = [self.stem(x)]
        for module in self.down:
            found.append(module(found[-1], cond, context, mask) if isinstance(module, Stage) else module(found[-1]))
        x = found[-1]
        for module in self.middle:
            x = module(x, cond, context, mask)
        return [*found, x]


def check_shape(
    sample_size: int, patch_size: int, widths: Sequence[int], attention_levels: Sequence[bool], head_dim: int
) -> None:
    """UserError if the settings of a UNet contradict one another."""
    if not widths or len(widths) != len(attention_levels):
        raise UserError(
            f"model.block_out_channels has {len(widths)} levels, model.attention_levels {len(attention_levels)}; "
            "give both one value per level"
        )
    factor = patch_size * 2 ** (len(widths) - 1)
    if sample_size % factor:
        raise UserError(
            f"model.sample_size {sample_size} is not a multiple of {factor}, the side of a patch at the coarsest "
            f"of {len(widths)} levels for patch_size {patch_size}; change one of them"
        )
    attending = {w for w, attends in zip(widths, attention_levels, strict=True) if attends} | {widths[-1]}
    wrong = [w for w in sorted(attending) if w % head_dim]
    if wrong or widths[0] % 2:
        raise UserError(
            f"model.block_out_channels {list(widths)}: widths with attention must be multiples of "
            f"model.attention_head_dim {head_dim}, and the first one even"
        )
