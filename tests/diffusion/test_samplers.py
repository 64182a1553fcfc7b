"""Samplers against the matching schedulers of diffusers, step by step."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor
from torch.testing import assert_close

from glyffuser.base.names import ETAS
from glyffuser.diffusion.guidance import denoiser
from glyffuser.diffusion.process import Process
from glyffuser.diffusion.samplers import SAMPLERS, Step
from glyffuser.diffusion.schedules import Schedule
from sampling import GRID, network, noise_source, start

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers

DIFFUSERS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
TYPES = ["epsilon", "sample", "v_prediction"]
Sampler = Callable[..., Iterator[Step]]


def ours(
    sampler: Sampler, kind: str, schedule: Schedule, sigmas: Tensor, noise_dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """x at the scale of xt, and predicted clean images, after every step: (N, B, C, H, W) each."""
    D, noise = denoiser(network, Process(schedule, kind)), noise_source(1, noise_dtype)
    steps = list(sampler(D, sigmas[0] * start(), sigmas, None, noise))
    return torch.stack([schedule.alpha(s.sigma) * s.x for s in steps]), torch.stack([s.x0 for s in steps])


def theirs(scheduler: Any, x: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """What the scheduler makes of the same network and noise, in its own coordinates."""
    plain = EulerDiscreteScheduler | HeunDiscreteScheduler | FlowMatchEulerDiscreteScheduler | UniPCMultistepScheduler
    plain = plain | DPMSolverSDEScheduler
    if not isinstance(scheduler, plain):
        options["generator"] = torch.Generator().manual_seed(1)
    xs, x0s = [], []
    for t in scheduler.timesteps:
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        step = scheduler.step(network(scaled, t), t, x, **options)
        x = step.prev_sample
        xs.append(x)
        x0s.append(getattr(step, "pred_original_sample", x))
    return torch.stack(xs), torch.stack(x0s)


def exact(scheduler: Any, schedule: Schedule) -> Any:
    """The scheduler with our float64 table, which test_schedules.py compares with its own float32 one."""
    scheduler.alphas_cumprod = schedule.alpha_bar()
    return scheduler


def whole_grid(scheduler: Any, schedule: Schedule) -> Tensor:
    """Our noise levels at the scheduler's timesteps, and 0."""
    return torch.cat([schedule.sigma(scheduler.timesteps), torch.zeros(1)])


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", DIFFUSERS)
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
@pytest.mark.parametrize(("sampler", "variance"), [("ddpm", "fixed_small"), ("ddpm-large", "fixed_large")])
def test_ddpm_is_that_of_diffusers(name: str, kind: str, spacing: str, sampler: str, variance: str) -> None:
    schedule = Schedule(name)
    scheduler = exact(
        DDPMScheduler(
            beta_schedule=DIFFUSERS[name],
            prediction_type=kind,
            clip_sample=False,
            variance_type=variance,
            timestep_spacing=spacing,
        ),
        schedule,
    )
    scheduler.set_timesteps(13)
    sigmas = whole_grid(scheduler, schedule)
    xs, x0s = theirs(scheduler, schedule.alpha(sigmas[0]) * sigmas[0] * start())
    our_xs, our_x0s = ours(SAMPLERS[sampler], kind, schedule, sigmas)
    assert_close(our_x0s, x0s, rtol=1e-6, atol=1e-6)
    # With the larger variance, theirs adds noise even in a last step from above timestep 0.
    noisy_end = variance == "fixed_large" and spacing == "trailing"
    assert_close(our_xs[: -1 if noisy_end else None], xs[: -1 if noisy_end else None], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", DIFFUSERS)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_that_of_diffusers(name: str, kind: str, eta: float) -> None:
    schedule = Schedule(name)
    # "trailing", since diffusers' DDIM takes the next timestep to be T / N lower, which holds only for this spacing.
    scheduler = exact(
        DDIMScheduler(
            beta_schedule=DIFFUSERS[name], prediction_type=kind, clip_sample=False, timestep_spacing="trailing"
        ),
        schedule,
    )
    scheduler.set_timesteps(10)
    sigmas = whole_grid(scheduler, schedule)
    xs, x0s = theirs(scheduler, schedule.alpha(sigmas[0]) * sigmas[0] * start(), eta=eta)
    our_xs, our_x0s = ours(partial(SAMPLERS["ddim"], eta=eta), kind, schedule, sigmas)
    assert_close(our_x0s, x0s, rtol=1e-6, atol=1e-6)
    assert_close(our_xs, xs, rtol=1e-6, atol=1e-6)


# All schedulers below but Heun's round the image to float32 in every step, whatever they are given; hence tolerances
# (a wrong coefficient shows in the second digit). They start from middling noise: a small alpha magnifies the rounding.
TIMESTEPS = [700, 640, 555, 300, 120, 40, 7, 0]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", DIFFUSERS)
def test_euler_is_that_of_diffusers(name: str, kind: str) -> None:
    schedule = Schedule(name)
    scheduler = exact(EulerDiscreteScheduler(beta_schedule=DIFFUSERS[name], prediction_type=kind), schedule)
    scheduler.set_timesteps(timesteps=TIMESTEPS)
    sigmas = scheduler.sigmas.double()
    xs, x0s = theirs(scheduler, sigmas[0] * start())
    our_xs, our_x0s = ours(SAMPLERS["euler"], kind, schedule, sigmas)
    alpha = schedule.alpha(sigmas[1:]).view(-1, 1, 1, 1, 1)  # this scheduler iterates on x, as ours do, and not on xt
    assert_close(our_x0s, x0s, rtol=1e-5, atol=2e-5)
    assert_close(our_xs, alpha * xs, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])  # theirs knows no other
@pytest.mark.parametrize("name", DIFFUSERS)
def test_euler_ancestral_is_that_of_diffusers(name: str, kind: str) -> None:
    schedule = Schedule(name)
    scheduler = exact(EulerAncestralDiscreteScheduler(beta_schedule=DIFFUSERS[name], prediction_type=kind), schedule)
    scheduler.set_timesteps(8)
    scheduler.timesteps = torch.tensor(TIMESTEPS, dtype=torch.float32)  # it takes integers for indices
    scheduler.sigmas = sigmas = torch.cat([schedule.sigma(scheduler.timesteps), torch.zeros(1)])
    xs, x0s = theirs(scheduler, sigmas[0] * start())
    our_xs, our_x0s = ours(SAMPLERS["euler-ancestral"], kind, schedule, sigmas)
    alpha = schedule.alpha(sigmas[1:]).view(-1, 1, 1, 1, 1)
    assert_close(our_x0s, x0s, rtol=1e-5, atol=2e-5)
    assert_close(our_xs, alpha * xs, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])  # theirs knows no other
@pytest.mark.parametrize("name", DIFFUSERS)
def test_dpm_sde_is_that_of_diffusers(name: str, kind: str) -> None:
    schedule = Schedule(name)
    scheduler = exact(DPMSolverSDEScheduler(beta_schedule=DIFFUSERS[name], prediction_type=kind), schedule)
    scheduler.set_timesteps(8)
    sigmas = torch.cat([schedule.sigma(torch.tensor(TIMESTEPS)), torch.zeros(1)])
    # Its grid holds every level between the ends twice, and for each step the timestep halfway, in log sigma.
    scheduler.sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
    half = schedule.timestep((sigmas[:-2] * sigmas[1:-1]).sqrt())
    whole = torch.tensor(TIMESTEPS, dtype=torch.float64)
    scheduler.timesteps = torch.cat([torch.stack([whole[:-1], half], dim=1).flatten(), whole[-1:]])
    scheduler.mid_point_sigma = None
    noise = noise_source(1)
    scheduler.noise_sampler = lambda now, then: noise(start(), now, then)
    xs, _ = theirs(scheduler, sigmas[0] * start())
    our_xs, _ = ours(SAMPLERS["dpm-sde"], kind, schedule, sigmas)
    alpha = schedule.alpha(sigmas[1:]).view(-1, 1, 1, 1, 1)
    assert_close(our_xs, alpha * torch.cat([xs[1::2], xs[-1:]]), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", DIFFUSERS)
@pytest.mark.parametrize("steps", [1, 2, 8])
def test_unipc_is_that_of_diffusers(name: str, kind: str, steps: int) -> None:
    schedule = Schedule(name)
    scheduler = exact(
        UniPCMultistepScheduler(beta_schedule=DIFFUSERS[name], prediction_type=kind, final_sigmas_type="zero"), schedule
    )
    scheduler.set_timesteps(steps)
    scheduler.timesteps = torch.tensor(TIMESTEPS[:steps])
    scheduler.sigmas = sigmas = whole_grid(scheduler, schedule)
    xs, _ = theirs(scheduler, schedule.alpha(sigmas[0]) * sigmas[0] * start())
    our_xs, _ = ours(SAMPLERS["unipc"], kind, schedule, sigmas)
    assert_close(our_xs, xs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", DIFFUSERS)
def test_heun_is_that_of_diffusers(name: str, kind: str) -> None:
    schedule = Schedule(name)
    scheduler = exact(
        HeunDiscreteScheduler(beta_start=1e-4, beta_end=0.02, beta_schedule=DIFFUSERS[name], prediction_type=kind),
        schedule,
    )
    scheduler.set_timesteps(timesteps=TIMESTEPS)
    sigmas = torch.cat([scheduler.sigmas[:-1:2], torch.zeros(1)]).double()  # theirs repeats all but the ends
    xs, x0s = theirs(scheduler, sigmas[0] * start())
    our_xs, our_x0s = ours(SAMPLERS["heun"], kind, schedule, sigmas)
    alpha = schedule.alpha(sigmas[1:]).view(-1, 1, 1, 1, 1)
    # Theirs takes two calls per step except for the last; the first call predicts, the second corrects.
    assert_close(our_x0s, x0s[::2], rtol=1e-5, atol=2e-5)
    assert_close(our_xs, alpha * torch.cat([xs[1::2], xs[-1:]]), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", DIFFUSERS)
@pytest.mark.parametrize(("sampler", "algorithm"), [("dpm++2m", "dpmsolver++"), ("dpm++2m-sde", "sde-dpmsolver++")])
@pytest.mark.parametrize("steps", [1, 2, 8, 20])
def test_dpm_solver_is_that_of_diffusers(name: str, kind: str, sampler: str, algorithm: str, steps: int) -> None:
    schedule = Schedule(name)
    scheduler = exact(dpm_solver(algorithm, beta_schedule=DIFFUSERS[name], prediction_type=kind), schedule)
    scheduler.set_timesteps(timesteps=TIMESTEPS[:steps] if steps < 20 else list(range(699, 0, -35)))
    scheduler.sigmas = sigmas = whole_grid(scheduler, schedule)
    xs, _ = theirs(scheduler, schedule.alpha(sigmas[0]) * sigmas[0] * start())
    our_xs, _ = ours(SAMPLERS[sampler], kind, schedule, sigmas, noise_dtype=torch.float32)
    assert_close(our_xs, xs, rtol=1e-5, atol=1e-4)


def dpm_solver(algorithm: str, **options: Any) -> DPMSolverMultistepScheduler:
    """Second order, midpoint; the step to sigma = 0 is of first order, as ours is, for any number of steps."""
    return DPMSolverMultistepScheduler(
        algorithm_type=algorithm, solver_order=2, solver_type="midpoint", final_sigmas_type="zero", **options
    )


def test_flow_euler_is_that_of_diffusers() -> None:
    schedule = Schedule("flow", shift=3.0)
    sigmas = schedule.sigmas(9)
    u = (sigmas / (1 + sigmas))[:-1]  # the shifted flow time, which diffusers calls sigma
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=u.tolist())
    xs, _ = theirs(scheduler, u[0] * start())
    our_xs, _ = ours(SAMPLERS["euler"], "flow_prediction", schedule, sigmas)
    assert_close(our_xs, xs, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize(("sampler", "algorithm"), [("dpm++2m", "dpmsolver++"), ("dpm++2m-sde", "sde-dpmsolver++")])
def test_flow_dpm_solver_is_that_of_diffusers(sampler: str, algorithm: str) -> None:
    schedule = Schedule("flow")
    scheduler = dpm_solver(algorithm, prediction_type="flow_prediction", use_flow_sigmas=True)
    scheduler.set_timesteps(6)
    scheduler.set_begin_index(0)
    u = GRID / (1 + GRID)  # in place of their own grid, which is float32, with timesteps truncated to integers
    scheduler.sigmas, scheduler.timesteps = u, 1000 * u[:-1]
    xs, _ = theirs(scheduler, u[0] * start())
    our_xs, _ = ours(SAMPLERS[sampler], "flow_prediction", schedule, GRID, noise_dtype=torch.float32)
    assert_close(our_xs, xs, rtol=1e-5, atol=2e-5)


def test_ddim_without_noise_is_euler() -> None:
    # In these coordinates DDIM is Euler's method (Song et al. 2021, DDIM, section 4.3); eta is all that it adds.
    schedule = Schedule("cosine")
    xs = [ours(SAMPLERS[name], "v_prediction", schedule, schedule.sigmas(9))[0] for name in ("ddim", "euler")]
    assert_close(xs[0], xs[1])


def test_dpmpp_2m_sde_without_noise_is_dpmpp_2m() -> None:
    schedule = Schedule("flow", shift=3.0)
    samplers = SAMPLERS["dpm++2m"], partial(SAMPLERS["dpm++2m-sde"], eta=0.0)
    (one, _), (other, _) = (ours(way, "flow_prediction", schedule, schedule.sigmas(9)) for way in samplers)
    assert_close(one, other)


@pytest.mark.parametrize("name", ETAS)
def test_a_sampler_begins_with_the_eta_that_its_name_stands_for(name: str) -> None:
    schedule = Schedule("flow", shift=3.0)
    samplers = SAMPLERS[name], partial(SAMPLERS[name], eta=ETAS[name].own)
    (one, _), (other, _) = (ours(way, "flow_prediction", schedule, schedule.sigmas(9)) for way in samplers)
    assert torch.equal(one, other)


def test_with_the_largest_eta_all_noise_is_fresh() -> None:
    schedule, steps = Schedule("flow", shift=3.0), 9
    sigmas, fresh = schedule.sigmas(steps), torch.randn(1, 1, 4, 4)
    states = []
    for seed in (1, 2):  # two starts, the same noise from then on, a denoiser that ignores x
        x = sigmas[0] * torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(seed))
        way = partial(SAMPLERS["dpm++2m-sde"], eta=ETAS["dpm++2m-sde"].most)
        states.append([step.x for step in way(lambda x, *_: torch.zeros_like(x), x, sigmas, None, lambda *_: fresh)])
    for i, (one, other) in enumerate(zip(*states, strict=True)):
        assert_close(one, other)
        assert_close(one, (sigmas[i + 1] * fresh).float())


def test_samplers_that_take_an_eta_are_named() -> None:
    assert {name for name, way in SAMPLERS.items() if "eta" in inspect.signature(way).parameters} == set(ETAS)
