"""The Brownian path: increments are standard normal, independent, and agree with one another on every grid."""

import math

import pytest
import torch
from torch.testing import assert_close

from glyffuser.diffusion.brownian import BrownianPath
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.diffusion.schedules import karras_sigmas

SHAPE = (1, 100, 100)
X = torch.zeros(2, *SHAPE, dtype=torch.float64)


def path(seeds: tuple[int, int] = (1, 2), shape: tuple[int, ...] = SHAPE) -> BrownianPath:
    return BrownianPath(shape, 0.1, 10.0, list(seeds))


def levels(*values: float) -> list[torch.Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def test_increments_are_standard_normal_and_those_of_disjoint_intervals_independent():
    high, middle, low = levels(7.3, 0.9, 0.2)
    noise = path()
    upper, lower = noise(X, high, middle), noise(X, middle, low)
    for increment in (upper, lower):
        assert abs(float(increment.mean())) < 5 / math.sqrt(increment.numel())
        assert float(increment.std()) == pytest.approx(1, abs=5 / math.sqrt(2 * increment.numel()))
    assert abs(float(torch.corrcoef(torch.stack([upper.flatten(), lower.flatten()]))[0, 1])) < 0.04
    assert abs(float(torch.corrcoef(upper.flatten(1))[0, 1])) < 0.05  # between two images


def test_parts_of_an_interval_add_up_to_it():
    high, middle, low = levels(5.0, 2.0, 0.3)
    noise = path()
    whole = noise(X, high, low) * math.sqrt(math.log(5.0 / 0.3))
    parts = noise(X, high, middle) * math.sqrt(math.log(5.0 / 2.0)) + noise(X, middle, low) * math.sqrt(
        math.log(2.0 / 0.3)
    )
    assert_close(whole, parts, atol=1e-4, rtol=0)


def test_an_image_hangs_on_its_own_seed_alone():
    high, low = levels(10.0, 0.1)
    both, other = path()(X, high, low), path((1, 3))(X, high, low)
    assert torch.equal(both[0], other[0])
    assert not torch.equal(both[1], other[1])
    assert torch.equal(both, path()(X, high, low))


def test_solutions_with_more_steps_converge_along_one_path():
    few = X[..., :30, :30]

    def D(x, sigma, cond):  # the denoiser of standard normal data
        return x / (1 + sigma**2)

    def end(steps: int, seeds: tuple[int, int]) -> torch.Tensor:
        # The last step, to the clean image, is left out: with more steps it starts elsewhere.
        grid = karras_sigmas(steps + 1, 0.1, 10.0)[:-1]
        *_, step = SAMPLERS["dpm-sde"](D, 10 + few, grid, None, path(seeds, few.shape[1:]))
        return step.x

    exact = end(400, (1, 2))
    errors = [float((end(steps, (1, 2)) - exact).square().mean().sqrt()) for steps in (25, 50, 100)]
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]
    assert errors[2] < 0.05 * float((end(400, (3, 4)) - exact).square().mean().sqrt())


@pytest.mark.parametrize(("now", "then"), [(11.0, 1.0), (1.0, 0.05), (1.0, 1.0), (0.5, 1.0)])
def test_levels_out_of_range_or_too_near_are_refused(now, then):
    with pytest.raises(ValueError, match="on this path"):
        path()(X, *levels(now, then))
