"""The adversarial part of distillation, against formulas, and against glyphs that are easy to tell apart."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process
from glyffuser.networks.discriminator import Discriminator
from glyffuser.train import adversarial
from glyffuser.train.adversarial import adversarial_pull, discriminator_loss, shifted
from glyffuser.train.distil import Moments

PROCESS = Process()
SIGMA, THEN = torch.tensor([2.0, 0.5], dtype=torch.float64), torch.tensor([1.0, 0.1], dtype=torch.float64)


@pytest.fixture
def made() -> Moments:
    torch.manual_seed(0)
    x0, xs, pull = torch.randn(3, 2, 1, 16, 16)
    return Moments(x0, xs, THEN, pull, torch.zeros(2))


@pytest.fixture
def cond() -> Condition:
    return Condition(torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.bool), pooled=torch.randn(2, 5))


class Linear(nn.Module):
    """A discriminator whose gradient is known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16 * 16, 1))

    def forward(self, xt: Tensor, t: Tensor, cond: Condition) -> Tensor:
        return xt.flatten(1) @ self.weight


def test_the_pull_is_the_gradient_of_being_taken_for_drawn_at_a_share_of_the_length(monkeypatch, made, cond):
    monkeypatch.setattr(adversarial, "shifted", lambda images: images)
    judge, xt = Linear(), torch.randn(2, 1, 16, 16)
    torch.manual_seed(1)
    found = adversarial_pull(judge, made, PROCESS, xt, SIGMA, cond, 0.25)
    torch.manual_seed(1)
    noise = torch.randn_like(xt)
    # By hand, on the flow schedule, with x = xt / alpha: alpha' (x0 + r (x - x0) + sigma' sqrt(1 - r) noise).
    r, alpha = ((THEN / SIGMA).square(), 1 / (1 + THEN))
    column = [value.float().view(2, 1, 1, 1) for value in (r, alpha, THEN, SIGMA)]
    r4, alpha4, then4, sigma4 = column
    xs = alpha4 * (made.x0 + r4 * (xt * (1 + sigma4) - made.x0) + then4 * (1 - r4).sqrt() * noise)
    slope = -torch.sigmoid(-judge(xs, THEN, cond)) * (alpha * (1 - r)).float()[:, None]  # of softplus(-logit)
    wanted = (slope * judge.weight.T).view(2, 1, 16, 16)
    assert_close(F.cosine_similarity(found.flatten(), wanted.flatten(), dim=0), torch.tensor(1.0), rtol=1e-4, atol=0)
    assert_close(found.norm(), 0.25 * made.pull.norm())
    assert judge.weight.grad is None


def test_a_discriminator_learns_what_is_real_and_pulls_towards_it(made, cond):
    torch.manual_seed(0)
    judge = Discriminator(1, 5)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3)
    dark, light = torch.full((2, 1, 16, 16), -0.5), torch.full((2, 1, 16, 16), 0.5)
    losses = []
    for _ in range(40):
        loss = discriminator_loss(judge, made._replace(xs=dark), PROCESS, light, cond).mean()
        losses.append(float(loss))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > 1.2  # 2 log 2 = 1.39 where nothing can be told
    assert losses[-1] < 0.5
    grey = made._replace(x0=torch.zeros(2, 1, 16, 16))
    down = -adversarial_pull(judge, grey, PROCESS, torch.zeros(2, 1, 16, 16), SIGMA, cond, 1.0)
    assert float(down.mean()) > 0  # down the gradient lies what is lighter, and real


@pytest.mark.parametrize("change", ["picture", "timestep", "text"])
def test_the_discriminator_sees_what_it_is_told(cond, change):
    torch.manual_seed(0)
    judge = Discriminator(1, 5)
    for parameter in judge.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    x, t = torch.randn(2, 1, 32, 32), torch.tensor([10.0, 500.0])
    told: dict[str, Any] = {"xt": x, "t": t, "cond": cond}
    before = judge(**told)
    told |= {"picture": {"xt": -x}, "timestep": {"t": t + 100}, "text": {"cond": cond[[1, 0]]}}[change]
    assert before.shape == (2, 4)
    assert not torch.allclose(judge(**told), before, atol=1e-3)


def test_pictures_are_shifted_alike_and_whole():
    torch.manual_seed(0)
    images = torch.arange(2 * 16 * 16).view(2, 1, 16, 16)
    moved = {tuple(int(n) for n in (shifted(images) - images)[:, 0, 8, 8]) for _ in range(40)}
    assert all(a == b for a, b in moved)
    assert {a for a, _ in moved} <= {16 * down + right for down in range(-4, 5) for right in range(-4, 5)}
    assert len(moved) > 10
    assert_close(shifted(images).flatten(1).sort().values, images.flatten(1))
