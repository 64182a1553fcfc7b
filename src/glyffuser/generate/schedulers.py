"""diffusers' schedulers driving our denoisers, and the scheduler component of a saved model.

What a network sees depends on the noise level alone, so a network trained under any noise schedule can be sampled with
any diffusers scheduler: its state is converted to x0 + sigma * eps, and the denoiser's output to the prediction type
that the scheduler expects.
"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from diffusers import ConfigMixin, SchedulerMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.base.names import ETAS, SPACINGS
from glyffuser.config import GUIDANCE, SAMPLER, STEPS
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser
from glyffuser.diffusion.process import coefficients
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.diffusion.schedules import Schedule


class GlyphStep(NamedTuple):
    """One step of sampling: its number from 0, the timestep reached, the state x and the predicted clean image x0.

    x is what the sampler iterates on, (B, C, H, W); `xt`, alpha times x, is the noised image at the network's scale.
    Sampling continues from what is written into x in place.
    """

    i: int
    t: float
    x: Tensor
    x0: Tensor
    alpha: float

    @property
    def xt(self) -> Tensor:
        """The noised image at timestep t."""
        return self.alpha * self.x


class GlyffuserScheduler(SchedulerMixin, ConfigMixin):
    """The default `pipe.scheduler`: how a model is sampled unless something else is asked for, and what other
    schedulers need to know.

    `AnyDiffusersScheduler.from_config(pipe.scheduler.config)` gives a drop-in. Its `prediction_type` is "epsilon"
    whatever the network predicts, since every diffusers scheduler understands that; the pipeline converts.
    """

    __module__ = "glyffuser"  # what a saved model names, whichever room the class lives in

    @register_to_config
    def __init__(
        self,
        sampler: str = SAMPLER,
        steps: int = STEPS,
        guidance: float = GUIDANCE,
        eta: float | None = None,
        num_train_timesteps: int = 1000,
        beta_schedule: str = "linear",
        prediction_type: str = "epsilon",
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        shift: float = 1.0,
    ):
        pass

    @classmethod
    def for_schedule(cls, schedule: Schedule, **usual: Any) -> "GlyffuserScheduler":
        """The scheduler that samples under the noise schedule of training; `usual`: sampler, steps, guidance or eta."""
        return cls(
            **usual,
            num_train_timesteps=schedule.T,
            beta_schedule="squaredcos_cap_v2" if schedule.name == "cosine" else "linear",
            use_flow_sigmas=schedule.name == "flow",
            **({"flow_shift": schedule.shift, "shift": schedule.shift} if schedule.name == "flow" else {}),
        )


def scheduler_steps(
    scheduler: Any,
    D: Denoiser,
    highest: float,
    noise: Tensor,
    steps: int,
    cond: Condition,
    generator: torch.Generator | list[torch.Generator] | None,
) -> Iterator[GlyphStep]:
    """Sample with a diffusers scheduler: what the network sees depends on the noise level alone, so any will do.

    `highest` is the highest noise level that D knows; noisier states, up to pure noise, are shown to it at that level.
    """
    scheduler.set_timesteps(steps, device=noise.device)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # otherwise it looks up the first timestep, and goes wrong if two are equal
    extra = {"generator": generator} if takes(scheduler.step, "generator") else {}
    kind = scheduler.config.prediction_type if takes(type(scheduler), "prediction_type") else "flow_prediction"
    scale = getattr(scheduler, "scale_model_input", lambda x, t: x)
    x = noise * getattr(scheduler, "init_noise_sigma", 1.0)
    timesteps = scheduler.timesteps
    for i, t in enumerate(timesteps):
        alpha, s = scheduler_scales(scheduler, i, t)
        xt, sigma = scale(x, t), (s / alpha).clamp(max=highest)
        x0 = D((xt / s * sigma).to(x.dtype), sigma, cond)
        a, b = coefficients(kind, alpha, s)
        prediction = (a * x0 + b * (xt - alpha * x0) / s).to(x.dtype)
        x = scheduler.step(prediction, t, x, **extra).prev_sample
        last = i + 1 == len(timesteps)
        then = 0.0 if last else float(timesteps[i + 1])
        yield GlyphStep(i, then, x, x0, 1.0 if last else float(scale(torch.ones(()), timesteps[i + 1])))


def scheduler_scales(scheduler: Any, i: int, t: Tensor) -> tuple[Tensor, Tensor]:
    """Scales of signal and noise in the model input at step i, timestep t, of a diffusers scheduler; float64."""
    # A config keeps settings of other schedulers, which mean nothing to this one; hence `takes`.
    flow = takes(type(scheduler), "use_flow_sigmas") and scheduler.config.use_flow_sigmas
    if flow or not hasattr(scheduler, "alphas_cumprod"):
        s = scheduler.sigmas[i].double()
        return 1 - s, s
    if hasattr(scheduler, "sigmas"):  # noise-to-signal ratios
        sigma = scheduler.sigmas[i].double()
        return 1 / (1 + sigma**2).sqrt(), sigma / (1 + sigma**2).sqrt()
    alpha_bar = scheduler.alphas_cumprod[int(t)].double()
    return alpha_bar.sqrt(), (1 - alpha_bar).sqrt()


def takes(function: Callable, parameter: str) -> bool:
    """Whether a function or class has a parameter of this name."""
    return parameter in inspect.signature(function).parameters


def check_sampler(
    sampler: str | None, usual: str, spacing: str = SPACINGS[0], eta: float | None = None, edits: bool = False
) -> None:
    """UserError for an unknown sampler or spacing, and for an eta or an edit that the sampler does not take.

    If no sampler is named, it is the `usual` one, which may be the class of a diffusers scheduler.
    """
    if sampler is not None and sampler not in SAMPLERS:
        raise UserError(f"unknown sampler {sampler!r}; choose one of {', '.join(SAMPLERS)}")
    if spacing not in SPACINGS:
        raise UserError(f"unknown spacing {spacing!r}; choose one of {', '.join(SPACINGS)}")
    if edits and (sampler or usual) not in SAMPLERS:
        raise UserError(f"a diffusers scheduler cannot edit; choose one of our samplers, such as {SAMPLER}")
    if eta is None:
        return
    if (name := sampler or usual) not in ETAS:
        raise UserError(f"the sampler {name} has no eta; choose one of {', '.join(ETAS)}")
    if not 0 <= eta <= ETAS[name].most:
        raise UserError(f"the eta of {name} must be between 0 and {ETAS[name].most:g}, not {eta:g}")
