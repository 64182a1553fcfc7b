"""Muon against the polar factor, its Adam half against torch's, which weights get which; the learning rate of a run."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from glyffuser.config import TrainConfig
from glyffuser.train.optimizer import Muon, learning_rate, orthogonal, run_fraction, split_parameters


def polar(matrix):
    """U V^T of the singular value decomposition U S V^T."""
    u, _, v = torch.linalg.svd(matrix.double(), full_matrices=False)
    return u @ v


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16), (5, 1)])
def test_orthogonal_is_close_to_the_polar_factor(shape):
    torch.manual_seed(0)
    matrices = torch.randn(3, *shape) * torch.tensor([1.0, 10.0, 0.1])[:, None, None]
    results = orthogonal(matrices).double()
    assert results.shape == matrices.shape
    assert torch.linalg.svdvals(results).max() < 1.25
    alike = nn.functional.cosine_similarity(results.flatten(1), polar(matrices).flatten(1))
    assert alike.min() > 0.97


def test_orthogonal_does_not_depend_on_scale():
    torch.manual_seed(0)
    matrix = torch.randn(1, 8, 16)
    torch.testing.assert_close(orthogonal(matrix / 1024), orthogonal(matrix * 1024), atol=0.01, rtol=0)


def test_a_gradient_of_zero_changes_nothing():
    assert orthogonal(torch.zeros(1, 4, 8)).abs().max() == 0


@pytest.mark.parametrize("shape", [(64, 16), (16, 64), (16, 8, 3, 3)])
def test_updates_are_as_large_as_they_say(shape):
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(shape))
    weight.grad = torch.randn(shape)
    alike, other = (nn.Parameter(torch.zeros(size)) for size in (shape, (3, 5)))
    alike.grad, other.grad = torch.randn(shape), torch.randn(3, 5)
    Muon([alike, weight, other], [], lr=0.01, weight_decay=0.0).step()
    assert float(weight.detach().square().mean().sqrt()) == pytest.approx(0.2 * 0.01, rel=0.25)
    assert float((weight.detach() * weight.grad).sum()) < 0  # downhill


def test_the_other_half_is_adamw():
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(7)) for _ in range(2))
    muon = Muon([], [ours], lr=0.03, betas=(0.9, 0.99), weight_decay=0.1)
    adamw = torch.optim.AdamW([theirs], lr=0.03, betas=(0.9, 0.99), weight_decay=0.1)
    for _ in range(5):
        ours.grad = torch.randn(7)
        theirs.grad = ours.grad.clone()
        muon.step()
        adamw.step()
    torch.testing.assert_close(ours, theirs)


def test_it_solves_a_linear_regression():
    torch.manual_seed(0)
    x, wanted = torch.randn(256, 8), torch.randn(8, 12)
    layer = nn.Linear(8, 12)
    weight, bias = layer.parameters()
    optimizer = Muon([weight], [bias], lr=0.3, weight_decay=0.0)

    def closure():
        optimizer.zero_grad()
        loss = (layer(x) - x @ wanted).square().mean()
        loss.backward()
        return loss

    first = float(closure().detach())
    for step in range(200):
        optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = 0.3 * (1 - step / 200)
        optimizer.step(closure)
    assert float(closure().detach()) < 1e-3 * first


@pytest.mark.parametrize("labels", [0, 5])
def test_every_parameter_has_one_place(small_unet, labels):
    network = small_unet(
        sample_size=32, patch_size=8, block_out_channels=(16, 32), attention_head_dim=8, num_class_embeds=labels
    )
    matrices, others = split_parameters(network)
    assert {id(p) for p in matrices} | {id(p) for p in others} == {id(p) for p in network.parameters()}
    assert len(matrices) + len(others) == len(list(network.parameters()))
    assert all(p.ndim >= 2 for p in matrices)
    assert {n for n, p in network.named_parameters() if p.ndim >= 2 and any(p is o for o in others)} == {
        "stem.weight",
        "conv_out.weight",
        *(["class_embedding.weight"] if labels else []),
    }


def test_a_parameter_in_no_group_or_in_two_is_told(small_unet, monkeypatch):
    network = small_unet()
    whole = network.parameter_groups()
    for groups in (whole | {"vectors": whole["vectors"][1:]}, whole | {"more": whole["vectors"][:1]}):
        monkeypatch.setattr(network, "parameter_groups", lambda groups=groups: groups)
        with pytest.raises(ValueError, match="exactly once"):
            split_parameters(network)


configs = st.builds(
    TrainConfig,
    max_steps=st.integers(1, 10_000),
    max_minutes=st.floats(0, 100),
    lr=st.floats(0, 1),
    warmup_steps=st.integers(0, 1000),
    decay=st.floats(0, 1),
)


@given(configs, st.integers(0, 20_000), st.floats(0, 200))
def test_learning_rate_stays_between_zero_and_its_peak(c, step, minutes):
    assert 0 <= run_fraction(c, step, minutes) <= 1
    assert 0 <= learning_rate(c, step, minutes) <= c.lr
    assert learning_rate(c, step + 1, minutes) <= learning_rate(c, step, minutes) or step < c.warmup_steps


def test_learning_rate_warms_up_stays_and_decays():
    c = replace(TrainConfig(), max_steps=100, warmup_steps=10, decay=0.2, lr=1.0)
    rates = [learning_rate(c, step, 0.0) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10:81] == pytest.approx([1.0] * 71)
    assert rates[80:] == pytest.approx([0.05 * k for k in range(20, -1, -1)], abs=1e-9)
    c.max_minutes = 10.0  # the clock may be further along than the steps
    assert learning_rate(c, 50, 9.0) == pytest.approx(0.5)
    assert learning_rate(c, 95, 1.0) == pytest.approx(0.25)
