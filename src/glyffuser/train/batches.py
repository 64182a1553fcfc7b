"""What a training step sees: glyphs, captions, radicals, timesteps, noise, all a function of (seed, step, process)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glyffuser.config import Config
from glyffuser.data.captions import Captions
from glyffuser.data.components import MOST_PARTS, numbered, parts
from glyffuser.data.dataset import GlyphData
from glyffuser.data.order import GlyphOrder
from glyffuser.data.pictures import GlyphStream
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.schedules import Schedule
from glyffuser.text.cache import EncodedTexts


@dataclass
class Batch:
    """Glyphs (B, C, H, W) in [-1, 1], noise like them, timesteps (B,) on the CPU, and what the network is told: a
    Condition, or, of an upscaler, Small.
    """

    x0: Tensor
    eps: Tensor
    t: Tensor
    cond: Any


class Batches:
    """Draws the batch of any step; holds the data set in memory, on the device, or what is known of a stream.

    Args:
        data: the training split.
        captions, texts: its captions, and their token states by number; pooled: their vectors (N, W), or None.
        known: the parts that the network can be told; "" = it takes none.
        latents: of the glyphs (N, C, h, w), to be learnt in their place.
        styles: those that the network is told, in the order of their numbers, from 1; none = it is told none.
    """

    def __init__(
        self,
        config: Config,
        data: GlyphData | GlyphStream,
        captions: Captions,
        texts: EncodedTexts,
        pooled: Tensor | None,
        schedule: Schedule,
        styles: Sequence[str],
        device: torch.device,
        known: str = "",
        latents: Tensor | None = None,
    ):
        self.config, self.captions, self.texts, self.schedule, self.device = config, captions, texts, schedule, device
        self.pooled = pooled
        self.pictures = data.pictures if isinstance(data, GlyphStream) else None
        blocks = None if self.pictures is None else self.pictures.blocks
        self.order = GlyphOrder(data.radicals, config.data.balance, config.train.seed, blocks)
        if isinstance(data, GlyphData):
            self.images = torch.from_numpy(data.images).to(device)  # uint8 (N, H, W)
        self.latents = None if latents is None else latents.to(device)  # (N, C, h, w), in the place of pictures
        self.radicals = data.radicals.astype(np.int64)
        self.parts = None
        if known:  # (N, MOST_PARTS, 2)
            direct = [[part for part in parts(char) if part.char and part.char in known] for char in data.chars]
            self.parts = np.stack([numbered(found, known) for found in direct])
        self.styles = np.array([styles.index(style) + 1 for style in data.styles]) if styles else None  # (N,)

    def __len__(self) -> int:
        return len(self.radicals)

    def draw(self, step: int, rank: int, world: int) -> Batch:
        """The examples of a step for process `rank` of `world`."""
        c, d = self.config.train, self.config.data
        first = (step * world + rank) * c.batch_size
        glyphs = self.order(np.arange(first, first + c.batch_size))
        seeds = np.random.SeedSequence([c.seed, step, rank]).generate_state(7, np.uint64)  # one a use
        numbers = self.captions.draw(glyphs, d.kinds, d.drop, np.random.default_rng(seeds[0]))
        states, mask = self.texts.batch(numbers)
        x0 = self.clean(torch.from_numpy(glyphs).to(self.device))
        generator = torch.Generator(self.device).manual_seed(int(seeds[1]))
        torch.manual_seed(int(seeds[2]))  # for dropout
        eps = torch.randn(x0.shape, generator=generator, device=self.device)
        cpu = torch.Generator().manual_seed(int(seeds[3]))
        t = self.schedule.sample_timesteps(c.batch_size, self.config.diffusion.timesteps, cpu)
        radical = None
        if self.config.model.num_class_embeds:
            dropped = (numbers == 0) | (np.random.default_rng(seeds[4]).random(len(glyphs)) < d.drop_radical)
            radical = torch.from_numpy(np.where(dropped, 0, self.radicals[glyphs])).to(self.device)
        pooled = None if self.pooled is None else self.pooled[torch.from_numpy(numbers).to(self.device)].float()
        told = None
        if self.parts is not None:
            rng = np.random.default_rng(seeds[5])
            silent = (numbers == 0) | (rng.random(len(glyphs)) < d.drop_parts)
            named = ~silent[:, None] & (rng.random((len(glyphs), MOST_PARTS)) < 0.5)
            told = torch.from_numpy(self.parts[glyphs] * named[:, :, None]).to(self.device)
        style = None
        if self.styles is not None:
            dropped = np.random.default_rng(seeds[6]).random(len(glyphs)) < d.drop_style
            style = torch.from_numpy(np.where(dropped, 0, self.styles[glyphs])).to(self.device)
        return Batch(x0, eps, t, Condition(states, mask, radical, pooled, told, style))

    def clean(self, rows: Tensor) -> Tensor:
        """Some glyphs by their numbers (B, 1, H, W), in [-1, 1]; or their latents (B, C, h, w)."""
        if self.latents is not None:
            return self.latents[rows]
        if self.pictures is not None:
            images = torch.from_numpy(np.stack([self.pictures[row] for row in rows.tolist()])).to(self.device)
        else:
            images = self.images[rows]
        return images[:, None].float() / 127.5 - 1
