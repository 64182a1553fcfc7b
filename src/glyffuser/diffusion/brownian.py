"""Noise along one path: a Brownian motion that can be asked for any interval, in any order, and stays consistent.

A second-order solver needs the same noise in a step and in half of that step, and solutions with more and more steps
converge path by path only if they all see one path. Values are drawn on demand by halving intervals (Lévy's
construction), from a tree of seeds (Li et al. 2020, Scalable gradients for SDEs, section 4).
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from glyffuser.diffusion.schedules import Schedule

DEPTH = 20  # halvings; between points closer than that the path is straight
NEAREST = 2.0 ** (2 - DEPTH)  # an interval must be longer than this fraction of the path


class BrownianPath:
    """Brownian motions over the logarithm of the noise level, one for each image of a batch.

    Args:
        shape: of one image.
        low, high: the noise levels, above 0, between which the paths run.
        seeds: one per image, 0 to 2^63 - 1.
    """

    def __init__(self, shape: tuple[int, ...], low: float, high: float, seeds: list[int]):
        self.shape, self.seeds = shape, seeds
        self.start, self.length = math.log(low), math.log(high) - math.log(low)
        self._generator = torch.Generator()  # one for all nodes, seeded anew for each
        self._at = lru_cache(4 * len(seeds))(self._value)  # a step begins where the last one ended

    def __call__(self, x: Tensor, now: Tensor, then: Tensor) -> Tensor:
        """The increment from one noise level to a lower one, scaled to a standard normal like x (B, *shape).

        Raises ValueError for levels out of range or too close together.
        """
        a, b = ((math.log(float(level)) - self.start) / self.length for level in (then, now))
        if not -1e-9 < a < b - NEAREST < b < 1 + 1e-9:
            raise ValueError(f"no noise between the levels {float(then):g} and {float(now):g} on this path")
        steps = [(self._at(b, seed) - self._at(a, seed)) / math.sqrt(b - a) for seed in self.seeds]
        return torch.stack(steps).to(x)

    def _value(self, u: float, seed: int) -> Tensor:
        """The value of one image's path at u in [0, 1]; 0 at u = 0."""
        low, high, node = 0.0, 1.0, 1
        left, right = torch.zeros(self.shape), self._draw(seed, node)
        for _ in range(DEPTH):
            middle, node = (low + high) / 2, 2 * node
            value = (left + right) / 2 + math.sqrt(high - low) / 2 * self._draw(seed, node)
            if u < middle:
                high, right = middle, value
            else:
                low, left, node = middle, value, node + 1
        return left + (u - low) / (high - low) * (right - left)

    def _draw(self, seed: int, node: int) -> Tensor:
        """The standard normal numbers of one node of the tree."""
        # The multiplier of Fibonacci hashing keeps the nodes of neighbouring seeds apart.
        self._generator.manual_seed((seed + node * 0x9E3779B97F4A7C15) % 2**63)
        return torch.randn(self.shape, generator=self._generator)


def brownian_path(shape: tuple[int, ...], schedule: Schedule, drawn: Tensor) -> BrownianPath:
    """One path per image of a batch (B, C, H, W), seeded by a standard normal number each; fits any number of steps."""
    lowest, seeds = float(schedule.sigmas(schedule.T)[-2]), [int(abs(float(z)) * 1e15) for z in drawn.flatten()]
    return BrownianPath(shape[1:], lowest, schedule.sigma_max(), seeds)
