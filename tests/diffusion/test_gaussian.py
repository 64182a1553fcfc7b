"""The whole chain on Gaussian data, for which denoiser, probability flow and guidance are known in closed form."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gaussians import DIM, Gaussian, gaussian, images
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser, classifier_free, denoiser
from glyffuser.diffusion.process import PREDICTIONS, Process
from glyffuser.diffusion.samplers import SAMPLERS, Noise
from glyffuser.diffusion.schedules import SCHEDULES, Schedule, karras_sigmas

ODE = ["euler", "ddim", "heun", "dpm++2m", "unipc"]
SDE = ["ddpm", "ddpm-large", "dpm++2m-sde", "dpm-sde"]


DATA = gaussian(0)


def zeros(x: Tensor, now: Tensor, then: Tensor) -> Tensor:
    return torch.zeros_like(x)


def last(sampler: str, D: Any, x: Tensor, sigmas: Tensor, noise: Noise = zeros, **options: float) -> Tensor:
    """The result of the sampler."""
    *_, step = SAMPLERS[sampler](D, x, sigmas, None, noise, **options)
    return step.x


def slope(steps: list[int], errors: list[float]) -> float:
    """The order of a solver: the power of the number of steps by which the error falls."""
    return -float(np.polyfit(np.log(steps), np.log(errors), 1)[0])


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpm++2m", 2), ("unipc", 3)])
def test_the_order_of_a_solver_is_the_slope_of_its_error(sampler: str, order: int) -> None:
    # From sigma 10 to 0.1: a grid need not end at 0, where the last step is of first order for every sampler.
    steps, errors = [20, 40, 80, 160], []
    for n in steps:
        sigmas = karras_sigmas(n + 1, 0.1, 10.0)[:-1]
        x = 10 * images(16)
        errors.append((last(sampler, DATA.D, x, sigmas) - DATA.flow(x, sigmas[0], sigmas[-1])).abs().max().item())
    assert slope(steps, errors) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("sampler", ODE)
def test_ode_samplers_reach_the_end_of_the_probability_flow(sampler: str) -> None:
    errors = []
    for steps in (100, 400):
        sigmas = karras_sigmas(steps, 0.002, 80.0)
        x = 80 * images(16)
        errors.append((last(sampler, DATA.D, x, sigmas) - DATA.flow(x, sigmas[0], sigmas[-1])).abs().max().item())
    assert errors[1] < errors[0] / 3.5
    assert errors[1] < (0.02 if sampler in ("euler", "ddim") else 2e-3)


def moments(sampler: str, sigmas: Tensor, **options: float) -> tuple[Tensor, Tensor]:
    """Exact mean and covariance of what a sampler makes of N(0, sigma^2 I) with an exact Gaussian denoiser.

    All steps are affine in the image and the noise, so they follow from the responses to one unit of noise at a time:
    row 0 gets none, rows 1 to DIM start with one, and each later group of DIM rows gets one from one call of `noise`.
    """
    n = len(sigmas)
    x = torch.zeros(1 + DIM * 2 * n, 1, 1, DIM, dtype=torch.float64)
    units = torch.eye(DIM, dtype=torch.float64)
    x[1 : 1 + DIM, 0, 0] = sigmas[0] * units
    intervals: list[tuple[float, float]] = []

    def impulse(x: Tensor, now: Tensor, then: Tensor) -> Tensor:
        # An interval that starts where the last one did contains it: both lie on one Brownian path over log sigma.
        a, b = float(now), float(then)
        shared = 0.0
        if intervals and intervals[-1][0] == a:
            shared = math.log(a / intervals[-1][1]) / math.log(a / b)
        intervals.append((a, b))
        calls = len(intervals)
        noise = torch.zeros_like(x)
        noise[1 + DIM * (calls - 1) : 1 + DIM * calls, 0, 0] = math.sqrt(shared) * units
        noise[1 + DIM * calls : 1 + DIM * (calls + 1), 0, 0] = math.sqrt(1 - shared) * units
        return noise

    result = last(sampler, DATA.D, x, sigmas, impulse, **options).reshape(-1, DIM)
    responses = result[1:] - result[0]
    return result[0], responses.T @ responses


@pytest.mark.parametrize(
    ("sampler", "options", "order", "bound"),
    [
        ("ddpm", {}, 1, 0.025),
        ("ddpm-large", {}, 1, 0.025),
        ("ddim", {"eta": 0.5}, 1, 0.025),
        ("dpm++2m-sde", {}, 2, 5e-4),
        ("dpm++2m-sde", {"eta": 0.5}, 2, 5e-4),
        ("dpm++2m-sde", {"eta": 3.0}, 2, 1e-3),
        ("dpm-sde", {}, 2, 5e-4),
    ],
)
def test_stochastic_samplers_converge_to_mean_and_covariance_of_the_data(
    sampler: str, options: dict[str, float], order: int, bound: float
) -> None:
    steps, errors = [50, 100, 200, 400], []
    for n in steps:
        mean, covariance = moments(sampler, karras_sigmas(n, 0.002, 80.0), **options)
        assert_close(mean, DATA.mu, rtol=0, atol=4e-3)  # the start leaves out mu, 1/80 of its spread
        errors.append((covariance - DATA.S).abs().max().item())
    assert errors[-1] < bound
    assert slope(steps, errors) == pytest.approx(order, abs=0.25)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samples_have_mean_and_covariance_of_the_data(sampler: str) -> None:
    # The mean of n independent standard normals is off by 1 / sqrt(n), their variance by sqrt(2 / n); five times that
    # is allowed, plus the error of 200 steps, which the test above bounds.
    n, generator = 20_000, torch.Generator().manual_seed(0)

    def noise(x: Tensor, now: Tensor, then: Tensor) -> Tensor:
        return torch.randn(x.shape, dtype=x.dtype, generator=generator)

    sigmas = karras_sigmas(200, 0.002, 80.0)
    draws = last(sampler, DATA.D, 80 * images(n), sigmas, noise).reshape(n, DIM)
    whitened = (draws - DATA.mu) @ DATA.V / DATA.variances.sqrt()  # standard normal, if all is well
    first_order = ("ddpm", "ddpm-large", "ddim", "euler", "euler-ancestral", "dpm-sde")  # the last for lack of a path
    bias = 0.08 if sampler in first_order else 0.01
    assert_close(whitened.mean(dim=0), torch.zeros(DIM).double(), rtol=0, atol=5 / math.sqrt(n) + 0.01)
    assert_close(torch.cov(whitened.T), torch.eye(DIM).double(), rtol=0, atol=5 * math.sqrt(2 / n) + bias)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_perfect_network_is_sampled_rightly_under_every_schedule(
    name: str, prediction_type: str, dtype: torch.dtype
) -> None:
    schedule = Schedule(name, shift=3.0)

    def network(xt: Tensor, t: Tensor, cond: Condition | None) -> Tensor:
        sigma = schedule.sigma(t[0])
        x = xt.double() / schedule.alpha(sigma)
        x0 = DATA.D(x, sigma)
        return Process(schedule, prediction_type).target(x0, (x - x0) / sigma, sigma).to(dtype)

    sigmas = schedule.sigmas(300)
    x = sigmas[0] * images(8)
    result = last("dpm++2m", denoiser(network, Process(schedule, prediction_type)), x.to(dtype), sigmas)
    assert result.dtype == dtype
    assert_close(result.double(), DATA.flow(x, sigmas[0], sigmas[-1]), rtol=0, atol=5e-3)


def two_gaussians(away: Gaussian, towards: Gaussian) -> Denoiser:
    """The denoiser of `away` for a condition with token 0, of `towards` for one with token 1."""

    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        assert cond is not None
        return torch.where(cond.states.reshape(-1, 1, 1, 1) > 0, towards.D(x, sigma), away.D(x, sigma))

    return D


def token(value: float) -> Condition:
    return Condition(torch.full((1, 1, 1), value), torch.ones(1, 1).bool())


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("level", [0.1, 1.0, 10.0])
def test_guidance_of_two_gaussians_is_the_denoiser_of_the_guided_one(scale: float, level: float) -> None:
    # The guided density p_away^(1 - w) p_towards^w is a Gaussian, whose precision is the weighted sum of theirs.
    away, towards, sigma = gaussian(0), gaussian(3), torch.tensor(level, dtype=torch.float64)
    identity = torch.eye(DIM, dtype=torch.float64)
    precisions = [(1 - scale) * torch.linalg.inv(away.S + sigma**2 * identity)]
    precisions += [scale * torch.linalg.inv(towards.S + sigma**2 * identity)]
    P = sum(precisions)
    m = torch.linalg.solve(P, precisions[0] @ away.mu + precisions[1] @ towards.mu)
    x = images(1)
    wanted = x - sigma**2 * ((x.reshape(DIM) - m) @ P).reshape(x.shape)  # x + sigma^2 score
    guided = classifier_free(two_gaussians(away, towards), scale, token(0))
    assert_close(guided(x, sigma, token(1)), wanted)


def test_guided_sampling_moves_the_mean_beyond_the_condition() -> None:
    # For two Gaussians that differ only in their means, the guided one is a shifted copy at every noise level.
    towards = DATA._replace(mu=DATA.mu + torch.tensor([0.5, -0.2, 1.0]))
    guided = DATA._replace(mu=DATA.mu + 3 * (towards.mu - DATA.mu))
    D = classifier_free(two_gaussians(DATA, towards), 3.0, token(0))
    sigmas = karras_sigmas(100, 0.002, 80.0)
    x = 80 * images(1)
    *_, step = SAMPLERS["dpm++2m"](D, x, sigmas, token(1), zeros)
    assert_close(step.x, guided.flow(x, sigmas[0], sigmas[-1]), rtol=0, atol=5e-3)
