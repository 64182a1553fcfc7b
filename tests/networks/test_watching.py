"""Attention maps: they sum to one, are the network's own, and watching changes nothing."""

import pytest
import torch
from torch.testing import assert_close

from glyffuser.networks.layers import Attention, TransformerBlock, plain_attention
from glyffuser.networks.transformer import Block, rotary_angles
from glyffuser.networks.watching import text_attention


@pytest.fixture
def block() -> TransformerBlock:
    torch.manual_seed(0)
    made = TransformerBlock(16, 8, 12, mlp_ratio=1.0).eval()
    for parameter in made.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape)
    return made


def test_maps_are_those_that_weigh_the_values(block):
    torch.manual_seed(1)
    x, context = torch.randn(2, 16, 3, 3), torch.randn(2, 5, 12)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    layer: Attention = block.attend_text
    values = torch.eye(5).expand(2, 1, 5, 5)  # so that the output of attention is its weights
    with text_attention(block) as maps, torch.no_grad():
        block(x, context, mask)
        seen = block.norm_cross(_before(block, x))
        q = layer.to_q(seen).view(2, 9, 2, 8).transpose(1, 2)
        k = layer.to_kv(context).view(2, 5, 2, 2, 8).permute(2, 0, 3, 1, 4)[0]
        expected = plain_attention(q, k, values, mask[:, None, None, :]).mean(dim=1)
    (weights,) = maps.values()
    assert_close(weights, expected)
    assert_close(weights.sum(-1), torch.ones(2, 9))
    assert float(weights[1, :, 2:].abs().max()) == 0


def _before(block: TransformerBlock, x: torch.Tensor) -> torch.Tensor:
    """The input of the text attention's normalisation."""
    h = x.flatten(2).transpose(1, 2)
    return h + block.attend_self(block.norm_self(h))


def test_a_transformers_attention_to_the_text_is_watched_too():
    torch.manual_seed(0)
    block = Block(16, 8, 12, mlp_ratio=1.0).eval()
    x, cond, context, angles = torch.randn(2, 9, 16), torch.randn(2, 16), torch.randn(2, 5, 12), rotary_angles(3, 3, 8)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    before = block(x, cond, context, mask, angles)
    network = torch.nn.ModuleList([block])
    with text_attention(network) as maps, torch.no_grad():
        assert torch.equal(block(x, cond, context, mask, angles), before)
    layer = block.attend_text
    assert layer is not None
    assert block.norm_text is not None
    q = layer.to_q(block.norm_text(x)).view(2, 9, 2, 8).transpose(1, 2)  # the gate of self-attention is shut at first
    k = layer.to_kv(context).view(2, 5, 2, 2, 8).permute(2, 0, 3, 1, 4)[0]
    values = torch.eye(5).expand(2, 1, 5, 5)
    assert list(maps) == ["0"]
    assert_close(maps["0"], plain_attention(q, k, values, mask[:, None, None, :]).mean(dim=1))
    assert float(maps["0"][1, :, 2:].abs().max()) == 0
    assert not any(module._forward_hooks for module in network.modules())


def test_watching_changes_no_output_and_leaves_no_hook(make_pipe):
    pipe = make_pipe()
    cond = pipe.condition(["gold"])
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    args = (x, torch.tensor(500.0), cond)
    before = pipe.network(*args)
    with text_attention(pipe.unet) as maps:
        assert torch.equal(pipe.network(*args), before)
    assert maps
    for weights in maps.values():
        assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
    assert not any(module._forward_hooks for module in pipe.unet.modules())
