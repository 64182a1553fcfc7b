"""The discriminator: tells noised glyphs that were drawn from noised glyphs that are real, patch by patch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glyffuser.diffusion.conditions import Condition
from glyffuser.networks.conditioned import ConditionedNetwork, grouped, masked_mean
from glyffuser.networks.layers import Downsample, ResBlock, build_norm, timestep_embedding

PATCH = 4  # side of a patch, pixels
WIDTHS = (64, 128, 256)  # of each level, finest first; a level halves the one before
TEXT_WIDTH = 256  # of what texts and glyphs are compared in


class Discriminator(nn.Module):
    """Logits for the places of noised glyphs, positive for real ones, at noise levels and for texts that it is told.

    What a place looks like, and how well it goes with the text, by an inner product (Miyato and Koyama 2018, cGANs with
    projection discriminator, equation 3).

    Args:
        in_channels: colour channels of the image.
        text_dim: width of the vector for a text: of a tower's, or of the token states.
    """

    def __init__(self, in_channels: int, text_dim: int):
        super().__init__()
        cond_dim = 4 * WIDTHS[0]
        self.time_mlp = nn.Sequential(nn.Linear(WIDTHS[0], cond_dim), nn.SiLU(), nn.Linear(cond_dim, cond_dim))
        self.stem = nn.Conv2d(in_channels * PATCH**2, WIDTHS[0], 3, padding=1)
        self.blocks, self.smaller = nn.ModuleList(), nn.ModuleList()
        for before, width in zip((WIDTHS[0], *WIDTHS), WIDTHS, strict=False):
            self.blocks.append(ResBlock(before, width, cond_dim, groups=0))
            self.smaller.append(Downsample(width) if width != WIDTHS[-1] else nn.Identity())
        self.norm_out = build_norm(WIDTHS[-1], 0)
        self.to_logit = nn.Linear(WIDTHS[-1], 1)
        self.to_text = nn.Linear(WIDTHS[-1], TEXT_WIDTH, bias=False)
        self.text = nn.Sequential(nn.LayerNorm(text_dim), nn.Linear(text_dim, TEXT_WIDTH))

    def forward(self, xt: Tensor, t: Tensor, cond: Condition) -> Tensor:
        """xt (B, C, H, W) noised, t (B,) timesteps in [0, 1000) -> logits (B, places)."""
        told = self.time_mlp(timestep_embedding(t, WIDTHS[0]))
        x = self.stem(F.pixel_unshuffle(xt, PATCH).contiguous(memory_format=torch.channels_last))
        for block, smaller in zip(self.blocks, self.smaller, strict=True):
            x = smaller(block(x, told))
        places = F.silu(self.norm_out(x)).flatten(2).transpose(1, 2)  # (B, places, C)
        text = self.text(masked_mean(cond.states.float(), cond.mask) if cond.pooled is None else cond.pooled)
        match = (self.to_text(places) * text[:, None]).sum(dim=-1) * TEXT_WIDTH**-0.5
        return self.to_logit(places)[..., 0] + match

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter in exactly one group, by its role: see `grouped`."""
        return grouped(self, [self.stem])


def build_discriminator(student: ConditionedNetwork) -> Discriminator:
    """A discriminator, with new weights, of what a student draws, told the texts that it is told."""
    c = student.config
    return Discriminator(c.in_channels, c.pooled_dim or c.cross_attention_dim)
