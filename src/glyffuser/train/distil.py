"""Distillation: a student, by default begun from its teacher's weights, learns to draw with fewer network evaluations.

Three methods:

- "guidance": the student predicts what the guided teacher predicts, in one evaluation instead of two (Meng et al. 2023,
  On distillation of guided diffusion models, section 3.1, with one fixed scale).
- "consistency": from each of k noise levels the student leaps to where the guided teacher's path ends. It draws in k
  leaps, with fresh noise between them (Song et al. 2023, Consistency models, algorithm 1; with guidance, Luo et al.
  2023, Latent consistency models). Its targets are the ends themselves, found by the teacher's sampler, as Luhman and
  Luhman 2021 (Knowledge distillation in iterative generative models) find them from pure noise. They are not its own
  predictions one step further on: on the Gaussian of the tests, student and target drifted away together (docs/LOG.md,
  entry 42).
- "moments": the student draws in k steps, adding fresh noise between them. Its clean image is noised again and shown to
  the teacher; the clean image that the teacher then expects has to be, on average, what the student drew. An auxiliary
  network learns that average (Salimans et al. 2024, Multistep distillation of diffusion models via moment matching,
  section 3).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.config import ETA, Config, DistilConfig, set_field
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser, denoiser
from glyffuser.diffusion.process import Process, renoised, to_eps, x0_weight
from glyffuser.diffusion.samplers import ddpm, dpmpp_2m
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.networks.build import kind_of
from glyffuser.networks.conditioned import ConditionedNetwork, arguments

CLOSE = 0.95  # levels above this share of a path's first level are left out
HUBER = 0.00054  # the error per pixel below which it counts squared (Song and Dhariwal 2023, equation 7)
Network = Callable[..., Any]  # a ConditionedNetwork, perhaps wrapped for a device or compiled


def clean_image(network: Network, process: Process, xt: Tensor, sigma: Tensor, cond: Condition) -> Tensor:
    """The clean image, float32 (B, C, H, W), that a network predicts for noised images at noise levels sigma (B,)."""
    t = process.schedule.timestep(sigma)
    prediction = network(xt, t.to(xt), **arguments(cond), return_dict=False)[0]
    return process.to_x0(prediction.float(), xt, sigma)


class Teacher:
    """The network to learn from, guided as `c` says: called with xt (B, C, H, W), sigma (B,) and cond, it returns the
    clean image that it expects, float32, without a gradient. `nothing` is the condition of no text, in one row;
    guidance steers away from it in the style of each glyph, as sampling does.
    """

    def __init__(self, network: ConditionedNetwork, nothing: Condition, c: DistilConfig):
        self.network, self.nothing, self.c = network.eval().requires_grad_(False), nothing, c

    @torch.no_grad()
    def __call__(self, xt: Tensor, sigma: Tensor, cond: Condition) -> Tensor:
        process = self.network.process
        x0 = clean_image(self.network, process, xt, sigma, cond)
        rows = ((sigma >= self.c.lowest) & (sigma <= self.c.highest)).to(xt.device)
        if self.c.guidance != 1 and rows.any():
            nothing = self.nothing.repeat(int(rows.sum()))
            if cond.style is not None:
                nothing = replace(nothing, style=cond.style[rows])
            away = clean_image(self.network, process, xt[rows], sigma[rows.cpu()], nothing)
            x0[rows] = away + self.c.guidance * (x0[rows] - away)  # Ho and Salimans 2022, equation 6
        return x0

    def sampled(self, x: Tensor, now: Tensor, cond: Condition | None) -> Tensor:
        """The same, as a denoiser for samplers: x (B, C, H, W) in x0 + sigma eps coordinates, at one noise level ()."""
        cond = self.nothing.repeat(len(x)) if cond is None else cond
        return self((self.network.process.schedule.alpha(now) * x).to(x.dtype), now.expand(len(x)), cond)


def guidance_loss(
    student: Network,
    teacher: Teacher,
    process: Process,
    xt: Tensor,
    sigma: Tensor,
    cond: Condition,
    weighting: str,
) -> Tensor:
    """The training loss (B,), with what the guided teacher expects in place of the clean image."""
    x0 = teacher(xt, sigma, cond)
    prediction = student(xt, process.schedule.timestep(sigma).to(xt), **arguments(cond), return_dict=False)[0]
    return process.loss(prediction, x0, to_eps(x0, xt, sigma, process.schedule), sigma, weighting)


def path(
    D: Denoiser, schedule: Schedule, x: Tensor, level: Tensor, cond: Condition, path_steps: int
) -> list[tuple[Tensor, Tensor]]:
    """Noise levels () and images (B, C, H, W) along the ODE of a denoiser, from x at `level` to 0.

    Images are in x0 + sigma eps coordinates. The steps are by dpm++2m, and are those below `level` of a grid of
    `path_steps` that begins at pure noise.
    """
    grid = schedule.sigmas(path_steps)
    sigmas = torch.cat([level[None], grid[grid < CLOSE * level]])
    steps = dpmpp_2m(D, x, sigmas, cond, lambda x, now, then: torch.zeros_like(x))
    return [(level, x), *((step.sigma, step.x) for step in steps)]


class Leaps(NamedTuple):
    """N leaps of a student for the B glyphs of a batch.

    x0: where they land (N, C, H, W), with their graph; ends: where the teacher's paths end, the same shape, without
    one; rows: the glyph of the batch that each is for (N,).
    """

    x0: Tensor
    ends: Tensor
    rows: Tensor

    def losses(self) -> Tensor:
        """How far from the ends the leaps land (N,): the root mean square, except for the smallest errors
        (pseudo-Huber; Song and Dhariwal 2023, Improved techniques for training consistency models, equation 7).
        """
        error = (self.x0 - self.ends).square().flatten(1).mean(dim=1)
        return (error + HUBER**2).sqrt() - HUBER

    def pull(self) -> Tensor:
        """The gradient (N, C, H, W) of `losses` with respect to x0."""
        x0 = self.x0.detach().requires_grad_()
        return torch.autograd.grad(self._replace(x0=x0).losses().sum(), x0)[0]


def leaps(
    student: Network,
    teacher: Teacher,
    process: Process,
    eps: Tensor,
    sigma: Tensor,
    cond: Condition,
    steps: int,
    path_steps: int,
) -> Leaps:
    """A student's leaps, and the ends of its teacher's paths.

    It leaps only from the noise levels at which it draws in k = `steps` steps. From the noise `eps` (B, C, H, W) the
    student draws down to one of them, the next at or above the first of `sigma` (B,), so that it meets there what it
    has itself made of the levels above. There the teacher's path begins, and the student leaps from its beginning and
    from each lower of its levels that the path passes: N = B to k B.
    """
    schedule = process.schedule
    levels = schedule.sigmas(steps)[:-1]
    above = levels[: max(int((levels >= sigma[0]).sum()), 1)]

    def predict(xt: Tensor, t: Tensor, cond: Condition | None) -> Tensor:
        assert cond is not None
        return student(xt, t, **arguments(cond), return_dict=False)[0]

    x = (above[0] * eps).to(eps)
    with torch.no_grad():
        for step in ddpm(denoiser(predict, process), x, above, cond, lambda x, now, then: torch.randn_like(x)):
            x = step.x
    fine = -(-path_steps // steps) * steps  # so that a path passes every level to leap from
    *states, (_, end) = path(teacher.sampled, schedule, x, above[-1], cond, fine)
    chosen = [(now, x) for now, x in states if torch.isclose(levels, now).any()]
    xt = torch.cat([schedule.alpha(now) * x for now, x in chosen]).to(x)
    now = torch.stack([now for now, _ in chosen]).repeat_interleave(len(x))
    rows = torch.arange(len(x)).repeat(len(chosen))
    return Leaps(clean_image(student, process, xt, now, cond[rows]), end[rows], rows)


class Moments(NamedTuple):
    """What a step of "moments" computes from B glyphs.

    x0: the student's clean images, with their graph; xs, then: the same noised again, to lower noise levels (B,),
    without one; pull: the gradient of the student's losses (B,) with respect to x0; watching: the auxiliary's losses
    (B,).
    """

    x0: Tensor
    xs: Tensor
    then: Tensor
    pull: Tensor
    watching: Tensor

    def student(self, further: Tensor | float = 0.0) -> Tensor:
        """Losses (B,) whose gradient counts, not their value: at x0 it is `pull` plus a further pull."""
        return (self.x0 * (self.pull + further)).flatten(1).sum(dim=1)


def moments(
    student: Network,
    auxiliary: Network,
    teacher: Teacher,
    process: Process,
    xt: Tensor,
    sigma: Tensor,
    cond: Condition,
    steps: int,
    weighting: str,
) -> Moments:
    """What the student and the auxiliary network learn from a batch (Salimans et al. 2024, algorithm 2).

    The clean image that the student predicts should move towards what the teacher expects and away from what the
    auxiliary network expects, at a noise level up to 1/steps of the whole way lower. Both learn from one batch, so a
    step evaluates student, teacher and auxiliary once each, the teacher twice where it is guided.
    """
    schedule = process.schedule
    x0 = clean_image(student, process, xt, sigma, cond)
    drawn = x0.detach()
    then = schedule.lower(sigma, torch.rand(len(sigma), dtype=torch.float64) / steps)
    xs = renoised(drawn, xt, sigma, then, torch.randn_like(xt), schedule)
    expected = teacher(xs, then, cond)
    guess = clean_image(auxiliary, process, xs, then, cond)
    weight = x0_weight(weighting, process.prediction_type, then, schedule).to(xt)
    errors = (guess - drawn).square() + (guess - expected).square()
    pull = weight[:, None, None, None] * (guess - expected).detach() / drawn[0].numel()
    return Moments(x0, xs, then, pull, weight * errors.flatten(1).mean(dim=1))


def build_teacher(pipe: GlyffuserPipeline, student: ConditionedNetwork, c: DistilConfig) -> Teacher:
    """Make a teacher from a pipeline; UserError if it does not take what the student is told."""
    told = (
        "cross_attention_dim",
        "pooled_dim",
        "num_class_embeds",
        "components",
        "styles",
        "sample_size",
        "schedule",
        "num_train_timesteps",
    )
    # A saved network's styles are a list, a new one's a tuple.
    own, other = (dict(network.config) | {"styles": [*network.config["styles"]]} for network in (student, pipe.unet))
    if differ := [name for name in told if own[name] != other[name]]:
        name = differ[0]
        mend = "; name with --data what the teacher learnt from" if name in ("components", "styles") else ""
        raise UserError(f"the teacher {c.teacher} has {name} = {other[name]}, the student {own[name]}{mend}")
    return Teacher(pipe.unet, pipe.condition([""]), c)


def usual(c: DistilConfig) -> dict[str, Any]:
    """How a model is sampled by default, under the names of GlyffuserScheduler: as usual, unless it is a student."""
    if not c.teacher:
        return {"eta": ETA}
    if c.method == "guidance":
        return {"eta": ETA, "guidance": 1.0}
    # Between few levels ancestral steps keep almost none of the noise, like those of multistep consistency sampling.
    return {"guidance": 1.0, "steps": c.steps, "sampler": "ddpm"}


def student_config(pipe: GlyffuserPipeline, base: Config) -> Config:
    """`base`, changed to the network, process, text encoder and tower of the teacher's pipeline."""
    network, encoder = pipe.unet.config, pipe.text_encoder.config
    found: Mapping[str, Any] = {
        "model.kind": kind_of(pipe.unet),
        **{f"model.{name}": network[name] for name in vars(base.model) if name in network},
        "model.components": len(network["components"]),
        "model.styled": bool(network["styles"]),
        "text.encoder": encoder["encoder"],
        "text.max_length": encoder["max_length"],
        "text.words_only": encoder["words_only"],
        "text.tower": network["pooled_dim"],
        "diffusion.schedule": network["schedule"],
        "diffusion.T": network["num_train_timesteps"],
        "diffusion.shift": network["shift"],
        "diffusion.zero_terminal": network["rescale_betas_zero_snr"],
        "diffusion.prediction_type": network["prediction_type"],
    }
    for key, value in found.items():
        set_field(base, key, value)
    return base
