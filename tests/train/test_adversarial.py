"""The adversarial part of distillation, against a gradient by hand and with glyphs that are easy to tell apart."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process, noised
from glyffuser.networks.discriminator import build_discriminator
from glyffuser.train import adversarial
from glyffuser.train.adversarial import discriminator_loss, looked_at, seen, tried

PROCESS = Process()
THEN = torch.tensor([1.0, 0.1], dtype=torch.float64)


def noise(x0: Tensor) -> Tensor:
    """Fresh noise, to the levels THEN."""
    return noised(x0, torch.randn_like(x0), THEN, PROCESS.schedule)


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


def test_the_pull_is_the_gradient_of_being_taken_for_drawn_of_the_length_asked_for(monkeypatch, cond, known):
    monkeypatch.setattr(adversarial, "seen", lambda known, xs, then, cond: [xs])
    torch.manual_seed(0)
    judge, x0 = Linear(), torch.randn(2, 1, 16, 16)
    torch.manual_seed(1)
    found = tried(judge, known, x0, noise, THEN, cond, torch.tensor(0.25))
    torch.manual_seed(1)
    alpha, then = (value.float().view(2, 1, 1, 1) for value in (1 / (1 + THEN), THEN))  # the flow schedule, by hand
    xs = alpha * (x0 + then * torch.randn_like(x0))
    assert_close(found.features[0], xs, rtol=1e-4, atol=1e-4)
    slope = -torch.sigmoid(-judge([xs])).view(2, 1, 1, 1) * alpha  # of softplus(-logit)
    wanted = slope * judge.weight.view(1, 1, 16, 16)
    assert_close(F.cosine_similarity(found.pull.flatten(), wanted.flatten(), dim=0), torch.tensor(1.0))
    assert_close(found.pull.norm(), torch.tensor(0.25))
    assert judge.weight.grad is None


def test_whole_glyphs_are_looked_at_where_there_is_little_noise():
    torch.manual_seed(0)
    levels = looked_at(1000, PROCESS)
    assert levels.shape == (1000,)
    assert float(levels.min()) < 0.01
    assert_close(float(levels.max()), float(PROCESS.schedule.sigma(torch.tensor(500.0))), rtol=0.02, atol=0)


def test_a_discriminator_learns_what_is_real_and_pulls_towards_it(cond, known):
    torch.manual_seed(0)
    judge = build_discriminator(known)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-3)
    dark, light = torch.full((2, 1, 16, 16), -0.5), torch.full((2, 1, 16, 16), 0.5)
    losses = []
    for _ in range(60):
        trial = tried(judge, known, dark, noise, THEN, cond, torch.tensor(1.0))
        loss = discriminator_loss(judge, known, trial, THEN, light, cond).mean()
        losses.append(float(loss))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] > 1.2  # 2 log 2 = 1.39 where nothing can be told apart
    assert losses[-1] < 0.5
    trial = tried(judge, known, dark, noise, THEN, cond, torch.tensor(1.0))
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
