"""Alignment: a model learns from pairs of its own glyphs, one of which was preferred (Diffusion-DPO).

Wallace et al. 2024, Diffusion model alignment using direct preference optimization, equation 14: with both glyphs of a
pair noised alike, the network learns to denoise the preferred one better, and the other one worse, than a frozen copy
of what it began as. So no reward network is needed, and the copy keeps the network from straying.
"""

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.base.noise import chances, normal
from glyffuser.base.pictures import from_grey
from glyffuser.base.weights import weights_hash
from glyffuser.config import Config
from glyffuser.data.order import GlyphOrder
from glyffuser.data.pairs import Pair
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process, noised
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Usual
from glyffuser.generate.schedulers import GlyffuserScheduler
from glyffuser.networks.conditioned import ConditionedNetwork, arguments
from glyffuser.train.batches import Batch

HELD_OUT = 10  # every tenth pair is not learnt from, to show how far what is learnt carries over
EXAMINED = 32  # most held-out pairs that a preview looks at
LEVELS = 8  # timesteps at which it looks at them
ENCODED = 64  # meanings encoded at a time

Network = Callable[..., Any]  # a ConditionedNetwork, perhaps wrapped for a device or compiled


class Preference(NamedTuple):
    """A network's errors in denoising B pairs (2, B), the preferred glyphs first, and those of the reference."""

    errors: Tensor
    reference: Tensor

    @property
    def margin(self) -> Tensor:
        """By how much the network prefers what was preferred (B,), in errors; 0 if it is the reference."""
        lead = self.reference - self.errors
        return lead[0] - lead[1]

    def loss(self, beta: float) -> Tensor:
        """Equation 14 (B,): log 2 if the network is the reference; `beta` stands for its beta T omega(lambda_t)."""
        return -F.logsigmoid(beta * self.margin)

    @property
    def drift(self) -> Tensor:
        """The error on preferred glyphs, as a multiple of the reference's: it may rise even while the margin grows."""
        return self.errors[0].sum() / self.reference[0].sum()


def preference(network: Network, reference: Network, process: Process, batch: Batch, weighting: str) -> Preference:
    """Denoise the glyphs of a batch, the preferred ones first and then the others, with the network and the reference.

    The errors are those of training: squared, averaged over the pixels, weighted by noise level.
    """
    sigma = process.schedule.sigma(batch.t)
    xt, told = noised(batch.x0, batch.eps, sigma, process.schedule), arguments(batch.cond)

    def errors(denoise: Network) -> Tensor:
        prediction = denoise(xt, batch.t.to(xt), **told, return_dict=False)[0]
        return process.loss(prediction, batch.x0, batch.eps, sigma, weighting).reshape(2, -1)

    with torch.no_grad():
        held = errors(reference)
    return Preference(errors(network), held)


@dataclass
class Reference:
    """The frozen network that the run began as, and its usual way of sampling, in the names of GlyffuserScheduler."""

    network: ConditionedNetwork
    usual: dict[str, Any] = field(default_factory=dict)


class PairBatches:
    """Draws any stretch of the endless order of pairs to learn from; the two glyphs of a pair share noise and timestep.

    Args:
        pairs: labelled ones. Those in which neither glyph is any good are left out: they compare nothing.
        cond: what the network is told about the remaining pairs, one row each.
    """

    def __init__(self, config: Config, pairs: Sequence[Pair], cond: Condition, process: Process, device: torch.device):
        self.config, self.process, self.device = config, process, device
        used = usable(pairs)
        pictures = np.stack([pair.preferred() for pair in used])  # uint8 (N, 2, H, W)
        self.images, self.cond = torch.from_numpy(pictures).to(device), cond
        out = np.arange(len(used)) % HELD_OUT == HELD_OUT - 1
        self.learnt, self.held_out = np.flatnonzero(~out), np.flatnonzero(out)
        self.order = GlyphOrder(np.zeros(len(self.learnt)), 0.0, config.train.seed)
        self.digest = config.align.digest

    def __len__(self) -> int:
        return len(self.learnt)

    def draw(self, first: int, count: int) -> Batch:
        """The B = `count` pairs of the order from place `first` on: 2 B glyphs, the preferred ones first."""
        rows = self.learnt[self.order(np.arange(first, first + count))]
        noise, level, _, _ = chances(self.config.train.seed, 0, first, count).T
        return self.batch(
            rows, self.process.schedule.timesteps_at(torch.from_numpy(level), self.config.diffusion.timesteps), noise
        )

    def batch(self, rows: np.ndarray, t: Tensor, noise: np.ndarray) -> Batch:
        """The pairs with the numbers `rows` (B,), at timesteps t (B,), each with the noise of its number in [0, 1)."""
        which = torch.from_numpy(rows).to(self.device)
        x0 = from_grey(self.images[which].transpose(0, 1).flatten(0, 1))
        eps = normal(x0.shape[1:], noise, self.device)
        return Batch(x0, torch.cat([eps, eps]), torch.cat([t, t]), self.cond[torch.cat([which, which])])

    def examine(self, network: Network, reference: Network) -> dict[str, float]:
        """How a network does on held-out pairs, with the same noise every time: `won`, the share of them that have a
        positive margin, and `drift`; an empty dictionary if there are none.
        """
        rows = self.held_out[:EXAMINED]
        if not len(rows):
            return {}
        T, weighting = self.process.schedule.T, self.config.diffusion.weighting
        found = []
        with torch.no_grad():
            for level in range(LEVELS):
                noise = chances(level, 0, 0, len(rows))[:, 0]
                t = torch.full((len(rows),), (level + 0.5) / LEVELS * (T - 1), dtype=torch.float64)
                batch = self.batch(rows, t, noise)
                found.append(preference(network, reference, self.process, batch, weighting))
        whole = Preference(*(torch.stack(part).sum(dim=0) for part in zip(*found, strict=True)))
        return {"won": float((whole.margin > 0).double().mean()), "drift": float(whole.drift)}


def usable(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs in which one glyph was preferred."""
    return [pair for pair in pairs if pair.choice != "bad"]


def digest_of(pairs: Sequence[Pair]) -> str:
    """The first 16 hex digits of a SHA-256 over what is learnt from pairs."""
    digest = hashlib.sha256()
    for pair in usable(pairs):
        digest.update(f"{pair.prompt}\n{pair.choice}\n".encode() + pair.left + pair.right)
    return digest.hexdigest()[:16]


def check_pairs(pairs: Sequence[Pair], pipe: GlyffuserPipeline, config: Config) -> None:
    """UserError unless the model can learn from these pairs, and they are the ones that the run began with."""
    a, used = config.align, usable(pairs)
    if pipe.vae is not None:
        raise UserError("a latent model cannot be aligned yet; take one that works on pixels")
    if len(used) < config.train.batch_size:
        raise UserError(
            f"{a.pairs} has {len(used)} pairs with a preferred glyph, less than one batch; label more"
            + (f", or --set train.batch_size={len(used)}" if used else "")
        )
    for pair in used:
        if wrong := [side for side in pair.preferred().shape[1:] if side != pipe.size]:
            raise UserError(
                f"the glyphs of pair {pair.pair} in {a.pairs} have {wrong[0]} pixels, those of {a.reference} have "
                f"{pipe.size}; leave that pair out"
            )
    if a.digest and a.digest != digest_of(pairs):
        raise UserError(f"{a.pairs} has changed since this run began; choose another --out to learn from it as it is")


def warn_of_others(pairs: Sequence[Pair], pipe: GlyffuserPipeline) -> None:
    """Warn if another model drew some of the pairs: they can be learnt from, but show what that model draws."""
    own = weights_hash(pipe.unet)
    if others := sorted({pair.model for pair in pairs} - {own}):
        warnings.warn(f"some pairs were drawn by another model ({others[0]}), not by this one ({own})", stacklevel=2)


def build_reference(pipe: GlyffuserPipeline) -> Reference:
    """Make a reference from a pipeline."""
    own = isinstance(pipe.scheduler, GlyffuserScheduler)
    usual = {name: pipe.scheduler.config[name] for name in Usual._fields} if own else {}
    return Reference(pipe.unet.eval().requires_grad_(False), usual)


def conditions(pipe: GlyffuserPipeline, pairs: Sequence[Pair]) -> Condition:
    """What the network is told about pairs, one row each."""
    prompts = [pair.prompt for pair in pairs]
    told = pipe.condition(prompts[:ENCODED])
    for first in range(ENCODED, len(prompts), ENCODED):
        told = told.cat(pipe.condition(prompts[first : first + ENCODED]))
    return told
