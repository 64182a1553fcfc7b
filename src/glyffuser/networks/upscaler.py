"""The upscaler: a small denoiser that enlarges a glyph, told the small glyph and how noisy it is.

One stage of a cascade (Ho et al. 2022, Cascaded diffusion models, arXiv 2106.15282): the small picture, up-sampled,
joins the noised large one as a further channel. It comes with some noise, and the network is told how much, so that
flaws of the previous stage do not mislead it (section 4.2, conditioning augmentation). It reads no text: what to draw
has been decided. It has convolutions only, so it works on tiles of a picture of any size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.base.errors import UserError
from glyffuser.diffusion.process import Process
from glyffuser.networks.conditioned import NetworkOutput, grouped
from glyffuser.networks.layers import Downsample, ResBlock, Upsample, build_norm, timestep_embedding, zero_init

LEVELS = 1000  # of noise in the small picture, for the embedding: 0 = none, 1000 = pure noise


class Upscaler(ModelMixin, ConfigMixin):
    """Predict the large clean glyph from a noised one, its timestep, and the small glyph with its noise level.

    Most settings have no default here: defaults are in config/settings.py.

    Args:
        sample_size: height and width of the large picture in pixels; a multiple of low_size.
        low_size: height and width of the small picture.
        crop: side of the patches that it is trained on and draws in; a multiple of sample_size / low_size and of
            patch_size * 2 ** (levels - 1).
        in_channels: colour channels (1 = grey).
        patch_size: space-to-depth factor of the stem.
        block_out_channels: width of each level, finest first.
        layers_per_block: residual blocks per level, on the way down and on the way up.
        norm_groups: groups of the group normalisation; 0 = normalise each pixel on its own.
        dropout: dropout rate inside the blocks.
        prediction_type: "sample", since it predicts what to add to the enlarged picture; UserError for any other.
        schedule, num_train_timesteps, shift, rescale_betas_zero_snr: the rest of the process it was trained for; see
            `Process.to_config`.
    """

    __module__ = "glyffuser"  # what a saved model names, whichever room the class lives in

    @register_to_config
    def __init__(
        self,
        *,
        sample_size: int,
        low_size: int,
        crop: int,
        patch_size: int,
        block_out_channels: tuple[int, ...],
        layers_per_block: int,
        norm_groups: int,
        dropout: float,
        prediction_type: str,
        schedule: str,
        num_train_timesteps: int,
        shift: float,
        in_channels: int = 1,
        rescale_betas_zero_snr: bool = False,
    ):
        super().__init__()
        check_shape(sample_size, low_size, crop, patch_size * 2 ** (len(block_out_channels) - 1), prediction_type)
        widths = list(block_out_channels)
        cond_dim = 4 * widths[0]
        self.time_mlp, self.noise_mlp = (
            nn.Sequential(nn.Linear(widths[0], cond_dim), nn.SiLU(), nn.Linear(cond_dim, cond_dim)) for _ in range(2)
        )
        pixels = in_channels * patch_size**2
        self.stem = nn.Conv2d(2 * pixels, widths[0], 3, padding=1)

        def blocks(n_in: int, n_out: int) -> nn.ModuleList:
            how: dict[str, Any] = {"groups": norm_groups, "dropout": dropout}
            return nn.ModuleList(
                [ResBlock(n_out if i else n_in, n_out, cond_dim, **how) for i in range(layers_per_block)]
            )

        below = [widths[0], *widths[:-1]]  # the width at which each level is entered
        self.down = nn.ModuleList([blocks(n_in, n) for n_in, n in zip(below, widths, strict=True)])
        self.smaller = nn.ModuleList([Downsample(n) for n in widths[:-1]])
        self.larger = nn.ModuleList([Upsample(n) for n in widths[:0:-1]])
        above = [widths[-1], *widths[:0:-1]]
        self.up = nn.ModuleList([blocks(n_in + n, n) for n_in, n in zip(above, widths[::-1], strict=True)])
        self.norm_out = build_norm(widths[0], norm_groups)
        self.conv_out = zero_init(nn.Conv2d(widths[0], pixels, 3, padding=1))

    @property
    def process(self) -> Process:
        """The process that the network was trained for."""
        return Process.from_config(self.config)

    @property
    def scale(self) -> int:
        """How many times larger the large picture is."""
        return self.config.sample_size // self.config.low_size

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter in exactly one group, by its role: see `grouped`."""
        return grouped(self, [self.stem, self.conv_out])

    def forward(
        self, sample: Tensor, timestep: Tensor | float, low: Tensor, low_noise: Tensor, return_dict: bool = True
    ) -> NetworkOutput | tuple[Tensor]:
        """Args: sample (B, C, h, w), a picture or a tile of one; timestep in [0, T), one number or (B,); low
        (B, C, h/scale, w/scale), the same area of the small picture, noised; low_noise (B,), its noise, 0 to 1.
        Returns: NetworkOutput, shape of `sample`.
        """
        t = torch.as_tensor(timestep, device=sample.device).expand(sample.shape[0])
        width, dtype = self.config.block_out_channels[0], self.dtype
        cond = self.time_mlp(timestep_embedding(t, width).to(dtype))
        cond = cond + self.noise_mlp(timestep_embedding(LEVELS * low_noise, width).to(dtype))
        large = enlarged(low, self.scale).to(dtype)
        x = F.pixel_unshuffle(torch.cat([sample.to(dtype), large], dim=1), self.config.patch_size)
        if not self.config.norm_groups:  # then nothing below needs another memory order
            x = x.contiguous(memory_format=torch.channels_last)
        x = F.pixel_shuffle(self._body(self.stem(x), cond), self.config.patch_size) + large
        return NetworkOutput(sample=x) if return_dict else (x,)

    def _body(self, x: Tensor, cond: Tensor) -> Tensor:
        """From the stem's output to the folded picture that is added to the enlarged one."""
        skips = []
        for level, blocks in enumerate(self.down):
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, cond)
            skips.append(x)
            if level < len(self.smaller):
                x = self.smaller[level](x)
        for level, blocks in enumerate(self.up):
            if level:
                x = self.larger[level - 1](x)
            x = torch.cat([x, skips.pop()], dim=1)
            for block in blocks:  # type: ignore[attr-defined]
                x = block(x, cond)
        return self.conv_out(F.silu(self.norm_out(x)))


def enlarged(low: Tensor, scale: int) -> Tensor:
    """Pictures (B, C, h, w) enlarged by a bicubic curve: (B, C, scale h, scale w), float32."""
    return F.interpolate(low.float(), scale_factor=scale, mode="bicubic", align_corners=False)


def check_shape(sample_size: int, low_size: int, crop: int, coarse: int, prediction_type: str) -> None:
    """UserError if the settings of an Upscaler contradict one another; `coarse` is the side of its largest patch."""
    if not low_size or sample_size % low_size or sample_size == low_size:
        raise UserError(
            f"model.sample_size {sample_size} is not a multiple of model.low_size {low_size}; change one of them"
        )
    scale = sample_size // low_size
    if not 0 < crop <= sample_size or crop % scale or crop % coarse:
        raise UserError(
            f"model.crop {crop} must be a multiple of {scale}, the factor of enlargement, and of {coarse}, the "
            f"side of a patch at the coarsest level, and at most {sample_size}"
        )
    if prediction_type != "sample":
        raise UserError(
            f"an upscaler predicts the clean picture: set diffusion.prediction_type=sample, not {prediction_type}"
        )
