"""Plausibility: a network trained on real and on flawed glyphs that says where a glyph looks wrong.

It marks flaws on a 16 x 16 grid; the score of a glyph is that of its worst cells. Real and flawed pictures pass through
the same random rendering (blur, grain, contrast, weight), so that it judges strokes, not how crisp a picture is. It is
calibrated on real, held-out characters: the threshold flags 5 % of them.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from glyffuser.base.devices import fast_matmul
from glyffuser.base.errors import UserError
from glyffuser.data.dataset import GlyphData
from glyffuser.judge.flaws import FLAWS, flawed
from glyffuser.judge.recogniser import Block, Epoch, grey_pictures, held_out_characters, one_cycle

SIZE = 128  # pixels; pictures of other sizes are resized
CELL = 8  # width in pixels of a cell of the map
WORST = 4  # worst cells, whose mean is the score
FLAGGED = 0.05  # share of real glyphs that the threshold flags
CALIBRATION = 200  # fewest real glyphs to set the threshold by
BATCH = 128


class Plausibility(ModelMixin, ConfigMixin):
    """Where a glyph looks flawed.

    Args:
        widths: channels at 64, 32, 16 and 8 pixels.
        threshold: score above which a glyph is flagged; set by `calibrate`.
    """

    @register_to_config
    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128), threshold: float = 0.0):
        super().__init__()
        a, b, c, d = widths
        self.stem = nn.Sequential(nn.Conv2d(1, a, 5, 2, 2, bias=False), nn.BatchNorm2d(a), nn.ReLU(inplace=True))
        self.fine = nn.Sequential(Block(a, b, 2), Block(b, b, 1))  # 32 x 32
        self.middle = nn.Sequential(Block(b, c, 2), Block(c, c, 1))  # 16 x 16
        self.coarse = nn.Sequential(Block(c, d, 2), Block(d, d, 1))  # 8 x 8: sees whole parts
        self.join = Block(c + d, c, 1)
        self.head = nn.Conv2d(c, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 1, H, W) in [-1, 1], square -> logits (B, 16, 16) that a cell belongs to a flaw."""
        x = F.interpolate(images.to(self.dtype), size=(SIZE, SIZE), mode="bilinear", antialias=True)
        x = self.middle(self.fine(self.stem(1 - x)))
        up = F.interpolate(self.coarse(x), scale_factor=2.0, mode="nearest")
        return self.head(self.join(torch.cat([x, up], dim=1)))[:, 0].float()

    @torch.no_grad()
    def score(self, images: np.ndarray | Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N,), higher = worse, and maps (N, 16, 16) of uint8 pictures (N, H, H), ink 0, paper 255."""
        pictures = grey_pictures(images)
        with fast_matmul(self.device):
            maps = torch.cat([self(part[:, None].float() / 127.5 - 1) for part in pictures.split(BATCH)])
        return worst(maps), maps

    def calibrate(self, images: np.ndarray) -> None:
        """Set the threshold so that it flags 5 % of these real, held-out glyphs. UserError if there are too few."""
        if len(images) < CALIBRATION:
            raise UserError(f"calibration needs {CALIBRATION} real glyphs, but there are {len(images)}")
        self.register_to_config(threshold=float(self.score(images)[0].quantile(1 - FLAGGED)))


def worst(maps: Tensor) -> Tensor:
    """Mean of each glyph's worst cells: (N, 16, 16) -> (N,)."""
    return maps.flatten(1).topk(WORST, dim=1).values.mean(dim=1)


@dataclass
class PlausibilitySettings:
    """How the network is trained."""

    widths: tuple[int, ...] = (24, 48, 96, 128)  # channels at 64, 32, 16 and 8 pixels
    kinds: Sequence[str] = tuple(FLAWS)  # fewer, to see how it does on kinds it was never shown
    steps: int = 3000
    batch_size: int = 64  # half of them flawed
    lr: float = 2e-3
    weight_decay: float = 0.02
    seed: int = 0
    held_out: float = 0.05  # of the characters, kept for calibration
    max_minutes: float = 60.0


def rendered(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Ink (B, 1, H, W) in [0, 1] as a printer or a diffusion model might render it: the same glyph, less exact.

    A little blur or sharpening, bolder or finer strokes, contrast, faint grain. Nothing moves: cells keep their place.
    """
    n = len(ink)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand((n, 1, 1, 1), generator=generator)

    soft = F.avg_pool2d(F.pad(ink, (1, 1, 1, 1)), 3, 1)
    x = ink + uniform(-0.6, 0.9) * (soft - ink)  # below 0: sharper
    x = (x - uniform(-0.15, 0.15)) * uniform(0.9, 1.3)  # weight and contrast of the edges
    return (x + uniform(0, 0.05) * torch.randn(x.shape, generator=generator)).clamp(0, 1)


def cells(changed: np.ndarray) -> np.ndarray:
    """Which cells hold part of a flaw, at least 3 changed pixels: (H, W) bool -> (H/8, W/8) float32."""
    height, width = changed.shape
    counts = changed.reshape(height // CELL, CELL, width // CELL, CELL).sum((1, 3))
    return (counts >= 3).astype(np.float32)


def check_size(data: GlyphData) -> None:
    """UserError unless the network can be trained on these glyphs: they must have 128 pixels."""
    if data.images.shape[1] != SIZE:
        raise UserError(
            f"plausibility is trained on {SIZE}-pixel glyphs, not {data.images.shape[1]}; build such a data set"
        )


def train_plausibility(data: GlyphData, settings: PlausibilitySettings) -> Iterator[tuple[Plausibility, Epoch]]:
    """Train on the glyphs of `data` (128 pixels), yielding the network and an Epoch every few steps.

    Loss: cross-entropy per cell, and that of the score as a verdict on the whole glyph.
    """
    check_size(data)
    torch.manual_seed(settings.seed)
    generator, rng = torch.Generator().manual_seed(settings.seed), np.random.default_rng(settings.seed)
    images = data.images[~held_out_characters(data.codepoints, settings.held_out)]
    network = Plausibility(widths=settings.widths).train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    start, running = time.perf_counter(), math.nan
    for step in range(settings.steps):
        done = max(step / settings.steps, (time.perf_counter() - start) / 60 / settings.max_minutes)
        if done >= 1:
            break
        ink, target, verdict = examples(images, settings, rng)
        for group in optimizer.param_groups:
            group["lr"] = one_cycle(settings.lr, done)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            maps = network(1 - 2 * rendered(ink, generator))
        # Flawed cells are few, so they weigh more.
        loss = F.binary_cross_entropy_with_logits(maps, target, pos_weight=torch.tensor(4.0))
        loss = loss + 0.3 * F.binary_cross_entropy_with_logits(worst(maps), verdict)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        value = float(loss.detach())
        running = value if math.isnan(running) else 0.98 * running + 0.02 * value
        if step % 20 == 19:
            yield network, Epoch(done, running, (step + 1) * settings.batch_size / (time.perf_counter() - start))
    network.eval()
    yield network, Epoch(1.0, running, 0.0)


def examples(
    images: np.ndarray, settings: PlausibilitySettings, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A batch, every other glyph flawed: ink (B, 1, H, W) in [0, 1], flawed cells (B, 16, 16), any flaw at all (B,)."""
    ink, target, verdict = [], [], []
    for i in range(settings.batch_size):
        glyph, other = (1 - images[rng.integers(len(images))].astype(np.float32) / 255 for _ in range(2))
        changed = np.zeros(glyph.shape, dtype=bool)
        if i % 2:
            glyph, changed = flawed(str(rng.choice(list(settings.kinds))), glyph, other, rng)
        ink.append(glyph)
        target.append(cells(changed))
        verdict.append(float(changed.any()))
    return torch.from_numpy(np.stack(ink))[:, None], torch.from_numpy(np.stack(target)), torch.tensor(verdict)


def auc(real: Tensor, flawed_scores: Tensor) -> float:
    """Area under the curve: the chance that a flawed glyph scores worse than a real one; ties count half."""
    greater = (flawed_scores[:, None] > real[None]).double() + 0.5 * (flawed_scores[:, None] == real[None]).double()
    return float(greater.mean())
