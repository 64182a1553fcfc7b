"""What a companion's step sees, as a function of seed and place: patches, large and small, or whole glyphs."""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glyffuser.base.noise import chances, normal
from glyffuser.base.pictures import from_grey
from glyffuser.config import Config
from glyffuser.data.order import GlyphOrder
from glyffuser.data.pictures import Pictures, digest
from glyffuser.diffusion.conditions import Small
from glyffuser.diffusion.process import Process
from glyffuser.train.batches import Batch


def digest_of(pictures: Pictures) -> str:
    """The `digest` of what is known of pictures."""
    blocks = () if pictures.blocks is None else pictures.blocks
    return digest(pictures.chars, pictures.radicals, pictures.fonts, blocks)


class Crops:
    """Draws any stretch of the data order; holds the data set as PNGs, and decodes what a step needs.

    The small picture of a patch averages its pixels, so the two agree exactly; drawings of a font at two sizes do not,
    since hinting moves strokes. Patches begin at any pixel, so edges lie anywhere within the small pixels.
    """

    def __init__(self, config: Config, pictures: Pictures, process: Process, device: torch.device):
        self.config, self.pictures, self.schedule, self.device = config, pictures, process.schedule, device
        self.order = GlyphOrder(pictures.radicals, config.data.balance, config.train.seed, pictures.blocks)
        self.digest = digest_of(pictures)

    def __len__(self) -> int:
        return len(self.pictures)

    def draw(self, first: int, count: int) -> Batch:
        """The examples at `count` places of the order, from `first` on."""
        seed, m = self.config.train.seed, self.config.model
        glyphs = self.order(np.arange(first, first + count))
        noise, low_noise, level, low_level = chances(seed, 0, first, count).T
        chance = chances(seed, 1, first, count)
        starts = (chance[:, :2] * (m.sample_size - m.crop + 1)).astype(np.int64)
        patches = [
            self.pictures[glyph][top : top + m.crop, left : left + m.crop]
            for glyph, (top, left) in zip(glyphs, starts, strict=True)
        ]
        x0 = from_grey(np.stack(patches))
        eps = normal(x0.shape[1:], noise, x0.device)
        t = self.schedule.timesteps_at(torch.from_numpy(level), self.config.diffusion.timesteps)
        torch.manual_seed(int(chance[0, 2] * 2**53))  # for dropout, which alone depends on how a step is shared
        clean = smaller(x0, m.sample_size // m.low_size)
        share = self.config.data.low_noise * torch.from_numpy(low_level).float()
        low = Small.noised(clean, share, normal(clean.shape[1:], low_noise, clean.device))
        small = Small(low.image.to(self.device), low.noise.to(self.device))
        return Batch(x0.to(self.device), eps.to(self.device), t, small)


class Wholes:
    """Draws whole glyphs, for an autoencoder."""

    def __init__(self, config: Config, pictures: Pictures, process: Process, device: torch.device):
        self.config, self.pictures, self.device = config, pictures, device
        self.order = GlyphOrder(pictures.radicals, config.data.balance, config.train.seed, pictures.blocks)
        self.digest = digest_of(pictures)

    def __len__(self) -> int:
        return len(self.pictures)

    def draw(self, first: int, count: int) -> Batch:
        """The examples at `count` places of the order, from `first` on: without noise, as glyphs get none here."""
        x0 = self.images(self.order(np.arange(first, first + count)))
        # For the latents that the network draws, which alone depend on how a step is shared.
        torch.manual_seed(int(chances(self.config.train.seed, 0, first, 1)[0, 0] * 2**53))
        return Batch(x0, torch.zeros_like(x0), torch.zeros(len(x0)), None)

    def images(self, rows: Iterable[int]) -> Tensor:
        """The glyphs with the numbers `rows` (B, 1, H, W), in [-1, 1]."""
        return from_grey(np.stack([self.pictures[int(row)] for row in rows])).to(self.device)


def smaller(images: Tensor, scale: int) -> Tensor:
    """Pictures (B, C, H, W) at 1/scale of their size, each pixel a mean of those it replaces."""
    return F.avg_pool2d(images, scale)
