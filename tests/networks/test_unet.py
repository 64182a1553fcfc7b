"""The network: shapes, conditioning, gradients, and saving."""

from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.config import ModelConfig, preset
from glyffuser.diffusion.process import Process
from glyffuser.networks.build import build_network
from glyffuser.networks.conditioned import masked_mean
from glyffuser.networks.unet import Stage, UNet
from tiny import shake


def tiny(**changes: Any) -> UNet:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        **asdict(ModelConfig()),
        **Process().to_config(),
        "sample_size": 16,
        "patch_size": 4,
        "block_out_channels": (8, 16),
        "attention_levels": (False, True),
        "layers_per_block": 1,
        "attention_head_dim": 8,
        "mlp_ratio": 1.0,
        "cross_attention_dim": 6,
    }
    return build_network(**(settings | changes))


def awake(model: UNet) -> UNet:
    """The same network with no parameter at zero, as after some training."""
    shake(model)
    return model


def inputs(size: int = 16, channels: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, states = (torch.randn(shape, generator=generator) for shape in ((3, channels, size, size), (3, 5, 6)))
    return x, torch.tensor([0.0, 400.5, 999.0]), states, torch.arange(5) < torch.tensor([[1], [3], [5]])


SHAPES = {
    "plain pixels": {"patch_size": 1, "sample_size": 8},
    "one level": {"block_out_channels": (16,), "attention_levels": (True,)},
    # Large enough for four patches at the coarsest level: attention to a single one is constant.
    "three levels": {
        "sample_size": 32,
        "block_out_channels": (8, 16, 24),
        "attention_levels": (True, False, True),
        "layers_per_block": 2,
    },
    "patches of 8": {"sample_size": 32, "patch_size": 8, "norm_groups": 4},
    "colour": {"in_channels": 3, "mlp_ratio": 0.0},
    "details": {"sample_size": 32, "patch_size": 4, "detail": 6, "norm_groups": 0},
    "each pixel by itself": {"sample_size": 32, "patch_size": 4, "norm_groups": 0},
}


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_output_has_the_shape_of_the_input_and_starts_at_zero(changes):
    model = tiny(**changes)
    x, t, states, mask = inputs(model.config.sample_size, model.config.in_channels)
    assert_close(model(x, t, states, mask).sample, torch.zeros_like(x))
    output = awake(model)(x, t, states, mask, return_dict=False)[0]
    assert output.shape == x.shape
    assert output.abs().min() > 0


def test_every_input_matters():
    model = awake(tiny())
    x, t, states, mask = inputs()
    before = model(x, t, states, mask).sample
    for changed in [(x + 1, t, states, mask), (x, t + 100, states, mask), (x, t, -states, mask)]:
        assert not torch.allclose(model(*changed).sample, before, atol=1e-4)


def test_what_goes_down_comes_up_in_reverse_order():
    model = awake(tiny(block_out_channels=(8, 16, 24), attention_levels=(True, False, True), sample_size=32))
    sent: list[torch.Tensor] = []
    received: list[torch.Tensor] = []
    for module in [model.stem, *model.down]:
        module.register_forward_hook(lambda module, inputs, output: sent.append(output))
    for module in model.up:
        if isinstance(module, Stage):
            module.register_forward_pre_hook(lambda module, inputs: received.append(inputs[0]))
    model(*inputs(32))
    assert len(sent) == len(received)
    for skip, joined in zip(reversed(sent), received, strict=True):
        assert torch.equal(joined[:, -skip.shape[1] :], skip)


def test_masked_tokens_have_no_influence():
    model = awake(tiny())
    x, t, states, mask = inputs()
    changed = torch.where(mask[:, :, None], states, 1e3)
    assert_close(model(x, t, changed, mask).sample, model(x, t, states, mask).sample)
    assert not torch.allclose(model(x, t, changed).sample, model(x, t, states).sample)


def test_a_glyph_does_not_depend_on_its_batch():
    model = awake(tiny()).eval()
    x, t, states, mask = inputs()
    single = model(x[1:2], t[1:2], states[1:2, :3], None).sample  # its own three tokens, without padding
    assert_close(model(x, t, states, mask).sample[1:2], single, rtol=1e-4, atol=1e-5)


def test_one_timestep_serves_the_batch():
    model = awake(tiny())
    x, _, states, mask = inputs()
    assert_close(model(x, 7, states, mask).sample, model(x, torch.full((3,), 7.0), states, mask).sample)


def test_details_are_added_on_a_grid_finer_than_the_patches():
    model = awake(tiny(sample_size=32, patch_size=4, detail=6, norm_groups=0))
    x, t, states, mask = inputs(32)
    with torch.no_grad():
        model.stem.weight.zero_()  # the body sees nothing of the picture, which now passes through the head alone
        before = model(x, t, states, mask).sample
        x[:, :, 18:20, 10:12] += 1  # a cell of the head's grid
        rows, columns = ((model(x, t, states, mask).sample - before).abs().amax((0, 1)) > 1e-6).nonzero().unbind(1)
    # Six convolutions of the head reach six cells of two pixels to each side.
    assert (int(rows.min()), int(rows.max())) == (18 - 12, 31)
    assert (int(columns.min()), int(columns.max())) == (0, 10 + 1 + 12)


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_the_gradient_reaches_every_parameter(changes):
    model = tiny(**changes)
    x, t, states, mask = inputs(model.config.sample_size, model.config.in_channels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):  # layers that start at zero open to the gradient one after another
        optimizer.zero_grad()
        (model(x, t, states, mask).sample - 1).square().mean().backward()
        optimizer.step()
    without = [name for name, parameter in model.named_parameters() if not parameter.grad.abs().max() > 0]
    assert without == []


def test_dropout_acts_in_training_only():
    model = awake(tiny(dropout=0.5))
    x, t, states, mask = inputs()
    assert not torch.equal(model.train()(x, t, states, mask).sample, model(x, t, states, mask).sample)
    assert torch.equal(model.eval()(x, t, states, mask).sample, model(x, t, states, mask).sample)


def test_saving_and_loading(tmp_path):
    model = awake(tiny(schedule="linear", prediction_type="epsilon", num_train_timesteps=50)).eval()
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    loaded = UNet.from_pretrained(tmp_path)
    assert tuple(loaded.config.block_out_channels) == (8, 16)
    for key in ("patch_size", "schedule", "prediction_type", "num_train_timesteps", "shift"):
        assert loaded.config[key] == model.config[key]
    assert torch.equal(loaded(*inputs()).sample, model(*inputs()).sample)


def test_half_precision_takes_single_precision_inputs():
    model = tiny().to(torch.bfloat16)
    assert model(*inputs()).sample.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("article", 115e6, 123e6),
        ("cpu", 5e6, 32 * 2**20),  # its weights in bfloat16 must fit into the package: 64 MiB
        ("gpu", 5e6, 32 * 2**20),
        ("transformer", 5e6, 32 * 2**20),
        ("tiny", 0, 2e6),
    ],
)
def test_presets_are_as_large_as_they_say(name, low, high):
    with torch.device("meta"):
        model = build_network(**asdict(preset(name).model), **Process().to_config(), cross_attention_dim=384)
    assert low < sum(p.numel() for p in model.parameters()) < high


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"attention_levels": (True,)}, ["block_out_channels has 2 levels", "attention_levels 1"]),
        ({"block_out_channels": (), "attention_levels": ()}, ["0 levels"]),
        ({"sample_size": 20}, ["sample_size 20", "multiple of 8"]),
        ({"attention_head_dim": 5}, ["[8, 16]", "attention_head_dim 5"]),
        ({"block_out_channels": (7, 16)}, ["[7, 16]", "even"]),
        ({"detail": 4, "patch_size": 1}, ["model.detail", "not 1"]),
        ({"detail": 4, "patch_size": 8}, ["model.detail", "multiple of 16, not 8"]),
    ],
)
def test_settings_that_contradict_one_another_are_named(changes, words):
    with pytest.raises(UserError) as caught:
        tiny(**changes)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_masked_mean():
    states = torch.tensor([[[1.0], [3.0], [100.0]]])
    assert masked_mean(states, torch.tensor([[True, True, False]])).item() == 2
    assert masked_mean(states, torch.zeros(1, 3, dtype=torch.bool)).item() == 0  # no token, no NaN
    assert masked_mean(states[:, :2], None).item() == 2
