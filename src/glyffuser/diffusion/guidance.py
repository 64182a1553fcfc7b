"""From a network to a denoiser, and from a denoiser to a guided one.

A denoiser is any function D(x, sigma, cond) -> predicted clean image, where x = x0 + sigma * eps (B, C, H, W), sigma is
a scalar tensor, and cond is whatever the denoiser understands (here a `Condition`). Samplers know nothing else.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process

Denoiser = Callable[[Tensor, Tensor, Condition | None], Tensor]


def denoiser(network: Callable[[Tensor, Tensor, Condition | None], Tensor], process: Process) -> Denoiser:
    """Wrap network(xt, timesteps (B,), cond) -> prediction, trained under `process`, as a denoiser."""
    schedule = process.schedule

    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        levels = sigma.expand(x.shape[0])
        xt = (schedule.alpha(sigma.double()) * x).to(x.dtype)  # the scale the network was trained at
        prediction = network(xt, schedule.timestep(levels).to(x.device, torch.float32), cond)
        return process.to_x0(prediction.to(x.dtype), xt, levels)

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
        both = D(torch.cat([x, x]), sigma, negative.repeat(len(cond)).cat(cond))
        away, towards = both.chunk(2)
        return away + scale * (towards - away)

    return guided


def autoguided(D: Denoiser, worse: Denoiser, scale: float) -> Denoiser:
    """Guidance by a worse version of the same model (Karras et al. 2024, equation 3): worse + scale * (D - worse).

    Both get the same condition, so this strengthens what training improves, not the prompt. 1 = off.
    """

    def guided(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        poor = worse(x, sigma, cond)
        return poor + scale * (D(x, sigma, cond) - poor)

    return guided
