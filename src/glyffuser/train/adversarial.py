"""The adversarial part of distillation: a discriminator, which also sees real glyphs, pulls at what a student draws.

A teacher can only teach what it knows itself; real glyphs have no flaws (Yin et al. 2024, Improved distribution
matching distillation, section 4.3). Glyphs reach the discriminator noised, through the teacher's features.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process, noised
from glyffuser.networks.unet import UNet

SHIFT = 4  # most pixels by which glyphs of both kinds are shifted, so that they are not learnt by heart
WIGGLE = 0.1  # deviation of the noise added to features to see how steep the discriminator is, as a multiple of theirs
STEEP = 1.0  # weight of that steepness in the loss
LOW = 0.5  # share of all timesteps, from the lowest, at which the ends of leaps are looked at
FASTER = 10.0  # learning rate of the discriminator, which starts from scratch, as a multiple of the student's


class Trial(NamedTuple):
    """The result of showing a discriminator B drawn glyphs: `pull`, the gradient at the student's clean images, shaped
    like them; `features`, the teacher's features of them, level by level, without a graph.
    """

    pull: Tensor
    features: list[Tensor]


def tried(
    discriminator: nn.Module,
    known: UNet,
    x0: Tensor,
    noise: Callable[[Tensor], Tensor],
    then: Tensor,
    cond: Condition,
    length: Tensor,
) -> Trial:
    """Ask the discriminator if a student's clean images x0 (B, C, H, W) are real, and what would make them more so.

    It sees them as `noise` noises them, to the levels `then` (B,). The loss is softplus(-logit), the non-saturating one
    (Goodfellow et al. 2014). Over the batch, its gradient is scaled to `length`, a share of that of the teacher's pull,
    after Esser et al. 2021 (VQGAN, equation 7), who compare gradients at the last layer of a decoder.
    """
    x0 = x0.detach().requires_grad_()
    features = seen(known, noise(x0), then, cond)
    (gradient,) = torch.autograd.grad(F.softplus(-discriminator(features)).mean(), x0)
    pull = length / gradient.norm().clamp(min=1e-12) * gradient
    return Trial(pull, [x.detach() for x in features])


def looked_at(n: int, process: Process) -> Tensor:
    """Noise levels (n,) to look at whole glyphs at, drawn at random: low ones, where flaws can be seen."""
    schedule = process.schedule
    return schedule.sigma(LOW * schedule.T * torch.rand(n, dtype=torch.float64))


def discriminator_loss(
    discriminator: nn.Module,
    known: UNet,
    trial: Trial,
    then: Tensor,
    x0: Tensor,
    cond: Condition,
) -> Tensor:
    """The losses (B,) of the discriminator: logistic, on drawn glyphs and on real ones x0 (B, C, H, W), noised to the
    levels `then`; and how much the logits of real ones change with a little noise in the features, in place of their
    gradient (Lin et al. 2025, Diffusion adversarial post-training, "approximated R1").
    """
    with torch.no_grad():
        real = seen(known, noised(x0, torch.randn_like(x0), then, known.process.schedule), then, cond)
    beside = [x + WIGGLE * x.std() * torch.randn_like(x) for x in real]
    every = [torch.cat(level) for level in zip(real, beside, trial.features, strict=True)]
    true, near, false = discriminator(every).chunk(3)  # in one call, since in each call processes wait for each other
    return (F.softplus(-true) + F.softplus(false) + STEEP * (true - near).square()).mean(dim=1)


def seen(known: UNet, xs: Tensor, then: Tensor, cond: Condition) -> list[Tensor]:
    """A network's features of noised glyphs (B, C, H, W) at noise levels (B,), level by level.

    All glyphs are shifted alike, by up to SHIFT pixels; what leaves on one side comes back on the other.
    """
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    t = known.process.schedule.timestep(then).to(xs)
    return known.features(xs.roll((down, right), dims=(-2, -1)), t, cond)
