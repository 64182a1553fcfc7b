"""The blocks against PyTorch's and diffusers' own."""

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding
from torch.testing import assert_close

from glyffuser.networks.layers import (
    Attention,
    Downsample,
    GroupNorm,
    PixelNorm,
    ResBlock,
    TransformerBlock,
    Upsample,
    build_norm,
    plain_attention,
    timestep_embedding,
    zero_init,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomise(module: torch.nn.Module) -> None:
    """Give every parameter a random value, including those that start at zero."""
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.5)


@pytest.mark.parametrize("dim", [2, 8, 128])
def test_timestep_embedding_is_that_of_diffusers(dim):
    t = torch.tensor([0.0, 0.5, 1.0, 37.25, 999.0])
    expected = get_timestep_embedding(t, dim, flip_sin_to_cos=True, downscale_freq_shift=0)
    assert_close(timestep_embedding(t, dim), expected, rtol=1e-5, atol=1e-4)  # float32 angles up to 999


@pytest.mark.parametrize("masked", [False, True])
def test_plain_attention_is_that_of_pytorch(masked):
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 4)
    mask = torch.arange(7) < torch.tensor([[4], [7]]) if masked else None
    mask = None if mask is None else mask[:, None, None, :]
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert_close(plain_attention(q, k, v, mask), expected, rtol=1e-5, atol=1e-6)


def test_attention_is_that_of_pytorch():
    ours = Attention(16, head_dim=4, context_dim=12)
    theirs = torch.nn.MultiheadAttention(16, 4, kdim=12, vdim=12, batch_first=True, bias=True)
    randomise(ours)
    keys, values = ours.to_kv.weight.chunk(2)
    theirs.load_state_dict(
        {
            "q_proj_weight": ours.to_q.weight,
            "k_proj_weight": keys,
            "v_proj_weight": values,
            "in_proj_bias": torch.zeros(48),
            "out_proj.weight": ours.to_out.weight,
            "out_proj.bias": ours.to_out.bias,
        }
    )
    x, context, mask = torch.randn(2, 6, 16), torch.randn(2, 5, 12), torch.arange(5) < torch.tensor([[2], [5]])
    expected = theirs(x, context, context, key_padding_mask=~mask, need_weights=False)[0]
    assert_close(ours(x, context, mask), expected, rtol=1e-4, atol=1e-5)


def test_masked_tokens_have_no_influence():
    block = TransformerBlock(8, head_dim=4, context_dim=6, mlp_ratio=2.0)
    randomise(block)
    x, context, mask = torch.randn(2, 8, 4, 4), torch.randn(2, 5, 6), torch.arange(5).expand(2, 5) < 3
    changed = context.clone()
    changed[:, 3:] = 1e3
    assert_close(block(x, changed, mask), block(x, context, mask))
    changed[:, 2] = 1e3  # a real token, so that the test could fail
    assert not torch.allclose(block(x, changed, mask), block(x, context, mask))


def test_a_fresh_transformer_block_is_the_identity():
    x, context = torch.randn(2, 8, 4, 4), torch.randn(2, 5, 6)
    for mlp_ratio in (0.0, 1.25):
        assert_close(TransformerBlock(8, 4, 6, mlp_ratio)(x, context, None), x)


@pytest.mark.parametrize("width", [8, 12])
def test_a_fresh_residual_block_is_its_skip(width):
    block = ResBlock(8, width, cond_dim=16)
    x, cond = torch.randn(2, 8, 4, 4), torch.randn(2, 16)
    assert block(x, cond).shape == (2, width, 4, 4)
    assert_close(block(x, cond), block.skip(x))


def test_the_condition_scales_and_shifts():
    block = ResBlock(4, 4, cond_dim=4)
    randomise(block)
    x = torch.randn(1, 4, 4, 4)
    assert not torch.allclose(block(x, torch.ones(1, 4)), block(x, -torch.ones(1, 4)))


def test_pixel_norm_normalises_each_pixel_and_keeps_the_order_in_memory():
    torch.manual_seed(0)
    x = (3 + 2 * torch.randn(2, 8, 4, 5)).contiguous(memory_format=torch.channels_last)
    norm = PixelNorm(8)
    norm.weight.data.uniform_(0.5, 2)
    norm.bias.data.normal_()
    y = norm(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    plain = (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True, unbiased=False) + norm.eps).sqrt()
    torch.testing.assert_close(y, plain * norm.weight[:, None, None] + norm.bias[:, None, None])


def test_no_groups_means_each_pixel():
    assert isinstance(build_norm(8, 0), PixelNorm)
    assert isinstance(build_norm(8, 4), GroupNorm)


@pytest.mark.parametrize(("channels", "groups"), [(8, 8), (48, 16), (64, 32), (7, 1)])
def test_group_norm_has_as_many_groups_as_fit(channels, groups):
    assert GroupNorm(channels).num_groups == groups


def test_sizes_are_halved_and_doubled():
    x = torch.randn(2, 8, 6, 6)
    assert Downsample(8)(x).shape == (2, 8, 3, 3)
    assert Upsample(8)(x).shape == (2, 8, 12, 12)


def test_zero_init_clears_every_parameter():
    module = zero_init(torch.nn.Linear(3, 3))
    assert all((parameter == 0).all() for parameter in module.parameters())
