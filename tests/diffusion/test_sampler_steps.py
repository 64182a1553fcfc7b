"""Samplers as generators: what each yields, asks of the denoiser, and takes from the noise."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser, denoiser
from glyffuser.diffusion.process import Process
from glyffuser.diffusion.samplers import SAMPLERS, Step
from glyffuser.diffusion.schedules import SCHEDULES, Schedule
from sampling import GRID, network, noise_source, start

DETERMINISTIC = ["ddim", "euler", "heun", "dpm++2m", "unipc"]
REMEMBERING = ["dpm++2m", "dpm++2m-sde", "unipc"]  # the step before


def counted(calls: list[float]) -> Denoiser:
    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        calls.append(float(sigma))
        return torch.tanh(x)

    return D


def sample(sampler: str, sigmas: Tensor, seed: int = 1, dtype: torch.dtype = torch.float64) -> list[Step]:
    return list(SAMPLERS[sampler](counted([]), sigmas[0] * start(dtype), sigmas, None, noise_source(seed)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_step_is_yielded_for_every_level_and_the_last_is_the_clean_image(sampler: str) -> None:
    calls: list[float] = []
    steps = list(SAMPLERS[sampler](counted(calls), GRID[0] * start(), GRID, None, noise_source(1)))
    assert [step.i for step in steps] == list(range(6))
    assert [float(step.sigma) for step in steps] == GRID[1:].tolist()
    assert steps[-1].sigma == 0
    assert_close(steps[-1].x, steps[-1].x0)
    assert len(calls) == (11 if sampler in ("heun", "dpm-sde") else 6)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 1000])
def test_any_number_of_steps_works(sampler: str, name: str, steps: int) -> None:
    result = sample(sampler, Schedule(name, shift=3.0).sigmas(steps))
    assert len(result) == steps
    assert result[-1].x.isfinite().all()
    assert result[-1].x.abs().max() <= 1 + 1e-9  # the toy denoiser's range


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_step_is_the_denoiser(sampler: str) -> None:
    step = sample(sampler, torch.tensor([5.0, 0.0]))[0]
    assert_close(step.x, torch.tanh(5 * start()))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_float32_images_stay_float32(sampler: str) -> None:
    for step in sample(sampler, GRID, dtype=torch.float32):
        assert step.x.dtype == step.x0.dtype == torch.float32


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seeds_decide_the_noise(sampler: str) -> None:
    first, again, other = (sample(sampler, GRID, seed)[-1].x for seed in (1, 1, 2))
    assert_close(first, again, rtol=0, atol=0)
    assert torch.equal(first, other) == (sampler in DETERMINISTIC)


@pytest.mark.parametrize("sampler", DETERMINISTIC)
def test_deterministic_samplers_draw_no_noise(sampler: str) -> None:
    def refuse(x: Tensor) -> Tensor:
        raise AssertionError("noise drawn")

    assert len(list(SAMPLERS[sampler](counted([]), start(), GRID, None, refuse))) == 6


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_change_of_x_between_steps_is_what_sampling_goes_on_from(sampler: str) -> None:
    # Callbacks rely on this: after step 2 the image is replaced, in place.
    x, noise, changed = GRID[0] * start(), noise_source(1), []
    before = x.clone()
    for step in SAMPLERS[sampler](counted([]), x, GRID, None, noise):
        if step.i == 2:
            step.x.copy_(3 * start().flip(-1))
        changed.append(step.x.clone())
    assert_close(x, before, rtol=0, atol=0)  # the caller's noise is not written to
    plain = sample(sampler, GRID)
    assert_close(changed[1], plain[1].x)
    assert (changed[-1] - plain[-1].x).abs().max() > 0.1
    if sampler not in REMEMBERING:  # those without memory continue as if they had started there
        noise = noise_source(1)
        for _ in range(0 if sampler in DETERMINISTIC else 6 if sampler == "dpm-sde" else 3):
            noise(x, GRID[0], GRID[1])
        fresh = list(SAMPLERS[sampler](counted([]), 3 * start().flip(-1), GRID[3:], None, noise))
        assert_close(changed[-1], fresh[-1].x)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_condition_reaches_the_denoiser(sampler: str) -> None:
    seen = []

    def D(x: Tensor, sigma: Tensor, cond: str) -> Tensor:
        seen.append(cond)
        return x / 2

    list(SAMPLERS[sampler](D, start(), GRID, "water", noise_source(1)))  # a sampler does not look into it
    assert set(seen) == {"water"}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_images_may_be_on_another_device_than_the_levels(sampler: str) -> None:
    # The meta device stands in for a GPU: like one, it refuses to mix with CPU tensors other than scalars.
    D = denoiser(network, Process(Schedule(), "v_prediction"))
    for step in SAMPLERS[sampler](D, start().to("meta"), GRID, None, lambda x, *_: torch.randn_like(x)):
        assert step.x.device.type == step.x0.device.type == "meta"
