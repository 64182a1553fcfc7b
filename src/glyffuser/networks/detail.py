"""A head for details finer than a patch: the ends and edges of strokes, on a grid of every second pixel.

A U-Net on patches reads all pixels of a patch off one vector, by one convolution. The head sees that picture, the
noised one and the vectors, all on the finer grid, and adds what is missing. The idea is from DiP (Chen et al. 2025,
arXiv:2511.18822), whose head is a different one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glyffuser.base.errors import UserError
from glyffuser.networks.layers import ResBlock, build_norm, zero_init

STRIDE = 2  # pixels between neighbours on the head's grid


class DetailHead(nn.Module):
    """What to add to a folded picture; zero at first.

    Args:
        width: channels of the features on the grid of patches.
        in_channels: colour channels of the image.
        patch_size: side of a patch, even.
        channels: width of the head.
        cond_dim: width of the conditioning vector.
        groups: of the group normalisation; 0 = normalise each pixel on its own.
    """

    def __init__(self, width: int, in_channels: int, patch_size: int, channels: int, cond_dim: int, groups: int):
        super().__init__()
        self.finer, self.patch_size = patch_size // STRIDE, patch_size
        pixels = in_channels * STRIDE**2
        self.conv_in = nn.Conv2d(width // self.finer**2 + 2 * pixels, channels, 3, padding=1)
        self.blocks = nn.ModuleList([ResBlock(channels, channels, cond_dim, groups) for _ in range(2)])
        self.norm_out = build_norm(channels, groups)
        self.conv_out = zero_init(nn.Conv2d(channels, pixels, 3, padding=1))

    def forward(self, features: Tensor, noised: Tensor, coarse: Tensor, cond: Tensor) -> Tensor:
        """features (B, width, H/p, W/p), the noised and the coarse picture, folded (B, C p^2, H/p, W/p), and cond
        (B, cond_dim) -> what to add, folded.
        """
        pictures = [F.pixel_unshuffle(F.pixel_shuffle(x, self.patch_size), STRIDE) for x in (noised, coarse)]
        x = self.conv_in(torch.cat([F.pixel_shuffle(features, self.finer), *pictures], dim=1))
        for block in self.blocks:
            x = block(x, cond)
        x = self.conv_out(F.silu(self.norm_out(x)))
        return F.pixel_unshuffle(F.pixel_shuffle(x, STRIDE), self.patch_size)


def check_detail(width: int, patch_size: int) -> None:
    """UserError if a network of this width, on patches of this size, cannot have a head."""
    if patch_size % STRIDE or width % (patch_size // STRIDE) ** 2:
        raise UserError(
            f"model.detail needs an even model.patch_size, not {patch_size}, and a first value of "
            f"model.block_out_channels that is a multiple of {max(1, patch_size // STRIDE) ** 2}, not {width}; "
            "or set model.detail=0"
        )
