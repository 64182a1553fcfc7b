"""diffusers' schedulers and our own samplers, through the pipeline, on a data set whose best denoiser is known."""

from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor
from torch.testing import assert_close

from glyffuser.base.noise import seeded
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process, per_image
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.schedulers import GlyffuserScheduler

SIZE = 16
TRAINED = ("flow", "linear", "cosine")
DETERMINISTIC = [
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    UniPCMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
]
DROP_INS = [DDPMScheduler, *DETERMINISTIC, FlowMatchEulerDiscreteScheduler]


def draw(pipe: GlyffuserPipeline, prompt: Any = "gold", **settings: Any) -> Tensor:
    """Images (B, 1, H, W) after a few steps."""
    defaults: dict[str, Any] = {"num_inference_steps": 3, "generator": seeded(0, 0), "output_type": "pt"}
    return pipe(prompt, **defaults | settings).images  # type: ignore[union-attr]


# A normal distribution of images, whose best denoiser is known: mean MU, standard deviation S in every pixel.
MU = torch.linspace(-0.4, 0.4, SIZE)[None, None, :, None].expand(1, 1, SIZE, SIZE)
S = 0.1


def ideal(pipe: GlyffuserPipeline) -> GlyffuserPipeline:
    """Put the best denoiser in the network's place, with the same inputs and outputs."""

    def network(xt: Tensor, t: Tensor, cond: Condition | None) -> Tensor:
        sigma = pipe.schedule.sigma(t)
        level = per_image(sigma, xt)
        x = xt / pipe.schedule.alpha(level)
        x0 = (S**2 * x + level**2 * MU) / (S**2 + level**2)
        kind = pipe.unet.config.prediction_type
        return Process(pipe.schedule, kind).target(x0, (x - x0) / level, sigma).float()

    pipe.network = network  # type: ignore[method-assign]
    return pipe


def noise(batch: int) -> Tensor:
    return torch.randn(batch, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("trained", TRAINED)
@pytest.mark.parametrize(
    "scheduler", [*DETERMINISTIC, FlowMatchEulerDiscreteScheduler, "ddim", "euler", "heun", "dpm++2m"]
)
def test_deterministic_samplers_follow_the_exact_ode(make_pipe, trained, scheduler):
    """The ODE takes noise z to MU + S z: pixel for pixel, whatever the sampler and the network's training."""
    pipe, z = ideal(make_pipe(trained)), noise(2)
    settings: dict[str, Any] = {"latents": z, "guidance_scale": 1.0, "num_inference_steps": 100}
    if isinstance(scheduler, str):
        settings["sampler"] = scheduler
    else:
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    assert_close(draw(pipe, ["gold", "fish"], **settings), MU + S * z, rtol=0, atol=0.045)


@pytest.mark.parametrize("scheduler", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_timesteps_that_round_to_the_same_number_do_no_harm(make_pipe, scheduler):
    pipe, z = ideal(make_pipe("flow")), noise(1)
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    assert_close(draw(pipe, latents=z, guidance_scale=1.0, num_inference_steps=400), MU + S * z, rtol=0, atol=0.01)


@pytest.mark.parametrize("options", [{"use_karras_sigmas": True}, {"prediction_type": "v_prediction"}])
@pytest.mark.parametrize("scheduler", [DPMSolverMultistepScheduler, EulerDiscreteScheduler])
def test_options_of_schedulers_are_heeded(make_pipe, scheduler, options):
    pipe, z = ideal(make_pipe("linear")), noise(1)
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config, **options)
    assert_close(draw(pipe, latents=z, guidance_scale=1.0, num_inference_steps=100), MU + S * z, rtol=0, atol=0.045)


@pytest.mark.parametrize(
    ("trained", "scheduler"),
    [*((trained, DDPMScheduler) for trained in TRAINED), ("flow", "ddpm"), ("linear", "dpm++2m-sde")],
)
def test_stochastic_samplers_draw_from_the_distribution(make_pipe, trained, scheduler):
    pipe, z = ideal(make_pipe(trained)), noise(16)
    settings: dict[str, Any] = {"num_images_per_prompt": 16, "guidance_scale": 1.0, "num_inference_steps": 300}
    if isinstance(scheduler, str):
        settings["sampler"] = scheduler
    else:
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    white = (draw(pipe, latents=z, **settings) - MU) / S  # standard normal, 16 x 256 numbers
    assert abs(white.mean()) < 0.08  # five standard errors
    assert white.std() == pytest.approx(1, abs=0.1)
    assert abs(torch.corrcoef(torch.stack([white.flatten(), z.flatten()]))[0, 1]) < 0.1  # the start is forgotten


@pytest.mark.parametrize("trained", TRAINED)
@pytest.mark.parametrize("scheduler", DROP_INS)
def test_any_scheduler_drops_in_and_is_saved(make_pipe, tmp_path, trained, scheduler):
    pipe = make_pipe(trained)
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    images = draw(pipe, ["gold", "fish"], num_images_per_prompt=2)
    assert images.shape == (4, 1, SIZE, SIZE)
    assert images.isfinite().all()
    pipe.save_pretrained(tmp_path)
    loaded = load_pipeline(tmp_path)
    assert type(loaded.scheduler) is scheduler
    assert torch.equal(draw(loaded, ["gold", "fish"], num_images_per_prompt=2), images)
    # And back to one of our own.
    loaded.scheduler = GlyffuserScheduler.for_schedule(loaded.schedule)
    assert torch.equal(draw(loaded), draw(make_pipe(trained)))


@pytest.mark.parametrize("scheduler", [None, DDIMScheduler, EulerDiscreteScheduler])
def test_stream_shows_every_step(make_pipe, scheduler):
    pipe, z = ideal(make_pipe("linear")), noise(2)
    if scheduler:
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    sampler = None if scheduler else "dpm++2m"
    settings: dict[str, Any] = {"latents": z, "guidance_scale": 1.0, "sampler": sampler}
    steps = list(pipe.stream(["gold", "fish"], num_inference_steps=100, **settings))
    assert [step.i for step in steps] == list(range(100))
    assert [step.t for step in steps] == sorted((step.t for step in steps), reverse=True)
    first, last = steps[0], steps[-1]
    # At the network's scale the first noised images are nearly the noise, and the first guess is the mean.
    assert_close(first.xt, z, rtol=0, atol=0.2)
    assert_close(first.x0, MU.expand_as(z), rtol=0, atol=0.05)
    assert last.t == 0
    assert_close(last.xt, last.x0, rtol=0, atol=0.02)
    for step in steps:  # the scale is right throughout: the variance of a noised image is known
        alpha = pipe.schedule.alpha(pipe.schedule.sigma(torch.tensor(step.t)))
        expected = (alpha**2 * S**2 + 1 - alpha**2).sqrt()
        assert (step.xt - alpha * MU).std() == pytest.approx(float(expected), rel=0.15)


def test_the_default_scheduler_tells_others_how_the_network_was_trained(make_pipe):
    config = make_pipe("flow").scheduler.config
    assert DPMSolverMultistepScheduler.from_config(config).config.flow_shift == 3.0
    assert FlowMatchEulerDiscreteScheduler.from_config(config).config.shift == 3.0
    assert (
        EulerDiscreteScheduler.from_config(make_pipe("cosine").scheduler.config).config.beta_schedule
        == "squaredcos_cap_v2"
    )
    assert config.prediction_type == "epsilon"  # every scheduler of diffusers is given the noise, whatever was learnt
