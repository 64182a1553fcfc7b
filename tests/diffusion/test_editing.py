"""Editing of Gaussian data, for which the right outcome from a noised picture is known in closed form."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from gaussians import DIM, gaussian, images
from glyffuser.base.noise import seeded
from glyffuser.diffusion.brownian import BrownianPath
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.editing import Edit, between, composed, holding, shortened, steps_of
from glyffuser.diffusion.guidance import classifier_free
from glyffuser.diffusion.samplers import PATHWISE, SAMPLERS, Step
from glyffuser.diffusion.schedules import SCHEDULES, SPACINGS, Schedule, karras_sigmas

DATA = gaussian(0)
ODE = ["euler", "ddim", "heun", "dpm++2m", "unipc"]
SDE = ["ddpm", "ddpm-large", "euler-ancestral", "dpm++2m-sde", "dpm-sde"]
PICTURE = torch.tensor([0.8, -0.5, 0.3], dtype=torch.float64).reshape(1, 1, 1, DIM)


def noise(seed: int = 5) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return lambda x, now, then: torch.randn(x.shape, dtype=x.dtype, generator=generator)


def zeros(x: Tensor, now: Tensor, then: Tensor) -> Tensor:
    return torch.zeros_like(x)


def drawn(sampler: str, edit: Edit, eps: Tensor, sigmas: Tensor, source: Any = None) -> Tensor:
    *_, step = edit.draw(SAMPLERS[sampler], DATA.D, eps, sigmas, None, source or noise())
    return step.x


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("spacing", SPACINGS)
@settings(deadline=None, derandomize=True, max_examples=25)
@given(strength=st.floats(1e-6, 1), steps=st.integers(1, 60))
def test_a_shorter_grid_is_the_end_of_the_whole_one(name: str, spacing: str, strength: float, steps: int) -> None:
    grid = Schedule(name, shift=3.0).sigmas(steps, spacing=spacing)
    short = shortened(grid, strength)
    assert len(short) == steps_of(strength, steps) + 1 == max(1, math.floor(strength * steps + 1e-9)) + 1
    assert short[-1] == 0
    assert (short[1:] < short[:-1]).all()
    assert short[0] <= grid[0] * (1 + 1e-9)
    if len(short) > 2:
        assert short[-2] >= grid[-2] * (1 - 1e-9)  # where a noise path ends


@pytest.mark.parametrize("steps", [5, 8, 41])
def test_where_a_strength_names_a_step_the_levels_are_those_of_the_grid(steps: int) -> None:
    grid = Schedule("flow", shift=3.0).sigmas(steps)
    for taken in range(1, steps + 1):
        assert_close(shortened(grid, taken / steps), grid[steps - taken :], rtol=1e-9, atol=0)
    assert shortened(grid, 1.0) is grid


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7, 12])
def test_full_strength_is_drawing_from_noise_whatever_the_picture(sampler: str, steps: int) -> None:
    sigmas, eps = karras_sigmas(steps, 0.02, 80.0), images(4)
    *_, plain = SAMPLERS[sampler](DATA.D, sigmas[0] * eps, sigmas, None, noise())
    assert torch.equal(drawn(sampler, Edit(PICTURE, 1.0), eps, sigmas), plain.x)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 20, 21])
def test_a_tiny_strength_returns_the_picture(sampler: str, steps: int) -> None:
    result = drawn(sampler, Edit(PICTURE, 1e-6), images(4), Schedule("flow", shift=3.0).sigmas(steps))
    assert_close(result, PICTURE.expand_as(result), rtol=0, atol=1e-3)


@pytest.mark.parametrize("sampler", ODE)
@pytest.mark.parametrize("strength", [0.31, 0.6, 0.9])
@pytest.mark.parametrize("steps", [300, 301])  # an odd number must not trouble second-order solvers
def test_from_a_picture_an_ode_sampler_goes_to_the_end_of_the_flow(sampler: str, strength: float, steps: int) -> None:
    sigmas, eps = karras_sigmas(steps, 0.002, 80.0), images(16)
    first = shortened(sigmas, strength)[0]
    wanted = DATA.flow(PICTURE + first * eps, first, torch.zeros(()).double())
    assert_close(
        drawn(sampler, Edit(PICTURE, strength), eps, sigmas),
        wanted,
        rtol=0,
        atol=0.03 if sampler in ("euler", "ddim") else 2e-3,
    )


def posterior(x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance of the clean data, given their noised image x (DIM,) at level sigma."""
    gain = torch.linalg.solve(DATA.S + sigma**2 * torch.eye(DIM, dtype=torch.float64), DATA.S)
    return DATA.D(x.reshape(1, 1, 1, DIM), sigma).reshape(DIM), DATA.S - DATA.S @ gain


@pytest.mark.parametrize("sampler", SDE)
@pytest.mark.parametrize("strength", [0.31, 0.6, 0.9])
@pytest.mark.parametrize("steps", [120, 121])
def test_from_a_picture_an_sde_sampler_draws_from_the_posterior(sampler: str, strength: float, steps: int) -> None:
    # The reverse process, started at a noised image x, draws from q(x0 given x): here all start at the same x.
    n = 10_000
    sigmas = karras_sigmas(steps, 0.002, 80.0)
    first = shortened(sigmas, strength)[0]
    eps = images(1).expand(n, -1, -1, -1)
    mean, covariance = posterior((PICTURE + first * eps[:1]).reshape(DIM), first)
    result = drawn(sampler, Edit(PICTURE, strength), eps, sigmas).reshape(n, DIM)
    spread = covariance.diagonal().max().sqrt()
    assert_close(result.mean(dim=0), mean, rtol=0, atol=float(5 * spread / math.sqrt(n) + 0.02 * spread))
    bias = 0.05 if sampler == "dpm++2m-sde" else 0.2  # first order; dpm-sde only for lack of a path
    assert_close(torch.cov(result.T), covariance, rtol=0, atol=float(spread**2 * (5 * math.sqrt(2 / n) + bias)))


@pytest.mark.parametrize("strength", [0.37, 0.8])
def test_along_one_path_from_a_picture_more_steps_come_nearer(strength: float) -> None:
    # Odd numbers of steps on one Brownian path: a solver that left the path, or its grid, would not settle. Without a
    # shift, a strength names the same level on every grid, so all start at the same point.
    eps, schedule, results = images(8), Schedule("flow"), {}
    for steps in (15, 45, 135, 405):
        path = BrownianPath((1, 1, DIM), 0.001, schedule.sigma_max(), [*range(8)])
        results[steps] = drawn("dpm-sde", Edit(PICTURE, strength), eps, schedule.sigmas(steps), path)
    errors = [float((results[n] - results[405]).square().mean().sqrt()) for n in (15, 45, 135)]
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]
    assert errors[2] < 0.1 * results[405].std()


@pytest.mark.parametrize("sampler", PATHWISE)
@pytest.mark.parametrize("steps", [1, 3, 7, 999, 1000])
def test_a_noise_path_covers_every_strength(sampler: str, steps: int) -> None:
    schedule = Schedule("flow", shift=3.0)
    lowest = float(schedule.sigmas(schedule.T)[-2])
    for strength in (1e-4, 0.05, 0.333, 0.5, 0.77, 0.999, 1.0):
        path = BrownianPath((1, 1, DIM), lowest, schedule.sigma_max(), [1, 2])
        eps = images(2)
        if steps > 500 and strength > 0.4:
            continue  # no different, and slow
        assert drawn(sampler, Edit(PICTURE, strength), eps, schedule.sigmas(steps), path).isfinite().all()


KEPT = torch.tensor([True, True, False]).reshape(1, 1, 1, DIM)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("times", "length"), [(1, 1), (2, 3), (3, 1)])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_what_is_kept_is_the_picture_by_every_sampler(sampler: str, times: int, length: int, strength: float) -> None:
    edit = Edit(PICTURE, strength, KEPT, times, length)
    sigmas, eps = karras_sigmas(11, 0.02, 80.0), images(4)
    steps = list(edit.draw(SAMPLERS[sampler], DATA.D, eps, sigmas, None, noise()))
    assert len(steps) == edit.taken(11)
    assert [step.i for step in steps] == [*range(len(steps))]
    assert_close(steps[-1].x[..., :2], PICTURE[..., :2].expand(4, -1, -1, -1), rtol=0, atol=1e-9)
    assert steps[-1].x[..., 2].std() > 0.01  # what is not kept differs


def conditional() -> tuple[Tensor, Tensor]:
    """Mean and variance of the last pixel of the data, given the others."""
    centred = (PICTURE.reshape(DIM) - DATA.mu)[:2]
    gain = torch.linalg.solve(DATA.S[:2, :2], DATA.S[:2, 2])
    return DATA.mu[2] + gain @ centred, DATA.S[2, 2] - gain @ DATA.S[:2, 2]


@pytest.mark.parametrize("sampler", ["ddpm", "dpm++2m-sde", "heun"])
def test_resampling_brings_what_is_invented_nearer_to_what_fits(sampler: str) -> None:
    mean, variance = conditional()
    errors = []
    for times in (1, 4, 16):
        edit = Edit(PICTURE, 1.0, KEPT, times, 2)
        pixel = drawn(sampler, edit, images(2000), karras_sigmas(40, 0.01, 80.0))[..., 2]
        errors.append(float(abs(pixel.mean() - mean) + abs(pixel.std() - variance.sqrt())))
    assert errors[1] < 0.75 * errors[0]
    assert errors[2] < 0.5 * errors[0]


def test_a_denoiser_that_holds_a_part_knows_it_and_no_more() -> None:
    x, sigma = images(3), torch.tensor(2.0).double()
    held = holding(DATA.D, PICTURE, KEPT)(x, sigma, None)
    assert torch.equal(held[..., :2], PICTURE[..., :2].expand(3, -1, -1, -1))
    assert torch.equal(held[..., 2], DATA.D(x, sigma)[..., 2])


def token(value: float, batch: int = 1) -> Condition:
    return Condition(torch.full((batch, 1, 1), value), torch.ones(batch, 1).bool())


MEANS = {0.0: torch.zeros(DIM), 1.0: torch.tensor([0.5, -0.2, 1.0]), 2.0: torch.tensor([-1.0, 0.4, 0.2])}


def shifted(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
    """The denoiser of DATA, moved by the mean that each row's token names."""
    assert cond is not None
    mean = torch.stack([MEANS[float(value)] for value in cond.states.flatten()]).double().reshape(-1, 1, 1, DIM)
    return DATA.D(x - mean, sigma) + mean


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_a_mixture_of_gaussians_that_differ_in_their_means_has_the_mean_of_the_weights(scale: float) -> None:
    # The composed density p_neg^(1 - s) (p_1^0.75 p_2^0.25)^s is a shifted copy at every noise level.
    D = composed(shifted, torch.tensor([[0.75], [0.25]]), scale, token(0.0))
    both = token(1.0).cat(token(2.0))
    mixture = DATA._replace(mu=DATA.mu + scale * (0.75 * MEANS[1.0] + 0.25 * MEANS[2.0]))
    sigmas, x = karras_sigmas(100, 0.002, 80.0), 80 * images(1)
    step: Step
    for step in SAMPLERS["dpm++2m"](D, x, sigmas, both, zeros):
        result = step.x
    assert_close(result, mixture.flow(x, sigmas[0], sigmas[-1]), rtol=0, atol=5e-3)


def test_one_prompt_of_weight_one_is_classifier_free_guidance() -> None:
    x, sigma, interval = images(2), torch.tensor(1.5).double(), (1.0, 2.0)
    mixture = composed(shifted, torch.ones(1, 2), 3.0, token(0.0), interval)
    plain = classifier_free(shifted, 3.0, token(0.0), interval)
    for level in (0.5, 1.5, 5.0):
        sigma = torch.tensor(level).double()
        assert_close(mixture(x, sigma, token(1.0, 2)), plain(x, sigma, token(1.0, 2)))


def test_each_glyph_of_a_batch_has_weights_of_its_own() -> None:
    D = composed(shifted, torch.tensor([[1.0, 0.0], [0.0, 1.0]]), 1.0, token(0.0))
    x = images(2)
    result = D(x, torch.tensor(1.0), token(1.0, 2).cat(token(2.0, 2)))
    assert_close(result[:1], shifted(x[:1], torch.tensor(1.0), token(1.0)))
    assert_close(result[1:], shifted(x[1:], torch.tensor(1.0), token(2.0)))


def test_noise_between_two_seeds_begins_and_ends_at_them_and_is_standard_normal_on_the_way() -> None:
    def source(seed: int) -> Any:
        generator = seeded(seed, 0)
        return lambda x, *_: torch.randn((1, *x.shape[1:]), generator=generator).expand(x.shape)  # the same for all

    x = torch.empty(3, 1, 100, 100)
    way = between(source(1), source(2), [0.0, 0.5, 1.0])(x, torch.ones(()), torch.zeros(()))
    assert torch.equal(way[0], source(1)(x[:1])[0])
    assert torch.equal(way[2], source(2)(x[:1])[0])
    assert way[1].std() == pytest.approx(1.0, abs=0.03)
    assert (way[1] * way[0]).mean() == pytest.approx(math.sqrt(0.5), abs=0.03)  # halfway in angle
