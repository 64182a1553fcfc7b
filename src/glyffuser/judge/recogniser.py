"""The recogniser: from a picture of a glyph to its radical, number of strokes and character.

A small residual network (He et al. 2016) on 64 x 64 pixels, trained on several fonts with augmentation, so that it
reads shapes, not one typeface. Its penultimate features are the space in which glyphs are compared.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.base.devices import fast_matmul
from glyffuser.base.errors import UserError
from glyffuser.data.dataset import GlyphData
from glyffuser.data.radicals import RADICALS

SIZE = 64  # pixels; pictures of other sizes are resized by averaging
MAX_STROKES = 64
BATCH = 256


class Reading(NamedTuple):
    """What the recogniser sees in B glyphs.

    `radical`: log-probabilities (B, 214) of radicals 1 ... 214; `strokes`: their expected number (B,); `character`:
    logits (B, characters); `features`: (B, feature_dim).
    """

    radical: Tensor
    strokes: Tensor
    character: Tensor
    features: Tensor


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch normalisation and a skip; the first may halve the resolution."""

    def __init__(self, n_in: int, n_out: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or n_in != n_out:
            self.skip = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(n_in, n_out, 1, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.body(x))


class Recogniser(ModelMixin, ConfigMixin):
    """Radical, strokes and character of a glyph.

    Args:
        characters: those it can name, in the order of its character head.
        widths: channels at 32, 16, 8 and 4 pixels.
        feature_dim: width of the features by which glyphs are compared.
        character_dim: width of the bottleneck before the character head, which holds most of the weights.
    """

    @register_to_config
    def __init__(
        self,
        characters: str,
        widths: tuple[int, ...] = (32, 64, 128, 192),
        feature_dim: int = 192,
        character_dim: int = 80,
    ):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, 2, 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        stages: list[nn.Module] = []
        n_in = widths[0]
        for level, n in enumerate(widths):
            stages.append(nn.Sequential(Block(n_in, n, 2 if level else 1), Block(n, n, 1)))
            n_in = n
        self.stages = nn.ModuleList(stages)
        # Where a part stands matters for what it is (a radical on the left, on top), so the 4 x 4 grid is not averaged.
        self.to_features = nn.Sequential(
            nn.Conv2d(n_in, n_in // 2, 1, bias=False),
            nn.BatchNorm2d(n_in // 2),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(n_in // 2 * 16, feature_dim),
        )
        self.radical = nn.Linear(feature_dim, len(RADICALS))
        self.strokes = nn.Linear(feature_dim, MAX_STROKES)
        self.character = nn.Sequential(
            nn.Linear(feature_dim, character_dim), nn.Linear(character_dim, len(characters), bias=False)
        )

    def logits(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Logits of radical, strokes and character, and the features, of square images (B, 1, H, W) in [-1, 1]."""
        x = F.interpolate(images.to(self.dtype), size=(SIZE, SIZE), mode="area")
        x = self.stem(1 - x)  # ink is the signal, paper is zero, as is the padding
        for stage in self.stages:
            x = stage(x)
        features = self.to_features(x)
        hidden = F.relu(features)
        return self.radical(hidden), self.strokes(hidden), self.character(hidden), features

    def forward(self, images: Tensor) -> Reading:
        """Square images (B, 1, H, W) in [-1, 1], paper = +1 -> Reading."""
        radical, strokes, character, features = (tensor.float() for tensor in self.logits(images))
        counts = torch.arange(1, MAX_STROKES + 1, device=strokes.device, dtype=torch.float32)
        return Reading(F.log_softmax(radical, dim=1), (strokes.softmax(dim=1) * counts).sum(dim=1), character, features)

    @torch.no_grad()
    def read(self, images: np.ndarray | Tensor, name: bool = False) -> Reading:
        """Read uint8 pictures (N, H, H), ink 0, paper 255, in batches. UserError for pictures in any other form.

        `character` is kept only with `name`, otherwise it is (N, 0): logits of 20,000 characters each fill the memory.
        """
        pictures = grey_pictures(images)
        with fast_matmul(self.device):
            parts = [self(batch[:, None].float() / 127.5 - 1) for batch in pictures.split(BATCH)]
        if not name:
            parts = [part._replace(character=part.character[:, :0]) for part in parts]
        return Reading(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


@dataclass
class RecogniserSettings:
    """How the recogniser is trained."""

    widths: tuple[int, ...] = (32, 64, 128, 192)  # channels at 32, 16, 8 and 4 pixels
    feature_dim: int = 192  # width of the features
    character_dim: int = 80  # width before the character head
    epochs: int = 4  # passes over all pictures of all fonts
    batch_size: int = 256
    lr: float = 3e-3  # peak of a one-cycle schedule
    weight_decay: float = 0.05
    seed: int = 0
    held_out: float = 0.05  # of the characters, in addition to the data set's test split, kept for measuring
    max_minutes: float = 60.0  # the schedule shrinks to fit


class Epoch(NamedTuple):
    """Progress of training: fraction done, running loss, images per second."""

    done: float
    loss: float
    speed: float


def grey_pictures(images: np.ndarray | Tensor) -> Tensor:
    """The pictures as a uint8 tensor (N, H, H); UserError for those in any other form."""
    pictures = torch.as_tensor(images)
    if pictures.ndim != 3 or pictures.shape[1] != pictures.shape[2] or pictures.dtype != torch.uint8:
        raise UserError(
            f"pictures must be square 8-bit grey ones (N, H, H), not {tuple(pictures.shape)} {pictures.dtype}"
        )
    return pictures


def one_cycle(peak: float, done: float) -> float:
    """A learning rate that warms up over 5 % of the run, then falls as a cosine to zero."""
    return peak * min(1.0, done / 0.05 + 0.02) * (0.5 + 0.5 * math.cos(math.pi * done))


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Small random shears, turns, shifts and scales, bolder strokes, blur and grain: (B, 1, H, W) in [-1, 1].

    Nothing that would make a reader take a glyph for another character.
    """
    n = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand((n, *shape), generator=generator)

    angle, shear = uniform(-0.06, 0.06), uniform(-0.08, 0.08)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = uniform(0.9, 1.15) * angle.cos()
    theta[:, 1, 1] = uniform(0.9, 1.15) * angle.cos()
    theta[:, 0, 1] = shear - angle.sin()
    theta[:, 1, 0] = angle.sin()
    theta[:, :, 2] = uniform(-0.07, 0.07, 2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    x = 1 - F.grid_sample(1 - images, grid, align_corners=False)  # outside is paper
    blurred = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    bolder = -F.max_pool2d(-x, 3, 1, 1)
    kind, amount = torch.rand(n, 1, 1, 1, generator=generator), uniform(0, 1, 1, 1, 1)
    x = torch.where(
        kind < 0.25, x + amount * (blurred - x), torch.where(kind < 0.4, x + 0.7 * amount * (bolder - x), x)
    )
    return x + uniform(0, 0.15, 1, 1, 1) * torch.randn(x.shape, generator=generator)


def held_out_characters(codepoints: np.ndarray, fraction: float) -> np.ndarray:
    """Which rows (N,) belong to characters kept for measuring: a fixed pseudo-random choice by code point."""
    mixed = (codepoints.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return (mixed % 10_000) < fraction * 10_000


def train_recogniser(data: GlyphData, settings: RecogniserSettings) -> Iterator[tuple[Recogniser, Epoch]]:
    """Train on all fonts in `data` (its training split), yielding the network and an Epoch every few steps.

    Loss: cross-entropy of radical, strokes and character, weighted 1, 0.3 and 0.3.
    """
    torch.manual_seed(settings.seed)
    generator = torch.Generator().manual_seed(settings.seed)
    keep = ~held_out_characters(data.codepoints, settings.held_out) & (data.radicals > 0)
    images = torch.from_numpy(data.images[keep])
    codepoints, character = np.unique(data.codepoints[keep], return_inverse=True)
    labels = [
        torch.from_numpy(data.radicals[keep].astype(np.int64) - 1),
        torch.from_numpy(data.strokes[keep].astype(np.int64).clip(1, MAX_STROKES) - 1),
        torch.from_numpy(character.astype(np.int64)),
    ]
    sizes = {"feature_dim": settings.feature_dim, "character_dim": settings.character_dim}
    network = Recogniser("".join(map(chr, codepoints)), widths=settings.widths, **sizes).train()
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    steps = max(1, settings.epochs * len(images) // settings.batch_size)
    start, running = time.perf_counter(), math.nan
    order = torch.randperm(len(images), generator=generator)
    position = 0
    for step in range(steps):
        minutes = (time.perf_counter() - start) / 60
        done = max(step / steps, minutes / settings.max_minutes)
        if done >= 1:
            break
        if position + settings.batch_size > len(order):
            order, position = torch.randperm(len(images), generator=generator), 0
        chosen = order[position : position + settings.batch_size]
        position += settings.batch_size
        x = augment(images[chosen][:, None].float() / 127.5 - 1, generator)
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(settings.lr, done)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network.logits(x)[:3]
        # No smoothing for strokes: it would pull their expected number towards the middle of the scale.
        losses = [
            F.cross_entropy(logit.float(), label[chosen], label_smoothing=smoothing)
            for logit, label, smoothing in zip(logits, labels, (0.1, 0.0, 0.1), strict=True)
        ]
        loss = losses[0] + 0.3 * losses[1] + 0.3 * losses[2]
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = float(loss.detach())
        running = value if math.isnan(running) else 0.98 * running + 0.02 * value
        if step % 20 == 19 or step + 1 == steps:
            speed = (step + 1) * settings.batch_size / (time.perf_counter() - start)
            yield network, Epoch(done, running, speed)
    network.eval()
    yield network, Epoch(1.0, running, 0.0)
