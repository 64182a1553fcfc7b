"""From a network to a denoiser, and from a denoiser to a guided one.

A denoiser is any function D(x, sigma, cond) -> predicted clean image, where x = x0 + sigma * eps (B, C, H, W), sigma is
a scalar tensor, and cond is whatever the denoiser understands (here a `Condition`). Samplers know nothing else.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from glyffuser.diffusion.process import to_x0
from glyffuser.diffusion.schedules import Schedule

Denoiser = Callable[[Tensor, Tensor, "Condition | None"], Tensor]


class Condition(NamedTuple):
    """Token states (B, L, D), their mask (B, L), True where a token is real, and class labels (B,) or None."""

    states: Tensor
    mask: Tensor
    labels: Tensor | None = None


def denoiser(network: Callable[..., Tensor], prediction_type: str, schedule: Schedule) -> Denoiser:
    """Wrap network(xt, timestep, states, mask[, labels]) -> prediction, trained under `schedule`, as a denoiser."""

    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        levels = sigma.expand(x.shape[0])
        xt = (schedule.alpha(sigma.double()) * x).to(x.dtype)  # the scale the network was trained at
        given = (None, None) if cond is None else cond[: 2 if cond.labels is None else 3]
        prediction = network(xt, schedule.timestep(levels).to(x.device, torch.float32), *given)
        return to_x0(prediction.to(x.dtype), prediction_type, xt, levels, schedule)

    return D


def classifier_free(
    D: Denoiser, scale: float, negative: Condition, interval: tuple[float, float] = (0.0, float("inf"))
) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022, equation 6): D(neg) + scale * (D(cond) - D(neg)); 1 = off.

    The paper's weight w is scale - 1. `negative` is the condition steered away from: the empty prompt, or a negative
    prompt. Guidance acts only at noise levels inside `interval` (Kynkaanniemi et al. 2024); elsewhere the conditional
    denoiser runs alone, at half the cost.
    """

    def guided(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        if cond is None or scale == 1 or not interval[0] <= float(sigma) <= interval[1]:
            return D(x, sigma, cond)
        both = D(torch.cat([x, x]), sigma, join(negative, cond))
        away, towards = both.chunk(2)
        return away + scale * (towards - away)

    return guided


def autoguided(D: Denoiser, worse: Denoiser, scale: float) -> Denoiser:
    """Guidance by a worse version of the same model (Karras et al. 2024, equation 3): worse + scale * (D - worse).

    Both get the same condition, so only what training improves is strengthened, not the prompt. 1 = off.
    """

    def guided(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        poor = worse(x, sigma, cond)
        return poor + scale * (D(x, sigma, cond) - poor)

    return guided


def join(first: Condition, second: Condition) -> Condition:
    """Two conditions as one batch; the shorter is padded with masked zeros, one row is repeated for the whole batch."""
    batch = max(first.states.shape[0], second.states.shape[0])
    length = max(first.states.shape[1], second.states.shape[1])
    parts = [pad(repeat(c, batch), length) for c in (first, second)]
    labels = [c.labels for c in parts if c.labels is not None]
    joined = torch.cat(labels) if len(labels) == 2 else None
    return Condition(torch.cat([c.states for c in parts]), torch.cat([c.mask for c in parts]), joined)


def repeat(cond: Condition, batch: int) -> Condition:
    """One row for a whole batch; a batch as it is."""
    labels = None if cond.labels is None else cond.labels.expand(batch)
    return Condition(cond.states.expand(batch, -1, -1), cond.mask.expand(batch, -1), labels)


def pad(cond: Condition, length: int) -> Condition:
    """Append masked zero tokens up to `length`."""
    missing = length - cond.states.shape[1]
    states = torch.nn.functional.pad(cond.states, (0, 0, 0, missing))
    return Condition(states, torch.nn.functional.pad(cond.mask, (0, missing)), cond.labels)
