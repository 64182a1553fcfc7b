"""Noise schedules against diffusers' tables and grids, numpy and scipy."""

import math

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch.testing import assert_close

from glyffuser.diffusion.schedules import SCHEDULES, SPACINGS, Schedule, interpolate, karras_sigmas, shifted

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers

DIFFUSERS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
relaxed = settings(deadline=None, derandomize=True, max_examples=50)


@pytest.mark.parametrize("T", [20, 1000])
@pytest.mark.parametrize("name", DIFFUSERS)
def test_the_tables_are_those_of_diffusers(name: str, T: int) -> None:
    ours, theirs = Schedule(name, T), DDPMScheduler(num_train_timesteps=T, beta_schedule=DIFFUSERS[name])
    # Theirs are float32: one rounding for beta, a thousand for its running product.
    assert_close(ours.betas().float(), theirs.betas, rtol=2e-5, atol=1e-7)
    assert_close(ours.alpha_bar().float(), theirs.alphas_cumprod, rtol=1e-4, atol=0)


def test_cosine_alpha_bar_is_the_squared_cosine() -> None:
    u = (np.arange(999) + 1) / 1000  # the last timestep is left out: there beta is clipped at 0.999
    wanted = np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    np.testing.assert_allclose(Schedule("cosine").alpha_bar()[:-1], wanted, rtol=1e-9)


@pytest.mark.parametrize("name", DIFFUSERS)
def test_the_variance_preserving_grid_is_that_of_euler_in_diffusers(name: str) -> None:
    theirs = EulerDiscreteScheduler(beta_schedule=DIFFUSERS[name], timestep_spacing="linspace")
    # 9 divides 999, so these timesteps are whole. Between whole ones diffusers interpolates sigma and we log sigma.
    theirs.set_timesteps(10)
    # Theirs subtract alpha_bar from 1 in float32, which costs three digits at the lowest level.
    assert_close(Schedule(name).sigmas(10).float(), theirs.sigmas, rtol=5e-4, atol=0)


@pytest.mark.parametrize("steps", [1, 2, 10, 50])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_flow_grid_is_that_of_diffusers_from_our_own_start(shift: float, steps: int) -> None:
    ours = Schedule("flow", shift=shift).sigmas(steps)
    u = (ours / (1 + ours))[:-1]  # diffusers' "sigma" means flow time t/T
    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    start = 999 / (999 + shift)  # shifted to 0.999: at t = 1 our sigma = t / (1 - t) would be infinite
    theirs.set_timesteps(sigmas=np.linspace(start, start / steps, steps))
    assert_close(u.float(), theirs.sigmas[:-1], rtol=1e-5, atol=0)
    # The grid that diffusers' Flux pipeline asks for starts at t = 1; ours is the same to two parts in a thousand.
    # (`set_timesteps(steps)` alone differs: it spends a step near t = 0, where it applies the shift twice.)
    theirs.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps))
    assert_close(u.float(), theirs.sigmas[:-1], rtol=0, atol=2e-3)


@relaxed
@given(st.sampled_from(SCHEDULES), st.integers(1, 1000), st.floats(0.2, 10))
def test_every_grid_falls_strictly_from_sigma_max_to_zero(name: str, steps: int, shift: float) -> None:
    schedule = Schedule(name, shift=shift)
    grid = schedule.sigmas(steps)
    assert grid.shape == (steps + 1,)
    assert grid.dtype == torch.float64
    assert (grid.diff() < 0).all()  # a repeated level would be a division by zero in the multistep samplers
    assert grid[0].item() == pytest.approx(schedule.sigma_max())
    assert grid[-1] == 0


@relaxed
@given(st.sampled_from(SCHEDULES), st.floats(0.001, 0.999))
def test_timestep_is_the_inverse_of_sigma(name: str, u: float) -> None:
    schedule = Schedule(name)
    t = torch.tensor(u * (schedule.T - 1) if name != "flow" else u * schedule.T, dtype=torch.float64)
    sigma = schedule.sigma(t)
    assert_close(schedule.timestep(sigma), t, rtol=0, atol=1e-6)
    assert_close(schedule.sigma(schedule.timestep(sigma)), sigma, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_timestep_stays_in_range_for_levels_beyond_the_ends(name: str) -> None:
    schedule = Schedule(name)
    t = schedule.timestep(torch.tensor([0.0, 1e-9, 1e9]))
    assert ((t >= 0) & (t < schedule.T)).all()
    ends = torch.tensor([schedule.sigma_min(), schedule.sigma_max()], dtype=torch.float64)
    assert_close(t[[0, 2]].double(), schedule.timestep(ends))
    assert_close(schedule.sigma(t[[0, 2]]), ends)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("shape", [(), (3,), (2, 1, 1, 1)])
def test_shapes_are_kept(name: str, shape: tuple[int, ...]) -> None:
    schedule = Schedule(name)
    sigma = schedule.sigma(torch.full(shape, 400.0))
    assert sigma.shape == schedule.timestep(sigma).shape == schedule.alpha(sigma).shape == shape


@pytest.mark.parametrize("name", DIFFUSERS)
def test_alpha_and_sigma_preserve_the_variance(name: str) -> None:
    schedule = Schedule(name)
    sigma = schedule.sigma(torch.arange(1000))
    assert_close(schedule.alpha(sigma) ** 2, schedule.alpha_bar(), rtol=1e-9, atol=0)
    assert_close(schedule.alpha(sigma) ** 2 * (1 + sigma**2), torch.ones(1000, dtype=torch.float64))


def test_flow_scales_are_straight_lines_in_t() -> None:
    schedule = Schedule("flow", shift=3.0)  # the shift plays no part in t <-> sigma
    t = torch.arange(1, 1000, dtype=torch.float64)
    sigma = schedule.sigma(t)
    assert_close(schedule.alpha(sigma), 1 - t / 1000)
    assert_close(schedule.alpha(sigma) * sigma, t / 1000)
    assert_close(schedule.alpha_bar()[1:], (1 - t / 1000) ** 2)


def test_karras_levels_are_those_of_diffusers() -> None:
    theirs = EulerDiscreteScheduler(use_karras_sigmas=True)
    theirs.set_timesteps(12)
    linear = Schedule("linear")
    ours = karras_sigmas(12, linear.sigma_min(), linear.sigma_max())
    assert_close(ours.float(), theirs.sigmas, rtol=1e-4, atol=0)


def test_karras_levels_follow_equation_5() -> None:
    i, n, rho = np.arange(9), 9, 7.0
    wanted = (80 ** (1 / rho) + i / (n - 1) * (0.002 ** (1 / rho) - 80 ** (1 / rho))) ** rho
    np.testing.assert_allclose(karras_sigmas(n, 0.002, 80.0), [*wanted, 0], rtol=1e-12)


# The draws below are seeded, so a p-value under 0.001 means a wrong distribution, not bad luck.
N = 20_000


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_timesteps_are_logit_normal_and_the_shift_moves_their_mean(shift: float) -> None:
    t = Schedule("flow", shift=shift).sample_timesteps(N, "logit_normal", torch.Generator().manual_seed(0))
    logit = torch.logit(t / 1000)
    assert stats.kstest(logit, stats.norm(loc=math.log(shift)).cdf).pvalue > 1e-3
    assert logit.mean().item() == pytest.approx(math.log(shift), abs=4 / math.sqrt(N))
    assert logit.std().item() == pytest.approx(1, abs=4 / math.sqrt(2 * N))


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_uniform_flow_timesteps_are_uniform_before_the_shift(shift: float) -> None:
    t = Schedule("flow", shift=shift).sample_timesteps(N, "uniform", torch.Generator().manual_seed(1))
    assert stats.kstest(shifted(t / 1000, 1 / shift), "uniform").pvalue > 1e-3
    assert ((t >= 0) & (t < 1000)).all()


@pytest.mark.parametrize("name", DIFFUSERS)
def test_uniform_timesteps_are_whole_and_evenly_likely(name: str) -> None:
    t = Schedule(name, T=20).sample_timesteps(N, "uniform", torch.Generator().manual_seed(2))
    counts = torch.bincount(t.long(), minlength=20)
    assert_close(t, t.floor())
    assert len(counts) == 20
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("name", DIFFUSERS)
def test_logit_normal_timesteps_prefer_the_middle(name: str) -> None:
    # Only flow matching has the shift.
    t = Schedule(name, shift=3.0).sample_timesteps(N, "logit_normal", torch.Generator().manual_seed(3))
    assert_close(t, t.floor())
    for quarter in (0.25, 0.5, 0.75):
        wanted = stats.norm.cdf(math.log(quarter / (1 - quarter)))
        assert (t < quarter * 1000).double().mean().item() == pytest.approx(wanted, abs=4 * 0.5 / math.sqrt(N))


def test_drawing_timesteps_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    draws = [Schedule().sample_timesteps(5, "logit_normal", torch.Generator().manual_seed(7)) for _ in range(2)]
    assert_close(draws[0], draws[1], rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state)


@relaxed
@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=8),
    st.lists(st.floats(-2, 2), min_size=1, max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_interpolate_is_that_of_numpy(steps: list[float], x: list[float], seed: int) -> None:
    xs = np.cumsum(np.abs(steps) + 1e-3) - 1
    ys = np.random.default_rng(seed).normal(size=len(xs))
    ours = interpolate(torch.tensor(x, dtype=torch.float64), torch.from_numpy(xs), torch.from_numpy(ys))
    np.testing.assert_allclose(ours, np.interp(x, xs, ys), rtol=1e-9, atol=1e-9)


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(ValueError, match=r"'sigmoid'.*linear, cosine, flow"):
        Schedule("sigmoid")
    with pytest.raises(ValueError, match=r"'beta'.*uniform, logit_normal"):
        Schedule().sample_timesteps(1, "beta")


def test_flow_matching_has_no_betas() -> None:
    with pytest.raises(ValueError, match="flow matching has no betas"):
        Schedule("flow").betas()


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
@pytest.mark.parametrize("steps", [1, 4, 7, 50, 1000])
def test_spacings_are_those_of_diffusers(name: str, spacing: str, steps: int) -> None:
    schedule = Schedule(name)
    scheduler = DDIMScheduler(timestep_spacing=spacing)
    scheduler.set_timesteps(steps)
    if spacing == "linspace" and steps == 1:
        scheduler.timesteps = torch.tensor([999])  # theirs would begin at timestep 0
    levels = schedule.sigmas(steps, spacing=spacing)
    exact = schedule.sigma(scheduler.timesteps)
    rounding = spacing == "linspace"  # theirs are whole timesteps
    assert_close(levels[:-1], exact, rtol=0.05 if rounding else 1e-9, atol=2e-3 if rounding else 0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_log_snr_steps_are_even_in_log_sigma(name: str) -> None:
    schedule = Schedule(name, shift=3.0)
    steps = schedule.sigmas(9, spacing="log_snr")[:-1].log().diff()
    assert_close(steps, steps[:1].expand(8))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 5, 1000])
def test_every_spacing_falls_to_zero_within_the_range_of_training(name: str, spacing: str, steps: int) -> None:
    schedule = Schedule(name, shift=3.0)
    levels = schedule.sigmas(steps, spacing=spacing)
    assert len(levels) == steps + 1
    assert (levels.diff() < 0).all()
    assert levels[-1] == 0
    assert float(levels[0]) <= schedule.sigma_max() * (1 + 1e-9)
    if spacing != "leading":
        assert float(levels[0]) == pytest.approx(schedule.sigma_max(), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "shift", "steps"), [("flow", 3.0, 4), ("flow", 1.0, 7), ("linear", 1.0, 4), ("cosine", 1.0, 5)]
)
def test_a_share_of_the_way_is_a_step_of_the_grid(name: str, shift: float, steps: int) -> None:
    schedule = Schedule(name, shift=shift)
    grid = schedule.sigmas(steps, spacing="trailing")[:-1]
    shares = torch.full((steps - 1,), 1 / steps, dtype=torch.float64)
    assert_close(schedule.lower(grid[:-1], shares), grid[1:], rtol=1e-6, atol=0)
    assert_close(float(schedule.lower(grid[-1:], torch.ones(1))), schedule.sigma_min())


@pytest.mark.parametrize("name", DIFFUSERS)
@pytest.mark.parametrize("T", [50, 1000])
def test_a_zero_terminal_schedule_is_that_of_diffusers_but_for_the_last_timestep(name: str, T: int) -> None:
    theirs = DDIMScheduler(num_train_timesteps=T, beta_schedule=DIFFUSERS[name], rescale_betas_zero_snr=True)
    ours = Schedule(name, T, zero_terminal=True)
    assert_close(ours.alpha_bar()[:-1].float(), theirs.alphas_cumprod[:-1], rtol=2e-2, atol=1e-6)
    assert theirs.alphas_cumprod[-1] == 0
    assert 0 < ours.alpha_bar()[-1] < 2e-10  # so that sigma is finite
    assert_close(ours.betas()[0], Schedule(name, T).betas()[0])


@pytest.mark.parametrize("name", DIFFUSERS)
@pytest.mark.parametrize("T", [3, 1000, 4000])
def test_a_zero_terminal_schedule_rises_strictly_to_noise_alone(name: str, T: int) -> None:
    schedule = Schedule(name, T, zero_terminal=True)
    assert (schedule.log_sigmas().diff() > 0).all()
    assert schedule.sigma_max() >= 1e5 * (1 - 1e-6)
    assert_close(schedule.timestep(schedule.sigma(torch.arange(T))), torch.arange(T).double(), rtol=0, atol=1e-6)
    for spacing in SPACINGS:
        levels = schedule.sigmas(min(T, 20), spacing=spacing)
        assert (levels.diff() < 0).all()
        assert levels.isfinite().all()


def test_flow_matching_takes_no_zero_terminal() -> None:
    with pytest.raises(ValueError, match="zero_terminal is for linear and cosine"):
        Schedule("flow", zero_terminal=True)
