"""Samplers against the matching schedulers of diffusers, step by step, and as generators."""

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

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser, denoiser
from glyffuser.diffusion.process import Process
from glyffuser.diffusion.samplers import SAMPLERS, Noise, Step
from glyffuser.diffusion.schedules import SCHEDULES, Schedule, karras_sigmas

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers

DIFFUSERS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
TYPES = ["epsilon", "sample", "v_prediction"]
DETERMINISTIC = ["ddim", "euler", "heun", "dpm++2m", "unipc"]
REMEMBERING = ["dpm++2m", "dpm++2m-sde", "unipc"]  # what they did the step before
Sampler = Callable[..., Iterator[Step]]
GRID = karras_sigmas(6, 0.02, 30.0)


def network(xt: Tensor, t: Tensor, *_: Any) -> Tensor:
    """Nonlinear in the image and in time, mixing pixels; deterministic."""
    t = torch.as_tensor(t, dtype=xt.dtype).reshape(-1, 1, 1, 1) / 1000
    return torch.sin(2 * xt + t) * (1 - 0.5 * t) + 0.3 * torch.roll(xt, 1, dims=-1) * torch.cos(3 * t)


def noise_source(seed: int, dtype: torch.dtype = torch.float64) -> Noise:
    """Noise like x from one generator, which draws other numbers in float32 than in float64."""
    generator = torch.Generator().manual_seed(seed)
    return lambda x, now, then: torch.randn(x.shape, generator=generator, dtype=dtype).to(x)


def start(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(dtype)


def ours(
    sampler: Sampler, kind: str, schedule: Schedule, sigmas: Tensor, noise_dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """x at the scale of xt, and predicted clean images, after every step: (N, B, C, H, W) each."""
    D, noise = denoiser(network, Process(schedule, kind)), noise_source(1, noise_dtype)
    steps = list(sampler(D, sigmas[0] * start(), sigmas, None, noise))
    return torch.stack([schedule.alpha(s.sigma) * s.x for s in steps]), torch.stack([s.x0 for s in steps])


def theirs(scheduler: Any, x: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """What the scheduler makes of the same network and the same noise, in its own coordinates."""
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
    # With the larger variance theirs adds noise even in a last step from above timestep 0.
    noisy_end = variance == "fixed_large" and spacing == "trailing"
    assert_close(our_xs[: -1 if noisy_end else None], xs[: -1 if noisy_end else None], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("name", DIFFUSERS)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_that_of_diffusers(name: str, kind: str, eta: float) -> None:
    schedule = Schedule(name)
    # "trailing", since DDIM in diffusers takes the next timestep to be T / N lower, which only then is the next one.
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


# All schedulers below but Heun's round the image to float32 in every step, whatever they are given, hence tolerances
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
    scheduler.timesteps = torch.tensor(TIMESTEPS, dtype=torch.float32)  # it takes whole numbers for indices
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
    # Theirs takes two calls a step but for the last; the first call predicts, the second corrects.
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
    u = GRID / (1 + GRID)  # in place of their own grid, which is float32, with timesteps cut off to whole numbers
    scheduler.sigmas, scheduler.timesteps = u, 1000 * u[:-1]
    xs, _ = theirs(scheduler, u[0] * start())
    our_xs, _ = ours(SAMPLERS[sampler], "flow_prediction", schedule, GRID, noise_dtype=torch.float32)
    assert_close(our_xs, xs, rtol=1e-5, atol=2e-5)


def test_ddim_without_noise_is_euler() -> None:
    # In these coordinates DDIM is Euler's method (Song et al. 2021, DDIM, section 4.3); eta is all that it adds.
    schedule = Schedule("cosine")
    xs = [ours(SAMPLERS[name], "v_prediction", schedule, schedule.sigmas(9))[0] for name in ("ddim", "euler")]
    assert_close(xs[0], xs[1])


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
    if sampler not in REMEMBERING:  # those without memory go on as though they had started there
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
    # The meta device stands in for a GPU: like one it refuses to mix with CPU tensors other than scalars.
    D = denoiser(network, Process(Schedule(), "v_prediction"))
    for step in SAMPLERS[sampler](D, start().to("meta"), GRID, None, lambda x, *_: torch.randn_like(x)):
        assert step.x.device.type == step.x0.device.type == "meta"
