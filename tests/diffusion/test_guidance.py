"""The denoiser wrapper and classifier-free guidance, on networks that record what they are asked."""

from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser, autoguided, classifier_free, denoiser
from glyffuser.diffusion.process import PREDICTIONS, Process
from glyffuser.diffusion.schedules import SCHEDULES, Schedule

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers

SIGMA = torch.tensor(0.7, dtype=torch.float64)


def image(seed: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def condition(value: float, batch: int = 2, length: int = 3) -> Condition:
    """Tokens (batch, length, 5) that all hold `value`."""
    return Condition(torch.full((batch, length, 5), value, dtype=torch.float64), torch.ones(batch, length).bool())


class Call(NamedTuple):
    x: Tensor
    sigma: Tensor
    cond: Condition | None


def noting(calls: list[Call]) -> Denoiser:
    """A denoiser that depends on all of its arguments and records them; masked tokens do not count."""

    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        calls.append(Call(x, sigma, cond))
        if cond is None:
            return x / (1 + sigma)
        meaning = (cond.states * cond.mask[..., None]).sum(dim=(1, 2))
        return torch.tanh(x + meaning.view(-1, 1, 1, 1)) / (1 + sigma)

    return D


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_a_network_that_knows_the_answer_gives_the_clean_image(name: str, prediction_type: str) -> None:
    schedule = Schedule(name)
    x0, eps, cond = image(0), image(1), condition(1.0)
    seen = []

    def network(xt: Tensor, t: Tensor, cond: Condition | None) -> Tensor:
        seen.append((xt, t, cond))
        return Process(schedule, prediction_type).target(x0, eps, sigma)

    for timestep in (3, 500, 990):
        sigma = schedule.sigma(torch.tensor(timestep))
        x = x0 + sigma * eps
        assert_close(denoiser(network, Process(schedule, prediction_type))(x, sigma, cond), x0, rtol=0, atol=1e-9)
        xt, t, told = seen[-1]
        assert_close(xt, schedule.alpha(sigma) * x)
        assert t.dtype == torch.float32
        assert_close(t, torch.full((2,), float(timestep)), rtol=0, atol=1e-3)
        assert told is cond


@pytest.mark.parametrize("t", [0, 500, 999])
def test_the_network_input_is_scaled_as_by_diffusers(t: int) -> None:
    schedule, theirs = Schedule("linear"), EulerDiscreteScheduler()
    theirs.set_timesteps(timesteps=[t])
    x, seen = image(0), []

    def network(xt: Tensor, *_: object) -> Tensor:
        seen.append(xt)
        return xt

    denoiser(network, Process(schedule, "sample"))(x, schedule.sigma(torch.tensor(t)), None)
    assert_close(seen[0], theirs.scale_model_input(x, theirs.timesteps[0]), rtol=1e-6, atol=1e-6)


def test_without_a_condition_the_network_gets_none() -> None:
    seen = []

    def network(xt: Tensor, t: Tensor, cond: Condition | None) -> Tensor:
        seen.append(cond)
        return xt

    denoiser(network, Process(Schedule(), "sample"))(image(0), SIGMA, None)
    assert seen == [None]


def test_the_denoiser_keeps_the_dtype_of_the_image_whatever_the_network_returns() -> None:
    D = denoiser(lambda xt, *_: xt.bfloat16(), Process(Schedule(), "epsilon"))
    assert D(image(0).float(), SIGMA, None).dtype == torch.float32


def test_timesteps_are_on_the_device_of_the_image() -> None:
    # Noise levels stay on the CPU, where samplers compare them; the meta device stands in for a GPU.
    devices = []

    def network(xt: Tensor, t: Tensor, *_: object) -> Tensor:
        devices.append(t.device.type)
        return xt

    denoiser(network, Process(Schedule(), "sample"))(image(0).to("meta"), SIGMA, None)
    assert devices == ["meta"]


def test_scale_one_is_the_conditional_denoiser_at_one_evaluation() -> None:
    calls: list[Call] = []
    x, cond = image(0), condition(1.0)
    guided = classifier_free(noting(calls), 1.0, condition(0.0))(x, SIGMA, cond)
    assert len(calls) == 1
    assert calls[0].x is x
    assert calls[0].cond is cond
    assert_close(guided, noting([])(x, SIGMA, cond), rtol=0, atol=0)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.floats(-3, 20))
def test_the_guided_image_is_linear_in_the_scale(scale: float) -> None:
    x, cond, negative = image(0), condition(0.1), condition(-0.2)
    calls: list[Call] = []
    D = noting(calls)
    away, towards = D(x, SIGMA, negative), D(x, SIGMA, cond)
    wanted = (1 - scale) * away + scale * towards
    assert_close(classifier_free(D, scale, negative)(x, SIGMA, cond), wanted, rtol=0, atol=1e-12)


def test_guidance_evaluates_both_conditions_in_one_batch() -> None:
    calls: list[Call] = []
    x = image(0)
    classifier_free(noting(calls), 4.0, condition(0.0, batch=1))(x, SIGMA, condition(1.0))
    assert len(calls) == 1
    assert calls[0].cond is not None
    assert_close(calls[0].x, torch.cat([x, x]))
    assert calls[0].cond.states[:, 0, 0].tolist() == [0, 0, 1, 1]


def test_scale_zero_is_the_negative_prompt_alone() -> None:
    x, negative = image(0), condition(-0.3, batch=1)
    guided = classifier_free(noting([]), 0.0, negative)(x, SIGMA, condition(1.0))
    assert_close(guided, noting([])(x, SIGMA, condition(-0.3)))


def test_another_negative_prompt_gives_another_image() -> None:
    x, cond = image(0), condition(0.1)
    results = [classifier_free(noting([]), 3.0, condition(v, batch=1))(x, SIGMA, cond) for v in (0.0, -0.3)]
    assert (results[0] - results[1]).abs().max() > 0.1


@pytest.mark.parametrize(("sigma", "batch"), [(0.19, 2), (0.2, 4), (1.0, 4), (5.0, 4), (5.1, 2)])
def test_guidance_acts_inside_its_interval_alone(sigma: float, batch: int) -> None:
    calls: list[Call] = []
    x, cond, level = image(0), condition(0.1), torch.tensor(sigma, dtype=torch.float64)
    guided = classifier_free(noting(calls), 3.0, condition(0.0), interval=(0.2, 5.0))(x, level, cond)
    assert [len(call.x) for call in calls] == [batch]
    conditional = noting([])(x, level, cond)
    assert torch.equal(guided, conditional) == (batch == 2)


def test_without_a_condition_there_is_nothing_to_guide() -> None:
    calls: list[Call] = []
    classifier_free(noting(calls), 3.0, condition(0.0))(image(0), SIGMA, None)
    assert [call.cond for call in calls] == [None]


@pytest.mark.parametrize(("short", "long"), [(1, 4), (4, 1), (3, 3)])
def test_join_pads_with_masked_zeros_and_repeats_one_row(short: int, long: int) -> None:
    both = condition(1.0, batch=1, length=short).repeat(3).cat(condition(2.0, batch=3, length=long))
    assert both.states.shape == (6, max(short, long), 5)
    assert both.mask.dtype == torch.bool
    assert both.mask.sum(dim=1).tolist() == [short] * 3 + [long] * 3
    assert_close(both.states[..., 0], both.mask * torch.tensor([1.0, 1, 1, 2, 2, 2]).double().view(6, 1))


def test_padding_does_not_change_the_meaning() -> None:
    # A short negative prompt joined to a long prompt must act as it would on its own.
    x, negative, cond = image(0), condition(-0.3, batch=1, length=1), condition(0.1, length=4)
    wanted = noting([])(x, SIGMA, condition(-0.3, length=1))
    assert_close(classifier_free(noting([]), 0.0, negative)(x, SIGMA, cond), wanted)


def test_pad_appends_at_the_end() -> None:
    cond = Condition(torch.ones(1, 2, 5), torch.tensor([[True, False]])).pad(4)
    assert cond.mask.tolist() == [[True, False, False, False]]
    assert cond.states[0, :, 0].tolist() == [1, 1, 0, 0]


def test_autoguidance_goes_away_from_the_worse_denoiser():
    def good(x, sigma, cond):
        return 3 * x

    def worse(x, sigma, cond):
        return x

    x = torch.tensor([[1.0, -2.0]])
    assert torch.equal(autoguided(good, worse, 1.0)(x, torch.tensor(1.0), None), 3 * x)
    assert torch.equal(autoguided(good, worse, 2.0)(x, torch.tensor(1.0), None), 5 * x)


@pytest.mark.parametrize("scale", [0.0, 1.0, 3.0])
def test_guidance_leaves_every_row_its_own_radical(scale: float) -> None:
    told = []

    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        assert cond is not None
        assert cond.radical is not None
        told.append(cond.radical.tolist())
        return x * cond.radical.view(-1, 1, 1, 1)

    cond = replace(condition(0.1), radical=torch.tensor([85, 167]))
    negative = replace(condition(0.0, batch=1), radical=torch.tensor([0]))
    x = image(0)
    guided = classifier_free(D, scale, negative)(x, SIGMA, cond)
    assert told == [[85, 167] if scale == 1 else [0, 0, 85, 167]]
    assert_close(guided, scale * x * torch.tensor([85.0, 167.0]).double().view(2, 1, 1, 1))


def test_conditions_that_tell_different_things_do_not_mix() -> None:
    cond = condition(0.1)
    told = replace(cond, radical=torch.tensor([85, 167]))
    for one, other in ((cond, told), (told, cond)):
        with pytest.raises(ValueError, match="radical"):
            one.cat(other)
    with pytest.raises(ValueError, match="2 rows does not fit 3 images"):
        cond.repeat(3)


def test_rows_of_a_condition_are_chosen_in_every_part() -> None:
    cond = replace(condition(0.1, batch=3), radical=torch.tensor([1, 2, 3]))
    part = cond[torch.tensor([2, 0])]
    assert len(part) == 2
    assert part.radical is not None
    assert part.radical.tolist() == [3, 1]
    assert part.states.shape == (2, 3, 5)
