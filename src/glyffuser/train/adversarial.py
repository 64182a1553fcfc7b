"""An adversarial part of distillation: a discriminator, which sees real glyphs too, pulls at what a student draws.

A teacher can only teach what it knows itself; real glyphs have no flaws (Yin et al. 2024, Improved distribution
matching distillation, section 4.3). Glyphs reach the discriminator noised, through the teacher's features.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process, noised, renoised
from glyffuser.networks.unet import UNet
from glyffuser.train.distil import Moments

SHIFT = 4  # pixels by which both kinds of glyphs are shifted at most, so that they are not learnt by heart
WIGGLE = 0.1  # standard deviation of what is added to features to see how steep the discriminator is
STEEP = 1.0  # weight of that
FASTER = 10.0  # learning rate of the discriminator, which begins from nothing, as a multiple of the student's


class Trial(NamedTuple):
    """What comes of showing a discriminator B glyphs that were drawn: `pull`, the gradient at the student's clean
    images, their shape; `features`, what the teacher knows of them, level by level, without a graph.
    """

    pull: Tensor
    features: list[Tensor]


def tried(
    discriminator: nn.Module,
    known: UNet,
    made: Moments,
    process: Process,
    xt: Tensor,
    sigma: Tensor,
    cond: Condition,
    share: float,
) -> Trial:
    """Ask the discriminator whether what the student drew is real, and what would make it more so.

    The loss is softplus(-logit), the non-saturating one (Goodfellow et al. 2014). Over the batch its gradient is as
    long as a share of `made.pull` is: as Esser et al. 2021 (VQGAN, equation 7) weigh theirs.
    """
    x0 = made.x0.detach().requires_grad_()
    xs = renoised(x0, xt, sigma, made.then, torch.randn_like(xt), process.schedule)
    features = seen(known, xs, made.then, cond)
    (gradient,) = torch.autograd.grad(F.softplus(-discriminator(features)).mean(), x0)
    pull = share * made.pull.norm() / gradient.norm().clamp(min=1e-12) * gradient
    return Trial(pull, [x.detach() for x in features])


def discriminator_loss(
    discriminator: nn.Module,
    known: UNet,
    trial: Trial,
    then: Tensor,
    x0: Tensor,
    cond: Condition,
) -> Tensor:
    """The losses (B,) of the discriminator: logistic, of glyphs that were drawn and of real ones x0 (B, C, H, W),
    noised to the levels `then`; and how much real ones' logits change with a little noise in the features, in the place
    of their gradient (Lin et al. 2025, Diffusion adversarial post-training, "approximated R1").
    """
    with torch.no_grad():
        real = seen(known, noised(x0, torch.randn_like(x0), then, known.process.schedule), then, cond)
    beside = [x + WIGGLE * x.std() * torch.randn_like(x) for x in real]
    every = [torch.cat(level) for level in zip(real, beside, trial.features, strict=True)]
    true, near, false = discriminator(every).chunk(3)  # in one call, since processes wait for each other once a call
    return (F.softplus(-true) + F.softplus(false) + STEEP * (true - near).square()).mean(dim=1)


def seen(known: UNet, xs: Tensor, then: Tensor, cond: Condition) -> list[Tensor]:
    """What a network knows of noised glyphs (B, C, H, W) at noise levels (B,), level by level.

    All are shifted alike, by up to SHIFT pixels; what leaves comes in at the other side.
    """
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    t = known.process.schedule.timestep(then).to(xs)
    return known.features(xs.roll((down, right), dims=(-2, -1)), t, cond)
