"""Samplers: from noise to a clean image, one short generator each.

Each takes a denoiser, noise x = sigmas[0] * eps (B, C, H, W), falling noise levels `sigmas` (N + 1,) that end in 0, the
condition, and a noise source `noise(x, now, then)` -> standard normal like x, for the step between two noise levels.
Each yields a `Step` per step; the last `Step.x` is the result. Sampling continues from what is written into `Step.x` in
place. x lives in x0 + sigma * eps coordinates throughout, so one function serves every noise schedule.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser

Noise = Callable[[Tensor, Tensor, Tensor], Tensor]


class Step(NamedTuple):
    """State after a step: its number from 0, the noise level now, x (B, C, H, W), and the predicted clean image."""

    i: int
    sigma: Tensor
    x: Tensor
    x0: Tensor


def euler(D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise) -> Iterator[Step]:
    """Euler steps along the probability-flow ODE (Karras et al. 2022, algorithm 1 without the correction)."""
    for i, (now, then) in enumerate(pairs(sigmas)):
        x0 = D(x, now, cond)
        x = x + (x - x0) / now * (then - now)
        yield Step(i, then, x, x0)


def heun(D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise) -> Iterator[Step]:
    """Second order: Euler, then the mean of both slopes (Karras et al. 2022, algorithm 1)."""
    for i, (now, then) in enumerate(pairs(sigmas)):
        x0 = D(x, now, cond)
        slope = (x - x0) / now
        guess = x + slope * (then - now)
        if then > 0:
            slope = (slope + (guess - D(guess, then, cond)) / then) / 2
            guess = x + slope * (then - now)
        x = guess
        yield Step(i, then, x, x0)


def ddim(
    D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise, eta: float = 0.0
) -> Iterator[Step]:
    """Deterministic for eta = 0, the DDPM posterior for eta = 1 (Song et al. 2021, DDIM, equations 12 and 16)."""
    for i, (now, then) in enumerate(pairs(sigmas)):
        x0 = D(x, now, cond)
        up = eta * then * (1 - (then / now) ** 2).clamp(min=0).sqrt()
        down = (then**2 - up**2).clamp(min=0).sqrt()
        x = x0 + down * (x - x0) / now
        if up > 0:
            x = x + up * noise(x, now, then)
        yield Step(i, then, x, x0)


def ddpm(D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise) -> Iterator[Step]:
    """Ancestral sampling from q(x(t-1) given xt, x0) (Ho et al. 2020, algorithm 2 and equation 7)."""
    yield from ddim(D, x, sigmas, cond, noise, eta=1.0)


def dpmpp_2m(D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise) -> Iterator[Step]:
    """Two-step exponential integrator, one evaluation per step (Lu et al. 2022, DPM-Solver++, algorithm 2)."""
    before = None  # (predicted clean image, step in log sigma) of the last step
    for i, (now, then) in enumerate(pairs(sigmas)):
        x0 = D(x, now, cond)
        h = now.log() - then.log()  # infinite in the last step, where the exponential below is 0
        estimate = x0
        if before is not None and then > 0:
            estimate = x0 + h / (2 * before[1]) * (x0 - before[0])
        x = then / now * x - torch.expm1(-h) * estimate
        before = (x0, h)
        yield Step(i, then, x, x0)


def dpmpp_2m_sde(D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise) -> Iterator[Step]:
    """DPM-Solver++ 2M for the diffusion SDE, midpoint form (Lu et al. 2022, DPM-Solver++, SDE-DPM-Solver++(2M))."""
    before = None
    for i, (now, then) in enumerate(pairs(sigmas)):
        x0 = D(x, now, cond)
        h = now.log() - then.log()
        estimate = x0
        if before is not None and then > 0:
            estimate = x0 + h / (2 * before[1]) * (x0 - before[0])
        x = then / now * (-h).exp() * x - torch.expm1(-2 * h) * estimate
        if then > 0:
            x = x + then * (-torch.expm1(-2 * h)).sqrt() * noise(x, now, then)
        before = (x0, h)
        yield Step(i, then, x, x0)


SAMPLERS: dict[str, Callable[..., Iterator[Step]]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "euler": euler,
    "heun": heun,
    "dpm++2m": dpmpp_2m,
    "dpm++2m-sde": dpmpp_2m_sde,
}


def pairs(sigmas: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Neighbouring noise levels, float64 scalars: products with float32 images stay float32."""
    return zip(sigmas[:-1].double(), sigmas[1:].double(), strict=True)
