"""The adversarial part of distillation, against a gradient by hand and with glyphs that are easy to tell apart."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from glyffuser.judge.judges import load_selector
from glyffuser.judge.plausibility import worst
from glyffuser.train.adversarial import Discriminator, build_discriminator, discriminator_loss, pulled
from glyffuser.train.optimizer import split_parameters


class Linear(nn.Module):
    """A discriminator whose gradient is known."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16 * 16))

    def forward(self, x0: Tensor) -> Tensor:
        return x0.flatten(1) @ self.weight


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    return build_discriminator()


def test_the_pull_is_the_gradient_of_being_taken_for_drawn_at_the_length_asked_for():
    torch.manual_seed(0)
    judge, x0 = Linear(), torch.randn(2, 1, 16, 16)
    found = pulled(judge, x0, torch.tensor(0.25))
    wanted = torch.sigmoid(judge(x0)).view(2, 1, 1, 1) * judge.weight.view(1, 1, 16, 16)  # of softplus(logit)
    assert_close(F.cosine_similarity(found.flatten(), wanted.flatten(), dim=0), torch.tensor(1.0))
    assert_close(found.norm(), torch.tensor(0.25))
    assert judge.weight.grad is None


def test_its_loss_is_logistic_and_moves_the_discriminator_alone():
    torch.manual_seed(0)
    judge = Linear()
    drawn, real = torch.randn(2, 3, 1, 16, 16)
    drawn.requires_grad_()
    found = discriminator_loss(judge, drawn, real)
    assert_close(found, F.softplus(-judge(drawn)) + F.softplus(judge(real)))
    found.sum().backward()
    assert drawn.grad is None
    assert judge.weight.grad is not None


def test_it_begins_as_the_selectors_network(discriminator):
    critic = load_selector().plausibility
    x0 = torch.rand(2, 1, 128, 128) * 2 - 1
    torch.manual_seed(0)
    grainy = x0 + 0.1 * torch.randn_like(x0)
    torch.manual_seed(0)
    assert_close(discriminator(x0), worst(critic(grainy)), rtol=1e-4, atol=1e-4)
    assert all(parameter.requires_grad for parameter in discriminator.parameters())


def test_it_keeps_its_statistics_while_it_is_trained(discriminator):
    before = {name: value.clone() for name, value in discriminator.named_buffers()}
    discriminator.train()
    discriminator(torch.rand(2, 1, 128, 128))
    assert before
    assert all(torch.equal(value, before[name]) for name, value in discriminator.named_buffers())


def test_each_of_its_parameters_is_in_one_group(discriminator):
    matrices, others = split_parameters(discriminator)
    assert len(matrices) + len(others) == len([*discriminator.parameters()])
    assert discriminator.critic.head.weight not in set(matrices)


def test_a_discriminator_learns_what_is_real_and_pulls_towards_it(discriminator):
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-3)
    grey, white = torch.zeros(2, 1, 32, 32), torch.ones(2, 1, 32, 32)
    for _ in range(10):
        loss = discriminator_loss(discriminator, grey, white).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1  # 2 log 2 = 1.39 where nothing can be told apart
    nearer = grey - 0.5 * pulled(discriminator, grey, torch.tensor(10.0))  # down the gradient
    assert discriminator(nearer).mean() < discriminator(grey).mean()
