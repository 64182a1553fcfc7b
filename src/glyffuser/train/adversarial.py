"""The adversarial part of distillation: a discriminator, which also sees real glyphs, pulls at what a student draws.

A teacher can only teach what it knows itself; real glyphs have no flaws (Yin et al. 2024, Improved distribution
matching distillation, section 4.3). The discriminator begins as the network that looks for flaws for `sample
--best-of`, which knows broken strokes already (as Sauer et al. 2021, Projected GANs, begin with one that knows
pictures); the judge that scores has no part in this. Its logit for a glyph is that of the places that look worst.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from glyffuser.judge.judges import load_selector
from glyffuser.judge.plausibility import Plausibility, worst
from glyffuser.networks.conditioned import grouped

GRAIN = 0.1  # deviation of the noise on glyphs of both kinds, so that exact grey levels do not tell them apart
FASTER = 2.0  # learning rate of the discriminator, as a multiple of the student's


class Discriminator(nn.Module):
    """Logits, positive for drawn glyphs. The means and deviations of its batch norms stay what they were.

    Args:
        critic: what it begins as.
    """

    def __init__(self, critic: Plausibility):
        super().__init__()
        # Contiguous, as the optimiser's state is on resuming: fused AdamW pairs elements by their place in memory.
        self.critic = critic.float().to(memory_format=torch.contiguous_format).eval().requires_grad_(True)

    def train(self, mode: bool = True) -> "Discriminator":
        """Nothing: the two kinds of glyphs would shift the statistics of a batch."""
        return self

    def forward(self, x0: Tensor) -> Tensor:
        """Glyphs (B, 1, H, W) in [-1, 1] -> logits (B,)."""
        return worst(self.critic(x0 + GRAIN * torch.randn_like(x0)))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter in exactly one group, by its role: see `grouped`."""
        return grouped(self, [self.critic.stem[0], self.critic.head])


def build_discriminator() -> Discriminator:
    """A discriminator that knows what the selector's network knows."""
    return Discriminator(load_selector().plausibility)


def pulled(discriminator: nn.Module, x0: Tensor, length: Tensor) -> Tensor:
    """What would make a student's clean images x0 (B, C, H, W) pass as real: a gradient of their shape.

    The loss is softplus(logit), the non-saturating one (Goodfellow et al. 2014). Over the batch, its gradient is scaled
    to `length`, a share of that of the teacher's pull, after Esser et al. 2021 (VQGAN, equation 7), who compare
    gradients at the last layer of a decoder.
    """
    x0 = x0.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(F.softplus(discriminator(x0)).mean(), x0)
    return length / gradient.norm().clamp(min=1e-12) * gradient


def discriminator_loss(discriminator: nn.Module, drawn: Tensor, real: Tensor) -> Tensor:
    """The losses (B,) of the discriminator: logistic, on drawn and on real glyphs, both (B, C, H, W)."""
    # In one call, since in each call processes wait for each other.
    false, true = discriminator(torch.cat([drawn.detach(), real])).chunk(2)
    return F.softplus(-false) + F.softplus(true)
