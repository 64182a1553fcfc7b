"""What a run works with, whatever it trains: a denoising network for glyphs, or one of its companions."""

from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from glyffuser.config import Config
from glyffuser.diffusion.process import Process
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.tower import TextTower
from glyffuser.train.align import Reference
from glyffuser.train.batches import Batch
from glyffuser.train.distil import Teacher


@dataclass
class Parts:
    """What a run works with.

    The accelerator knows device, precision and processes; the batches hold glyphs and what the network is told about
    them; the network, on the device, has its initial weights. A denoising network for glyphs has an encoder, and may
    have a tower; a student has a teacher, a network that learns from pairs has a reference, and one that works on
    latents has an autoencoder. A companion, which reads no text, has none of these.
    """

    config: Config
    accelerator: Accelerator
    batches: Any  # Batches, PairBatches, Crops or Wholes: draw(first, count), a length in glyphs or pairs, a digest
    network: Any  # a ConditionedNetwork, or one of its companions
    encoder: TextEncoder | None = None
    tower: TextTower | None = None
    teacher: Teacher | None = None
    autoencoder: Autoencoder | None = None
    reference: Reference | None = None

    @property
    def device(self) -> torch.device:
        """Where network and batches are."""
        return self.accelerator.device

    @property
    def process(self) -> Process:
        """The process that a denoiser is trained for: the network's own."""
        return self.network.process

    def batch(self, first: int, part: int = 0) -> Batch:
        """This process's examples in a step: of its share, the part with number `part`, of `train.accumulate` in all.

        `first` is the place in the endless data order where the step begins: how many glyphs earlier steps have seen.
        """
        a, c = self.accelerator, self.config.train
        count = c.batch_size // (a.num_processes * c.accumulate)
        return self.batches.draw(first + (a.process_index * c.accumulate + part) * count, count)
