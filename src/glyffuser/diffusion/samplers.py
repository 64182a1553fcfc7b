"""Samplers: from noise to a clean image, one short generator each.

Each takes a denoiser, noise x = sigmas[0] * eps (B, C, H, W), falling noise levels `sigmas` (N + 1,) that end in 0, the
condition, and a noise source `noise(x, now, then)` -> standard normal like x, for the step between two noise levels.
Each yields a `Step` per step; the last `Step.x` is the result. A caller may write into `Step.x` in place, and sampling
continues from there. x lives in x0 + sigma * eps coordinates throughout, so one function serves every noise schedule.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from glyffuser.base.names import ETAS
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser

Noise = Callable[[Tensor, Tensor, Tensor], Tensor]


class Step(NamedTuple):
    """State after a step: its number, from 0; the noise level reached; x (B, C, H, W); the predicted clean image."""

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
    D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise, eta: float = ETAS["ddim"].own
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


def ddpm_large(D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise) -> Iterator[Step]:
    """Ancestral sampling with the larger variance beta_t, an upper bound (Ho et al. 2020, section 3.2)."""
    for i, (now, then) in enumerate(pairs(sigmas)):
        x0 = D(x, now, cond)
        x = x0 + (then / now) ** 2 * (x - x0)
        if then > 0:
            x = x + ((now**2 - then**2) * (1 + then**2) / (1 + now**2)).sqrt() * noise(x, now, then)
        yield Step(i, then, x, x0)


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


def dpmpp_2m_sde(
    D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise, eta: float = ETAS["dpm++2m-sde"].own
) -> Iterator[Step]:
    """DPM-Solver++ 2M for the diffusion SDE, midpoint form (Lu et al. 2022, DPM-Solver++, SDE-DPM-Solver++(2M)).

    `eta` sets how quickly noise is replaced by fresh noise: dx = (1 + eta) (x - x0) / sigma dsigma + sqrt(2 eta sigma
    |dsigma|) dw. If D is exact and steps are short, every eta gives the same distribution at each level (Cao et al.
    2023, arXiv 2306.02063): 0 is dpm++2m, 1 reverses the forward process, and more forgets D's mistakes sooner.
    """
    before = None
    for i, (now, then) in enumerate(pairs(sigmas)):
        x0 = D(x, now, cond)
        h = now.log() - then.log()
        estimate = x0
        if before is not None and then > 0:
            estimate = x0 + h / (2 * before[1]) * (x0 - before[0])
        kept = (then / now) ** (1 + eta)
        x = kept * x + (1 - kept) * estimate
        if then > 0 and eta > 0:
            x = x + then * (1 - (then / now) ** (2 * eta)).sqrt() * noise(x, now, then)
        before = (x0, h)
        yield Step(i, then, x, x0)


def dpm_sde(D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise) -> Iterator[Step]:
    """Second order by another evaluation halfway (Lu et al. 2022, DPM-Solver++, section 5), with ancestral noise.

    It is second-order if a step and its half see one path (`brownian.BrownianPath`), first-order with fresh noise.
    """
    for i, (now, then) in enumerate(pairs(sigmas)):
        x0 = D(x, now, cond)
        ahead = x0
        if then > 0:
            half = (now * then).sqrt()
            ahead = D(_ancestral(x, x0, now, half, noise), half, cond)
        x = _ancestral(x, ahead, now, then, noise)
        yield Step(i, then, x, x0)


def unipc(D: Denoiser, x: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise) -> Iterator[Step]:
    """DPM-Solver++ 2M, each step corrected by the evaluation of the next (Zhao et al. 2023, UniPC-2 with B_2(h))."""
    before = None  # of the last step: predicted clean image, the one before it (and its h) or None, length h, estimate
    for i, (now, then) in enumerate(pairs(sigmas)):
        x0 = D(x, now, cond)
        if before is not None:
            x = x + _correction(x0, *before)
        h, estimate, earlier = now.log() - then.log(), x0, None
        if before is not None and then > 0:
            earlier = (before[0], before[2])
            estimate = x0 + h / (2 * before[2]) * (x0 - before[0])
        x = then / now * x - torch.expm1(-h) * estimate
        before = (x0, earlier, h, estimate)
        yield Step(i, then, x, x0)


def _correction(x0: Tensor, last: Tensor, earlier: tuple[Tensor, Tensor] | None, h: Tensor, estimate: Tensor) -> Tensor:
    """What UniC adds to a step from `last`, of length h in log sigma, once x0 at its end is known.

    Solves the conditions of Zhao et al. 2023, equation 9, for the weights of the two differences, or of the only one if
    there is no `earlier`.
    """
    b1 = torch.expm1(-h) / -h - 1
    if earlier is None:
        corrected = last + 0.5 * (x0 - last)
    else:
        before, h_before = earlier
        r = -h_before / h
        b2 = 2 * (b1 / -h - 0.5)
        b1, b2 = b1 / torch.expm1(-h), b2 / torch.expm1(-h)
        first = (b2 - b1) / (r - 1)
        corrected = last + first * (before - last) / r + (b1 - first) * (x0 - last)
    return -torch.expm1(-h) * (corrected - estimate)


def _ancestral(x: Tensor, x0: Tensor, now: Tensor, then: Tensor, noise: Noise) -> Tensor:
    """A sample of the forward process's posterior at level `then`, given x at `now` and the clean image x0."""
    x_then = x0 + (then / now) ** 2 * (x - x0)
    return x_then if then == 0 else x_then + then * (1 - (then / now) ** 2).sqrt() * noise(x, now, then)


SAMPLERS: dict[str, Callable[..., Iterator[Step]]] = {
    "ddpm": ddpm,
    "ddpm-large": ddpm_large,
    "ddim": ddim,
    "euler": euler,
    "euler-ancestral": ddpm,  # the same in these coordinates
    "heun": heun,
    "dpm++2m": dpmpp_2m,
    "dpm++2m-sde": dpmpp_2m_sde,
    "dpm-sde": dpm_sde,
    "unipc": unipc,
}
PATHWISE = ("dpm-sde",)  # want noise along one Brownian path


def pairs(sigmas: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Neighbouring noise levels, as float64 scalars: products with float32 images stay float32."""
    return zip(sigmas[:-1].double(), sigmas[1:].double(), strict=True)
