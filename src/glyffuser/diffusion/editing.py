"""Editing: start from a picture, hold a part of it, follow several prompts at once.

Everything here acts on noise levels and denoisers, so it works with every sampler, and none needs to know of it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser
from glyffuser.diffusion.samplers import Noise, Step

Sampler = Callable[..., Iterator[Step]]


@dataclass(frozen=True, eq=False)
class Edit:
    """How a given picture enters a new one.

    image: (1 or B, C, H, W) in [-1, 1]. strength: above 0, at most 1: the share of the steps that are taken, starting
    from the noised image; 1 = all of them, starting from noise. kept: bool (1 or B, 1, H, W), where the image is held
    as it is, or None. times, length: with `kept`, every `length` steps are taken `times` times; see `resampled`.
    """

    image: Tensor
    strength: float = 1.0
    kept: Tensor | None = None
    times: int = 1
    length: int = 1

    def taken(self, steps: int) -> int:
        """How many steps this edit takes where plain sampling takes `steps`."""
        return steps_of(self.strength, steps) * (1 if self.kept is None else self.times)

    def draw(
        self, sampler: Sampler, D: Denoiser, eps: Tensor, sigmas: Tensor, cond: Condition | None, noise: Noise
    ) -> Iterator[Step]:
        """Sample with the edit, from standard normal noise eps (B, C, H, W); the other arguments as for samplers."""
        image, sigmas = self.image.to(eps), shortened(sigmas, self.strength)
        x = noised_start(image, eps, sigmas, self.strength)
        if self.kept is None:
            return sampler(D, x, sigmas, cond, noise)
        D = holding(D, image, self.kept.to(eps.device))
        if self.times == 1:
            return sampler(D, x, sigmas, cond, noise)
        return resampled(sampler, D, x, sigmas, cond, noise, self.times, self.length)


def steps_of(strength: float, steps: int) -> int:
    """How many of `steps` a strength in (0, 1] leaves: its share of them, rounded down, but at least one."""
    return max(1, math.floor(strength * steps + 1e-9))


def shortened(sigmas: Tensor, strength: float) -> Tensor:
    """The end of a grid of noise levels (N + 1,), for a strength in (0, 1]: float64 (M + 1,), with M from `steps_of`.

    The first level lies strength * N steps before the end of the grid, and the others are evenly spaced from there to
    the end; between two levels of the grid, flow time sigma / (1 + sigma) is linear. So every strength starts from a
    level of its own, which falls to 0 with the strength, and a strength of 1 gives the grid itself. As no step is
    shorter than one of the grid's, the lowest level above 0 is at least the grid's.
    """
    if strength == 1:
        return sigmas
    N = len(sigmas) - 1
    places = N - strength * N * torch.linspace(1, 0, steps_of(strength, N) + 1, dtype=torch.float64)
    before = places.floor().long().clamp(0, N - 1)
    u = sigmas.double() / (1 + sigmas.double())
    u = torch.lerp(u[before], u[before + 1], places - before)
    return u / (1 - u)


def noised_start(x0: Tensor, eps: Tensor, sigmas: Tensor, strength: float) -> Tensor:
    """Where sampling starts for a picture x0 and noise eps (B, C, H, W): x0 + sigma eps (Meng et al. 2022, SDEdit,
    section 3); with a strength of 1, the noise alone, whatever the picture.
    """
    return sigmas[0] * eps if strength == 1 else (x0 + sigmas[0] * eps).to(eps)


def holding(D: Denoiser, x0: Tensor, kept: Tensor) -> Denoiser:
    """A denoiser that knows the clean image where it is kept: x0 (B, C, H, W) there, D elsewhere.

    The kept part then moves along its own noise towards x0, and ends as x0 with any sampler, since the last step of
    each returns the prediction. kept: bool (B, 1, H, W). In effect, the known part of the noised image is replaced at
    each level by one with the right noise (Lugmayr et al. 2022, RePaint, equation 8).
    """

    def held(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        return torch.where(kept, x0.to(x), D(x, sigma, cond))

    return held


def resampled(
    sampler: Sampler,
    D: Denoiser,
    x: Tensor,
    sigmas: Tensor,
    cond: Condition | None,
    noise: Noise,
    times: int,
    length: int,
) -> Iterator[Step]:
    """Take each stretch of `length` steps `times` times, adding its noise again in between (RePaint, algorithm 1).

    This fits the invented part to the held one, which was still noise when the invention was decided. Steps are
    numbered consecutively. The same interval is asked for noise more than once, so `noise` must draw it afresh each
    time, not along one path.
    """
    done = 0
    for first in range(0, len(sigmas) - 1, length):
        stretch = sigmas[first : first + length + 1]
        for time in range(times):
            if time:
                x = x + (stretch[0] ** 2 - stretch[-1] ** 2).sqrt() * noise(x, stretch[0], stretch[-1])
            for step in sampler(D, x, stretch, cond, noise):
                yield step._replace(i=done)
                x, done = step.x, done + 1


def composed(
    D: Denoiser,
    weights: Tensor,
    scale: float,
    negative: Condition,
    interval: tuple[float, float] = (0.0, math.inf),
) -> Denoiser:
    """Follow several weighted conditions at once (Liu et al. 2022, Compositional visual generation, equation 11).

    The denoiser takes a condition of K * B rows for B images: all those of the first prompt, then of the second, and so
    on. It returns D(neg) + scale * sum of w_k * (D(cond_k) - D(neg)), with a scale of 1 at noise levels outside
    `interval`. weights: (K, B). One prompt of weight 1 gives classifier-free guidance.
    """

    def guided(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        if cond is None:
            return D(x, sigma, None)
        K, B = weights.shape
        w = weights.to(x).reshape(K, B, *[1] * (x.ndim - 1))
        strength = scale if interval[0] <= float(sigma) <= interval[1] else 1.0
        everything = negative.repeat(B).cat(cond)
        away, *towards = D(torch.cat([x] * (K + 1)), sigma, everything).chunk(K + 1)
        return away + strength * (w * (torch.stack(towards) - away)).sum(dim=0)

    return guided


def between(one: Noise, other: Noise, share: Sequence[float]) -> Noise:
    """Noise part of the way from one source to another; each image of a batch has its own share of the way, 0 to 1.

    Spherical: the weights are cos and sin of an angle, so that the sum of two independent standard normals is standard
    normal too. Both ends are exact.
    """
    angle = torch.tensor(share, dtype=torch.float64) * math.pi / 2
    a = torch.where(torch.tensor(share) == 1, 0.0, angle.cos())

    def noise(x: Tensor, *interval: Tensor) -> Tensor:
        shape = (-1, *[1] * (x.ndim - 1))
        near, far = (part.to(x).reshape(shape) for part in (a, angle.sin()))
        return near * one(x, *interval) + far * other(x, *interval)

    return noise
