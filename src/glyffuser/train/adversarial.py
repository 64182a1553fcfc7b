"""An adversarial part of distillation: a discriminator, which sees real glyphs too, pulls at what a student draws.

A teacher can only teach what it knows itself; real glyphs have no flaws (Yin et al. 2024, Improved distribution
matching distillation, section 4.3). Glyphs reach the discriminator noised, as they reach the teacher, so that it cannot
go by single pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process, noised, renoised
from glyffuser.train.distil import Moments

SHIFT = 4  # pixels by which both kinds of glyphs are shifted at most, so that they are not learnt by heart
WIGGLE = 0.05  # standard deviation of what is added to real glyphs to see how steep the discriminator is
STEEP = 100.0  # weight of that
FASTER = 4.0  # learning rate of the discriminator, which begins from nothing, as a multiple of the student's


def adversarial_pull(
    discriminator: nn.Module, made: Moments, process: Process, xt: Tensor, sigma: Tensor, cond: Condition, share: float
) -> Tensor:
    """The gradient at the student's clean images, their shape, of the loss of not being taken for real.

    That loss is softplus(-logit), the non-saturating one (Goodfellow et al. 2014). Over the batch the gradient is as
    long as a share of `made.pull` is: as Esser et al. 2021 (VQGAN, equation 7) weigh theirs.
    """
    x0 = made.x0.detach().requires_grad_()
    xs = renoised(x0, xt, sigma, made.then, torch.randn_like(xt), process.schedule)
    t = process.schedule.timestep(made.then).to(xs)
    loss = F.softplus(-discriminator(shifted(xs), t, cond)).mean()
    (gradient,) = torch.autograd.grad(loss, x0)
    return share * made.pull.norm() / gradient.norm().clamp(min=1e-12) * gradient


def discriminator_loss(
    discriminator: nn.Module, made: Moments, process: Process, x0: Tensor, cond: Condition
) -> Tensor:
    """The losses (B,) of the discriminator: logistic, of real glyphs x0 (B, C, H, W) and of those that were drawn, all
    noised to the levels `made.then`; and how much real ones' logits change with little noise, in the place of their
    gradient (Lin et al. 2025, Diffusion adversarial post-training, "approximated R1").
    """
    real = noised(x0, torch.randn_like(x0), made.then, process.schedule)
    beside = real + WIGGLE * torch.randn_like(real)
    glyphs = shifted(torch.cat([real, beside, made.xs]))
    t = process.schedule.timestep(made.then).to(real).repeat(3)
    true, near, false = discriminator(glyphs, t, cond.cat(cond).cat(cond)).chunk(3)
    steepness = (true - near).square()
    return (F.softplus(-true) + F.softplus(false) + STEEP * steepness).mean(dim=1)


def shifted(images: Tensor) -> Tensor:
    """All images of a batch shifted alike, by up to SHIFT pixels; what leaves comes in at the other side."""
    down, right = torch.randint(-SHIFT, SHIFT + 1, (2,)).tolist()
    return images.roll((down, right), dims=(-2, -1))
