"""What a step of a companion sees, a function of (seed, step, process): patches large and small, or whole glyphs."""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glyffuser.config import Config
from glyffuser.data.order import GlyphOrder
from glyffuser.data.pictures import Pictures
from glyffuser.diffusion.conditions import Small
from glyffuser.diffusion.process import Process
from glyffuser.train.batches import Batch


class Crops:
    """Draws the batch of any step; holds the data set as PNGs, and decodes what a step needs.

    The small picture of a patch is the mean over its pixels, so the two agree exactly, which drawings of a font at two
    sizes do not: hinting moves strokes. Patches begin at any pixel, so edges lie anywhere within the small pixels.
    """

    def __init__(self, config: Config, pictures: Pictures, process: Process, device: torch.device):
        self.config, self.pictures, self.schedule, self.device = config, pictures, process.schedule, device
        self.order = GlyphOrder(pictures.radicals, config.data.balance, config.train.seed, pictures.blocks)

    def __len__(self) -> int:
        return len(self.pictures)

    def draw(self, step: int, rank: int, world: int) -> Batch:
        """The examples of a step for process `rank` of `world`."""
        c, m = self.config.train, self.config.model
        first = (step * world + rank) * c.batch_size
        glyphs = self.order(np.arange(first, first + c.batch_size))
        seeds = np.random.SeedSequence([c.seed, step, rank]).generate_state(3, np.uint64)  # one a use
        starts = np.random.default_rng(seeds[0]).integers(0, m.sample_size - m.crop + 1, (len(glyphs), 2))
        patches = [
            self.pictures[glyph][top : top + m.crop, left : left + m.crop]
            for glyph, (top, left) in zip(glyphs, starts, strict=True)
        ]
        x0 = torch.from_numpy(np.stack(patches))[:, None].float() / 127.5 - 1
        generator = torch.Generator().manual_seed(int(seeds[1]))
        torch.manual_seed(int(seeds[2]))  # for dropout
        eps = torch.randn(x0.shape, generator=generator)
        t = self.schedule.sample_timesteps(c.batch_size, self.config.diffusion.timesteps, generator)
        clean = smaller(x0, m.sample_size // m.low_size)
        share = self.config.data.low_noise * torch.rand(c.batch_size, generator=generator)
        low = Small.noised(clean, share, torch.randn(clean.shape, generator=generator))
        small = Small(low.image.to(self.device), low.noise.to(self.device))
        return Batch(x0.to(self.device), eps.to(self.device), t, small)


class Wholes:
    """Draws whole glyphs, for an autoencoder."""

    def __init__(self, config: Config, pictures: Pictures, process: Process, device: torch.device):
        self.config, self.pictures, self.device = config, pictures, device
        self.order = GlyphOrder(pictures.radicals, config.data.balance, config.train.seed, pictures.blocks)

    def __len__(self) -> int:
        return len(self.pictures)

    def draw(self, step: int, rank: int, world: int) -> Batch:
        """The examples of a step for process `rank` of `world`: without noise, since none is added to glyphs."""
        c = self.config.train
        first = (step * world + rank) * c.batch_size
        x0 = self.images(self.order(np.arange(first, first + c.batch_size)))
        torch.manual_seed(int(np.random.SeedSequence([c.seed, step, rank]).generate_state(1, np.uint64)[0]))
        return Batch(x0, torch.zeros_like(x0), torch.zeros(len(x0)), None)

    def images(self, rows: Iterable[int]) -> Tensor:
        """Some glyphs by their numbers (B, 1, H, W), in [-1, 1]."""
        stacked = np.stack([self.pictures[int(row)] for row in rows])
        return torch.from_numpy(stacked)[:, None].to(self.device).float() / 127.5 - 1


def smaller(images: Tensor, scale: int) -> Tensor:
    """Pictures (B, C, H, W) at 1/scale of their size, each pixel a mean."""
    return F.avg_pool2d(images, scale)
