"""What a training step sees: glyphs, captions, radicals, timesteps and noise, all functions of seed and place."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glyffuser.base.noise import chances, normal
from glyffuser.base.pictures import from_grey
from glyffuser.config import Config
from glyffuser.data.captions import Captions
from glyffuser.data.components import MOST_PARTS, numbered, parts
from glyffuser.data.dataset import GlyphData
from glyffuser.data.order import GlyphOrder
from glyffuser.data.pictures import GlyphStream, digest
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.schedules import Schedule
from glyffuser.text.cache import EncodedTexts


@dataclass
class Batch:
    """Glyphs (B, C, H, W) in [-1, 1], noise of their shape, timesteps (B,) on the CPU, and what the network is told: a
    Condition or, for an upscaler, a Small.
    """

    x0: Tensor
    eps: Tensor
    t: Tensor
    cond: Any


class Batches:
    """Draws any stretch of the endless data order; holds the data set in device memory, or the facts of a stream.

    Everything random about an example is decided by the seed and its place in the order. So, dropout aside, a step is
    the same however many processes share it and however many parts each takes its share in.

    Args:
        data: the training split.
        captions, texts: its captions, and their token states by number; pooled: their vectors (N, W), or None.
        known: the parts that the network can be told; "" = it takes none.
        latents: those of the glyphs (N, C, h, w), to be learnt in their place.
        styles: those that the network is told, in the order of their numbers, from 1; empty = it is told none.
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
        told = (data.chars, data.definitions, data.senses, data.radicals, data.strokes, data.fonts, data.styles)
        self.digest = digest(*told, () if blocks is None else blocks)
        if isinstance(data, GlyphData):
            self.images = torch.from_numpy(data.images).to(device)  # uint8 (N, H, W)
        self.latents = None if latents is None else latents.to(device)  # (N, C, h, w), in place of pictures
        self.radicals = data.radicals.astype(np.int64)
        self.parts = None
        if known:  # (N, MOST_PARTS, 2)
            direct = [[part for part in parts(char) if part.char and part.char in known] for char in data.chars]
            self.parts = np.stack([numbered(found, known) for found in direct])
        self.styles = np.array([styles.index(style) + 1 for style in data.styles]) if styles else None  # (N,)

    def __len__(self) -> int:
        return len(self.radicals)

    def draw(self, first: int, count: int) -> Batch:
        """The examples at `count` places of the order, from `first` on."""
        d, seed = self.config.data, self.config.train.seed
        glyphs = self.order(np.arange(first, first + count))
        kind, position, drop, drop_style = chances(seed, 0, first, count).T
        noise, level, drop_radical, dropout = chances(seed, 1, first, count).T
        numbers = self.captions.pick(glyphs, d.kinds, d.drop, np.stack([kind, position, drop]))
        told, alone = self._told(glyphs, numbers, first)
        numbers = np.where(alone, 0, numbers)
        states, mask = self.texts.batch(numbers)
        x0 = self.clean(torch.from_numpy(glyphs).to(self.device))
        eps = normal(x0.shape[1:], noise, self.device)
        t = self.schedule.timesteps_at(torch.from_numpy(level), self.config.diffusion.timesteps)
        # For dropout, and for what students draw at random: these alone depend on how a step is shared.
        torch.manual_seed(int(dropout[0] * 2**53))
        radical = None
        if self.config.model.num_class_embeds:
            dropped = (numbers == 0) | (drop_radical < d.drop_radical)
            radical = torch.from_numpy(np.where(dropped, 0, self.radicals[glyphs])).to(self.device)
        pooled = None if self.pooled is None else self.pooled[torch.from_numpy(numbers).to(self.device)].float()
        style = None
        if self.styles is not None:
            style = torch.from_numpy(np.where(drop_style < d.drop_style, 0, self.styles[glyphs])).to(self.device)
        return Batch(x0, eps, t, Condition(states, mask, radical, pooled, told, style))

    def _told(self, glyphs: np.ndarray, numbers: np.ndarray, first: int) -> tuple[Tensor | None, np.ndarray]:
        """The parts told of glyphs (B,) with captions (B,), from place `first` on: (B, MOST_PARTS, 2), or None if
        the network takes none; and for which of the glyphs they are told without the caption (B,).
        """
        if self.parts is None:
            return None, np.zeros(len(glyphs), bool)
        chance = chances(self.config.train.seed, 2, first, len(glyphs))
        silent = (numbers == 0) | (chance[:, 0] < self.config.data.drop_parts)
        named = ~silent[:, None] & (chance[:, 1 : 1 + MOST_PARTS] < 0.5)
        told = self.parts[glyphs] * named[:, :, None]
        lone = chances(self.config.train.seed, 3, first, len(glyphs))[:, 0] < self.config.data.parts_alone
        return torch.from_numpy(told).to(self.device), lone & told[..., 0].any(axis=1)

    def clean(self, rows: Tensor) -> Tensor:
        """The glyphs with the numbers `rows` (B, 1, H, W), in [-1, 1], or their latents (B, C, h, w)."""
        if self.latents is not None:
            return self.latents[rows]
        if self.pictures is not None:
            images = torch.from_numpy(np.stack([self.pictures[row] for row in rows.tolist()])).to(self.device)
        else:
            images = self.images[rows]
        return from_grey(images)
