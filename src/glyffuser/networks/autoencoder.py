"""The autoencoder: turns glyphs into a few numbers, on which diffusion can work, and back.

A small AutoencoderKL of diffusers (Kingma and Welling 2014; Rombach et al. 2022, Latent diffusion) behind a stem of
patches, like that of the denoising networks: at full resolution, convolutions would cost a CPU sixteen times as much.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.base.devices import fast_matmul
from glyffuser.base.errors import UserError
from glyffuser.networks.conditioned import grouped

KL = 1e-5  # weight of the divergence from a standard normal, per latent number: only stops latents from drifting apart
INK = 1.0  # weight of the edges: without it, strokes turn soft


class Reconstruction(NamedTuple):
    """Decoded glyphs (B, C, H, W), and their latents' divergence from a standard normal, per latent number (B,)."""

    image: Tensor
    kl: Tensor


class Autoencoder(ModelMixin, ConfigMixin):
    """Turn glyphs into latents of mean 0 and variance 1, and back.

    Settings have no defaults here, except in_channels and those that are measured.

    Args:
        sample_size: height and width of the glyph in pixels; a multiple of patch_size * 2 ** (levels - 1).
        patch_size: space-to-depth factor of the stem.
        block_out_channels: width of each level, finest first; multiples of 8.
        layers_per_block: residual blocks per level.
        latent_channels: channels of the latents, whose height and width are those of the coarsest level.
        in_channels: colour channels (1 = grey).
        shift_factor, scaling_factor: mean and inverse deviation of the raw latents, measured by `normalise` on export.
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
        latent_channels: int,
        in_channels: int = 1,
        shift_factor: float = 0.0,
        scaling_factor: float = 1.0,
    ):
        super().__init__()
        check_shape(sample_size, patch_size, block_out_channels)
        levels, pixels = len(block_out_channels), in_channels * patch_size**2
        self.body = AutoencoderKL(
            in_channels=pixels,
            out_channels=pixels,
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            block_out_channels=tuple(block_out_channels),
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=8,
            sample_size=sample_size // patch_size,
        )

    @property
    def latent_size(self) -> int:
        """Height and width of the latents."""
        return self.config.sample_size // (self.config.patch_size * 2 ** (len(self.config.block_out_channels) - 1))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter in exactly one group, by its role: see `grouped`."""
        return grouped(self, [self.body.encoder.conv_in, self.body.decoder.conv_out])

    def forward(self, images: Tensor) -> Reconstruction:
        """Encode glyphs (B, C, H, W) in [-1, 1], draw latents by the global generator, and decode them."""
        posterior = self.body.encode(self._folded(images)).latent_dist
        latents = posterior.mean + posterior.std * torch.randn_like(posterior.mean)
        kl = posterior.kl() / posterior.mean[0].numel()
        return Reconstruction(self._unfolded(self.body.decode(latents).sample), kl)

    @torch.no_grad()
    def to_latents(self, images: Tensor) -> Tensor:
        """Encode glyphs (B, C, H, W) in [-1, 1]: the means of their latents, normalised, (B, latent_channels, h, w)."""
        with fast_matmul(self.device):
            raw = self.body.encode(self._folded(images)).latent_dist.mean.float()
        return (raw - self.config.shift_factor) * self.config.scaling_factor

    @torch.no_grad()
    def to_images(self, latents: Tensor) -> Tensor:
        """Decode latents, nearly the inverse of `to_latents`: glyphs (B, C, H, W), float32, roughly in [-1, 1]."""
        with fast_matmul(self.device):
            raw = latents / self.config.scaling_factor + self.config.shift_factor
            return self._unfolded(self.body.decode(raw.to(self.dtype)).sample).float()

    def normalise(self, images: Tensor) -> None:
        """Measure the mean and deviation of the latents of glyphs (N, C, H, W), and record them in the config."""
        self.register_to_config(shift_factor=0.0, scaling_factor=1.0)
        raw = self.to_latents(images)
        self.register_to_config(shift_factor=float(raw.mean()), scaling_factor=float(1 / raw.std()))

    def between(self, one: Tensor, other: Tensor, steps: int) -> Tensor:
        """A walk through latent space from one glyph (C, H, W) to another: (steps, C, H, W), ends included.

        Along a great circle, on which noise of the right size keeps that size (Shoemake 1985, slerp).
        """
        start, end = self.to_latents(torch.stack([one, other])).flatten(1)
        angle = torch.arccos(F.cosine_similarity(start, end, dim=0).clamp(-1, 1)).clamp(min=1e-4)
        u = torch.linspace(0, 1, steps)[:, None]
        walk = (torch.sin((1 - u) * angle) * start + torch.sin(u * angle) * end) / torch.sin(angle)
        return self.to_images(walk.unflatten(1, (self.config.latent_channels, self.latent_size, self.latent_size)))

    def _folded(self, images: Tensor) -> Tensor:
        return F.pixel_unshuffle(images.to(self.dtype), self.config.patch_size)

    def _unfolded(self, patches: Tensor) -> Tensor:
        return F.pixel_shuffle(patches, self.config.patch_size)


def autoencoder_loss(made: Reconstruction, images: Tensor) -> Tensor:
    """Mean distance in grey, plus INK times that of its differences between neighbours, where the edges of the ink are,
    plus KL times the divergence: (B,).
    """

    def far(one: Tensor, other: Tensor) -> Tensor:
        return (one.float() - other).abs().flatten(1).mean(dim=1)

    edges: Any = sum(far(made.image.diff(dim=dim), images.diff(dim=dim)) for dim in (2, 3))
    return far(made.image, images) + INK * edges + KL * made.kl.float()


def check_shape(sample_size: int, patch_size: int, widths: tuple[int, ...]) -> None:
    """UserError if the settings of an Autoencoder contradict one another."""
    coarse = patch_size * 2 ** (len(widths) - 1)
    if sample_size % coarse or not widths or any(width % 8 for width in widths):
        raise UserError(
            f"an autoencoder's model.sample_size {sample_size} must be a multiple of {coarse}, the side of its "
            f"coarsest patches, and its model.block_out_channels {list(widths)} multiples of 8"
        )
