"""The discriminator: tells drawn glyphs from real ones by what a denoising network knows about them.

That network stays frozen. It has learnt how glyphs are made, at every noise level and for every meaning, so a few
layers on its features need few examples (Sauer et al. 2024, Fast high-resolution image synthesis with latent
adversarial diffusion distillation, section 3).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from glyffuser.base.errors import UserError
from glyffuser.networks.conditioned import ConditionedNetwork, grouped
from glyffuser.networks.layers import PixelNorm
from glyffuser.networks.unet import UNet

WIDTH = 64  # channels of a head


class Discriminator(nn.Module):
    """Logits, positive for real glyphs, at each place of the features of several levels.

    Args:
        widths: channels of the features at each level.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(
                PixelNorm(width), nn.Conv2d(width, WIDTH, 3, padding=1), nn.SiLU(), nn.Conv2d(WIDTH, 1, 3, padding=1)
            )
            for width in widths
        )

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Features (B, C, h, w) of each level -> logits (B, places of all levels)."""
        return torch.cat([head(x).flatten(1) for head, x in zip(self.heads, features, strict=True)], dim=1)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter in exactly one group, by its role: see `grouped`."""
        return grouped(self, [])


def build_discriminator(known: ConditionedNetwork) -> Discriminator:
    """A discriminator with new weights, on the features of a U-Net; UserError for any other network."""
    if not isinstance(known, UNet):
        raise UserError(f"a discriminator needs the features of a U-Net, not of a {type(known).__name__}")
    widths = known.config.block_out_channels
    return Discriminator([*widths, widths[-1]])
