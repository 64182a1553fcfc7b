"""The adversarial part of distillation, against a gradient by hand and with glyphs that are easy to tell apart."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process
from glyffuser.networks.discriminator import build_discriminator
from glyffuser.train import adversarial
from glyffuser.train.adversarial import discriminator_loss, seen, tried
from glyffuser.train.distil import Moments

PROCESS = Process()
SIGMA, THEN = torch.tensor([2.0, 0.5], dtype=torch.float64), torch.tensor([1.0, 0.1], dtype=torch.float64)


@pytest.fixture
def made() -> Moments:
    torch.manual_seed(0)
    x0, xs, pull = torch.randn(3, 2, 1, 16, 16)
    return Moments(x0, xs, THEN, pull, torch.zeros(2))


@pytest.fixture
def known(small_unet) -> Any:
    """A network whose features depend on everything that it is told."""
    network = small_unet().requires_grad_(False)
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter += 0.1 * torch.randn(parameter.shape)
    return network


@pytest.fixture
def cond(known) -> Condition:
    return Condition(torch.randn(2, 3, known.config.cross_attention_dim), torch.ones(2, 3, dtype=torch.bool))


class Linear(nn.Module):
    """A discriminator of pixels whose gradient is known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16 * 16, 1))

    def forward(self, features: list[Tensor]) -> Tensor:
        return features[0].flatten(1) @ self.weight


def test_the_pull_is_the_gradient_of_being_taken_for_drawn_at_a_share_of_the_length(monkeypatch, made, cond, known):
    monkeypatch.setattr(adversarial, "seen", lambda known, xs, then, cond: [xs])
    judge, xt = Linear(), torch.randn(2, 1, 16, 16)
    torch.manual_seed(1)
    found = tried(judge, known, made, PROCESS, xt, SIGMA, cond, 0.25)
    torch.manual_seed(1)
    noise = torch.randn_like(xt)
    # By hand, on the flow schedule, with x = xt / alpha: alpha' (x0 + r (x - x0) + sigma' sqrt(1 - r) noise).
    r, alpha, then, sigma = (
        value.float().view(2, 1, 1, 1) for value in ((THEN / SIGMA).square(), 1 / (1 + THEN), THEN, SIGMA)
    )
    xs = alpha * (made.x0 + r * (xt * (1 + sigma) - made.x0) + then * (1 - r).sqrt() * noise)
    assert_close(found.features[0], xs, rtol=1e-4, atol=1e-4)
    slope = -torch.sigmoid(-judge([xs])).view(2, 1, 1, 1) * alpha * (1 - r)  # of softplus(-logit)
    wanted = slope * judge.weight.view(1, 1, 16, 16)
    assert_close(F.cosine_similarity(found.pull.flatten(), wanted.flatten(), dim=0), torch.tensor(1.0))
    assert_close(found.pull.norm(), 0.25 * made.pull.norm())
    assert judge.weight.grad is None


def test_a_discriminator_learns_what_is_real_and_pulls_towards_it(made, cond, known):
    torch.manual_seed(0)
    judge = build_discriminator(known)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3)
    dark, light = torch.full((2, 1, 16, 16), -0.5), torch.full((2, 1, 16, 16), 0.5)
    losses, xt = [], torch.zeros(2, 1, 16, 16)
    for _ in range(60):
        trial = tried(judge, known, made._replace(x0=dark), PROCESS, xt, SIGMA, cond, 1.0)
        loss = discriminator_loss(judge, known, trial, THEN, light, cond).mean()
        losses.append(float(loss))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > 1.2  # 2 log 2 = 1.39 where nothing can be told apart
    assert losses[-1] < 0.5
    trial = tried(judge, known, made._replace(x0=dark), PROCESS, xt, SIGMA, cond, 1.0)
    assert float(-trial.pull.mean()) > 0  # down the gradient glyphs are lighter, like the real ones
    assert all(parameter.grad is None for parameter in known.parameters())


@pytest.mark.parametrize("change", ["picture", "level", "text"])
def test_features_depend_on_picture_noise_level_and_text(cond, known, change):
    x = torch.randn(2, 1, 16, 16)
    told: dict[str, Any] = {"xs": x, "then": THEN, "cond": cond}
    torch.manual_seed(0)
    before = seen(known, **told)
    told |= {"picture": {"xs": -x}, "level": {"then": 2 * THEN}, "text": {"cond": cond[[1, 0]]}}[change]
    torch.manual_seed(0)
    after = seen(known, **told)
    assert [f.shape[1] for f in before] == [*known.config.block_out_channels, known.config.block_out_channels[-1]]
    assert not torch.allclose(after[-1], before[-1], atol=1e-4)


def test_pictures_are_shifted_by_up_to_four_pixels(monkeypatch, cond, known):
    """The two kinds of glyphs must differ only in how they were made."""
    monkeypatch.setattr(type(known), "features", lambda self, xs, t, cond: [xs])
    torch.manual_seed(0)
    x = torch.arange(2 * 16 * 16.0).view(2, 1, 16, 16)
    moves = set()
    for _ in range(60):
        (moved,) = seen(known, x, THEN, cond)
        assert_close(moved.flatten(1).sort().values, x.flatten(1))
        down, right = divmod(int((moved == x[0, 0, 8, 8]).nonzero()[0, 2:] @ torch.tensor([16, 1])), 16)
        moves.add((down - 8, right - 8))
    assert len(moves) > 20
    assert {abs(n) for move in moves for n in move} == {0, 1, 2, 3, 4}


def test_a_transformer_has_no_discriminator(small_unet):
    network = small_unet(kind="transformer", block_out_channels=(16,), mlp_ratio=1.0)
    with pytest.raises(UserError, match="U-Net, not of a Transformer"):
        build_discriminator(network)
