"""Noising, predictions and the loss against diffusers, autograd and formulas written out."""

import pytest
import torch
from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_snr
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from glyffuser.diffusion.process import (
    PREDICTIONS,
    WEIGHTINGS,
    Process,
    noised,
    renoised,
    score,
    to_eps,
    x0_weight,
)
from glyffuser.diffusion.schedules import SCHEDULES, Schedule

DIFFUSERS = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
relaxed = settings(deadline=None, derandomize=True, max_examples=50)
levels = st.floats(-4, 4).map(lambda x: 10 ** (x / 2))  # sigma from 0.01 to 100


def images(*seeds: int, batch: int = 3) -> list[Tensor]:
    """Standard normal float64 images (batch, 1, 4, 4), one for each seed."""
    return [torch.randn(batch, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(s)) for s in seeds]


def ddpm(schedule: Schedule, prediction_type: str = "epsilon") -> DDPMScheduler:
    """diffusers' DDPM with our float64 table, which test_schedules.py compares with its own float32 one."""
    scheduler = DDPMScheduler(
        beta_schedule=DIFFUSERS[schedule.name],
        prediction_type=prediction_type,
        variance_type="fixed_small",
        clip_sample=False,
    )
    scheduler.alphas_cumprod = schedule.alpha_bar()
    return scheduler


@pytest.mark.parametrize("name", DIFFUSERS)
def test_noised_is_add_noise_of_diffusers(name: str) -> None:
    schedule, t = Schedule(name), torch.tensor([0, 300, 999])
    x0, eps = images(0, 1)
    assert_close(noised(x0, eps, schedule.sigma(t), schedule), ddpm(schedule).add_noise(x0, eps, t))


def test_noised_is_scale_noise_of_diffusers_for_flow_matching() -> None:
    schedule, theirs = Schedule("flow"), FlowMatchEulerDiscreteScheduler()
    x0, eps = images(0, 1)
    t = theirs.timesteps[[10, 500, 990]]
    assert_close(noised(x0, eps, schedule.sigma(t), schedule), theirs.scale_noise(x0, t, eps), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", DIFFUSERS)
@pytest.mark.parametrize("t", [1, 2, 500, 999])
def test_renoised_one_step_back_is_a_step_of_ddpm_in_diffusers(name: str, t: int) -> None:
    schedule = Schedule(name)
    x0, xt, noise = images(0, 1, 2)
    theirs = ddpm(schedule, "sample").step(x0, t, xt, generator=torch.Generator().manual_seed(2)).prev_sample
    now, then = (schedule.sigma(torch.full((len(x0),), float(k))) for k in (t, t - 1))
    assert_close(renoised(x0, xt, now, then, noise, schedule), theirs, rtol=1e-9, atol=1e-9)


@relaxed
@given(st.sampled_from(SCHEDULES), st.lists(levels, min_size=3, max_size=3))
def test_every_prediction_implies_the_clean_image_and_the_noise(name: str, sigmas: list[float]) -> None:
    schedule, sigma = Schedule(name), torch.tensor(sigmas, dtype=torch.float64)
    x0, eps = images(0, 1)
    xt = noised(x0, eps, sigma, schedule)
    for source in PREDICTIONS:
        prediction = Process(schedule, source).target(x0, eps, sigma)
        assert_close(Process(schedule, source).to_x0(prediction, xt, sigma), x0, rtol=0, atol=1e-9)
    assert_close(to_eps(x0, xt, sigma, schedule), eps, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", DIFFUSERS)
def test_v_prediction_is_the_velocity_of_diffusers(name: str) -> None:
    schedule, t = Schedule(name), torch.tensor([0, 300, 999])
    x0, eps = images(0, 1)
    theirs = ddpm(schedule).get_velocity(x0, eps, t)
    assert_close(Process(schedule, "v_prediction").target(x0, eps, schedule.sigma(t)), theirs)


def test_flow_prediction_is_the_velocity_of_the_path() -> None:
    schedule, t = Schedule("flow"), torch.tensor([100.0, 500.0, 900.0], dtype=torch.float64)
    x0, eps = images(0, 1)
    ahead, behind = (noised(x0, eps, schedule.sigma(t + dt), schedule) for dt in (1e-3, -1e-3))
    derivative = (ahead - behind) / 2e-3 * schedule.T
    assert_close(Process(schedule, "flow_prediction").target(x0, eps, schedule.sigma(t)), derivative, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("level", [0.05, 1.0, 20.0])
def test_score_is_the_gradient_of_the_log_density_of_a_gaussian(name: str, level: float) -> None:
    schedule, sigma = Schedule(name), torch.tensor(level, dtype=torch.float64)
    alpha = schedule.alpha(sigma)
    root = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    S, mu = root @ root.T, torch.tensor([0.3, -1, 0.5, 2], dtype=torch.float64)
    noise = sigma**2 * torch.eye(4, dtype=torch.float64)
    xt = torch.tensor([0.2, 0.7, -0.4, 1.0], dtype=torch.float64, requires_grad=True)
    MultivariateNormal(alpha * mu, alpha**2 * (S + noise)).log_prob(xt).backward()
    x0 = mu + S @ torch.linalg.solve(S + noise, xt.detach() / alpha - mu)  # E[x0 | xt]
    ours = score(x0.view(1, 1, 2, 2), xt.detach().view(1, 1, 2, 2), sigma, schedule)
    assert_close(ours.flatten(), xt.grad)


SIGMA = torch.tensor([0.06, 0.8, 15.0], dtype=torch.float64)  # either side of where min_snr and velocity are clamped


def guess(prediction_type: str, schedule: Schedule, sigma: Tensor = SIGMA) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A prediction, the clean image that it implies, and the truth (x0, eps)."""
    x0, eps, error = images(0, 1, 2)
    xt, x0_hat = noised(x0, eps, sigma, schedule), x0 + 0.1 * error
    prediction = Process(schedule, prediction_type).target(x0_hat, to_eps(x0_hat, xt, sigma, schedule), sigma)
    return prediction, x0_hat, x0, eps


def mse(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).mean(dim=(1, 2, 3))


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_simple_weighting_is_the_plain_squared_error_of_the_prediction(name: str, prediction_type: str) -> None:
    schedule = Schedule(name)
    prediction, _, x0, eps = guess(prediction_type, schedule)
    wanted = mse(prediction, Process(schedule, prediction_type).target(x0, eps, SIGMA))
    assert_close(
        Process(schedule, prediction_type).loss(prediction, x0, eps, SIGMA, "simple"), wanted, rtol=1e-5, atol=0
    )


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("prediction_type", PREDICTIONS)
@pytest.mark.parametrize("weighting", [w for w in WEIGHTINGS if w != "simple"])
def test_a_weighting_means_the_same_for_every_prediction(name: str, prediction_type: str, weighting: str) -> None:
    schedule = Schedule(name)
    prediction, x0_hat, x0, eps = guess(prediction_type, schedule)
    snr, t = 1 / SIGMA**2, SIGMA / (1 + SIGMA)
    weight = {
        "epsilon": snr,
        "sample": torch.ones(3),
        "velocity": 1 / torch.maximum(t, torch.tensor(0.1)) ** 2,
        "min_snr": torch.minimum(snr, torch.tensor(5.0)),
    }[weighting]
    ours = Process(schedule, prediction_type).loss(prediction, x0, eps, SIGMA, weighting)
    assert_close(ours, (weight * mse(x0_hat, x0)).double(), rtol=1e-4, atol=0, check_dtype=False)


@pytest.mark.parametrize("name", DIFFUSERS)
@pytest.mark.parametrize(("prediction_type", "shift"), [("epsilon", 0), ("v_prediction", 1)])
def test_min_snr_is_that_of_the_training_scripts_of_diffusers(name: str, prediction_type: str, shift: int) -> None:
    schedule, t = Schedule(name), torch.tensor([5, 300, 900])
    sigma = schedule.sigma(t)
    prediction, _, x0, eps = guess(prediction_type, schedule, sigma)
    snr = compute_snr(ddpm(schedule), t)
    wanted = (
        snr.clamp(max=5) / (snr + shift) * mse(prediction, Process(schedule, prediction_type).target(x0, eps, sigma))
    )
    assert_close(
        Process(schedule, prediction_type).loss(prediction, x0, eps, sigma, "min_snr"), wanted, rtol=1e-4, atol=0
    )


def test_velocity_weighting_is_the_flow_loss_where_t_is_not_clamped() -> None:
    schedule = Schedule("flow")
    prediction, x0_hat, x0, eps = guess("sample", schedule)
    xt = noised(x0, eps, SIGMA, schedule)
    t = (SIGMA / (1 + SIGMA)).view(3, 1, 1, 1)
    wanted = mse((xt - x0_hat) / t, eps - x0)
    ours = Process(schedule, "sample").loss(prediction, x0, eps, SIGMA, "velocity")
    assert_close(ours[1:], wanted[1:], rtol=1e-5, atol=0)
    assert ours[0] < wanted[0]


def test_the_loss_of_half_precision_images_is_float32() -> None:
    x0, eps = (image.bfloat16() for image in images(0, 1))
    value = Process(Schedule(), "sample").loss(x0, x0, eps, SIGMA, "velocity")
    assert value.dtype == torch.float32
    assert value.shape == (3,)


@pytest.mark.parametrize("prediction_type", PREDICTIONS)
def test_float32_images_stay_float32_and_a_scalar_level_serves_the_batch(prediction_type: str) -> None:
    x0, eps = (image.float() for image in images(0, 1))
    schedule, one, three = Schedule(), torch.tensor(0.5), torch.full((3,), 0.5)
    xt = noised(x0, eps, one, schedule)
    prediction = Process(schedule, prediction_type).target(x0, eps, one)
    back = Process(schedule, prediction_type).to_x0(prediction, xt, one)
    assert xt.dtype == prediction.dtype == back.dtype == torch.float32
    assert_close(back, x0, rtol=0, atol=1e-5)
    assert_close(xt, noised(x0, eps, three, schedule), rtol=0, atol=0)
    assert_close(back, Process(schedule, prediction_type).to_x0(prediction, xt, three), rtol=0, atol=0)


def test_unknown_names_list_the_choices() -> None:
    x0, eps = images(0, 1)
    schedule, types = Schedule(), "epsilon, sample, v_prediction, flow_prediction"
    with pytest.raises(ValueError, match=f"'noise'.*{types}"):
        Process(schedule, "noise").target(x0, eps, SIGMA)
    with pytest.raises(ValueError, match=f"'noise'.*{types}"):
        Process(schedule, "noise").to_x0(x0, x0, SIGMA)
    with pytest.raises(ValueError, match=f"'noise'.*{types}"):
        Process(schedule, "noise").loss(x0, x0, eps, SIGMA, "simple")
    with pytest.raises(ValueError, match=r"'snr'.*simple, epsilon, velocity, min_snr, sample"):
        x0_weight("snr", "sample", SIGMA, schedule)


def test_renoised_glyphs_are_noised_glyphs() -> None:
    """Noising to one level and drawing back to a lower one gives the distribution of noising to the lower one."""
    schedule, torch_seed = Schedule("flow"), torch.Generator().manual_seed(0)
    x0 = torch.full((200_000, 1, 1, 1), 0.5)
    now, then = torch.full((len(x0),), 3.0), torch.full((len(x0),), 0.7)
    eps, again = (torch.randn(x0.shape, generator=torch_seed) for _ in range(2))
    xs = renoised(x0, noised(x0, eps, now, schedule), now, then, again, schedule)
    alpha = 1 / 1.7
    assert_close(float(xs.mean()), alpha * 0.5, rtol=0, atol=5e-3)
    assert_close(float(xs.std()), alpha * 0.7, rtol=0, atol=5e-3)
