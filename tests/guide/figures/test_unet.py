"""The network's plan: parameters and operations add up; counting changes nothing."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from glyffuser.guide.drawn import Missing
from glyffuser.guide.figures.process.unet import block_facts, counted
from glyffuser.guide.figures.process.unet import unet as plan
from glyffuser.networks.layers import Attention
from glyffuser.networks.unet import UNet


@pytest.fixture(params=[0, 5], ids=["text alone", "and a label"])
def unet(request, small_unet) -> UNet:
    return small_unet(
        sample_size=32,
        patch_size=4,
        block_out_channels=(8, 16, 16),
        attention_levels=(False, True, False),
        attention_head_dim=8,
        cross_attention_dim=12,
        num_class_embeds=request.param,
    ).eval()


@pytest.mark.parametrize(
    ("told", "has_text"),
    [
        ({"pooled_dim": 6}, True),
        ({"text_route": "attention"}, False),
        ({"text_route": "none"}, False),
        ({"text_route": "attention", "num_class_embeds": 5}, True),
        ({"text_route": "none", "components": "氵木"}, True),
        ({"styles": ("sans", "serif"), "components": "氵木", "detail": 8}, True),
    ],
)
def test_blocks_sum_to_the_network_whatever_it_is_told(small_unet, told, has_text):
    unet = small_unet(**told).eval()
    facts = block_facts(unet, tokens=8)
    assert sum(block.parameters for block in facts) == sum(p.numel() for p in unet.parameters())
    pooled = torch.zeros(1, unet.config.pooled_dim) if unet.config.pooled_dim else None
    with torch.no_grad(), counted(unet) as counts:
        unet(torch.zeros(1, 1, 16, 16), 1.0, torch.zeros(1, 8, 16), pooled_projections=pooled)
    assert sum(block.operations for block in facts) == 2 * sum(counts.values())
    text = [block for block in facts if block.name == "text"]
    assert [(block.channels, block.size) for block in text] == ([(32, 0)] if has_text else [])


def test_parameters_of_the_blocks_sum_to_the_networks(unet):
    facts = block_facts(unet)
    assert sum(block.parameters for block in facts) == sum(p.numel() for p in unet.parameters())


def test_operations_of_the_blocks_sum_to_the_networks(unet):
    with torch.no_grad(), counted(unet) as counts:
        unet(torch.zeros(1, 1, 32, 32), 1.0, torch.zeros(1, 8, 12))
    assert sum(block.operations for block in block_facts(unet, tokens=8)) == 2 * sum(counts.values())


def test_counts_are_those_of_paper_and_pencil():
    convolution, linear = nn.Conv2d(3, 5, 3, padding=1), nn.Linear(7, 11)
    with counted(nn.ModuleList([convolution, linear])) as counts:
        convolution(torch.zeros(2, 3, 6, 6))
        linear(torch.zeros(4, 7))
    assert counts == {convolution: 2 * 6 * 6 * 5 * 3 * 9, linear: 4 * 7 * 11}
    attention = Attention(16, 8, 12)
    with counted(attention) as counts:
        attention(torch.zeros(1, 9, 16), torch.zeros(1, 5, 12), torch.ones(1, 5, dtype=torch.bool))
    assert counts[attention] == 2 * 9 * 5 * 16


def test_sizes_and_entrances_are_those_of_the_config(unet):
    facts = {block.name: block for block in block_facts(unet)}
    assert (facts["in"].size, facts["in"].channels) == (8, 8)
    assert (facts["middle 1"].size, facts["middle 1"].attends) == (2, True)
    assert facts["out"].size == 8
    assert {block.size for block in facts.values() if block.attends and block.part != "middle"} == {4}
    assert facts["time"].size == facts["text"].size == 0


def test_another_network_has_no_such_plan(small_unet):
    network = small_unet(kind="transformer", block_out_channels=(16,), mlp_ratio=1.0)
    inputs: Any = SimpleNamespace(pipe=SimpleNamespace(unet=network))
    with pytest.raises(Missing, match="is a Transformer, not a U-Net"):
        plan(inputs)


def test_hooks_are_gone_afterwards(unet):
    block_facts(unet)
    assert not any(module._forward_hooks for module in unet.modules())
