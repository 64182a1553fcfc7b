"""The transformer: shapes, places, conditioning, gradients, and a run from first step to glyph."""

from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

import glyffuser
from glyffuser.base.errors import UserError
from glyffuser.commands.cli import main
from glyffuser.config import Config, ModelConfig, override, preset
from glyffuser.diffusion.process import Process
from glyffuser.generate.load import load_pipeline
from glyffuser.networks.build import build_network
from glyffuser.networks.conditioned import ConditionedNetwork
from glyffuser.networks.transformer import RotaryAttention, Transformer, places, rotary_angles, rotated
from glyffuser.train.optimizer import split_parameters
from tiny import shake
from training_runs import Run, finish, resumed_exactly, told, towered


def tiny(**changes: Any) -> ConditionedNetwork:
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        **asdict(ModelConfig()),
        **Process().to_config(),
        "kind": "transformer",
        "sample_size": 16,
        "patch_size": 4,
        "block_out_channels": (16,),
        "layers_per_block": 2,
        "attention_head_dim": 8,
        "mlp_ratio": 1.5,
        "cross_attention_dim": 6,
    }
    return build_network(**(settings | changes))


def awake(model: ConditionedNetwork) -> ConditionedNetwork:
    """The same network with no parameter at zero, as after some training."""
    shake(model)
    return model


def inputs(size: int = 16, channels: int = 1) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, states = (torch.randn(shape, generator=generator) for shape in ((3, channels, size, size), (3, 5, 6)))
    return x, torch.tensor([0.0, 400.5, 999.0]), states, torch.arange(5) < torch.tensor([[1], [3], [5]])


SHAPES: dict[str, dict[str, Any]] = {
    "plain pixels": {"patch_size": 1, "sample_size": 8},
    "colour": {"in_channels": 3},
    "with radical and tower": {"num_class_embeds": 5, "pooled_dim": 7},
    "with parts": {"components": "氵馬木"},
}


def told_all(model: ConditionedNetwork) -> dict[str, Tensor]:
    """What the network takes besides token states."""
    more = {"class_labels": torch.tensor([0, 3, 4])} if model.config.num_class_embeds else {}
    if model.config.components:
        more["part_labels"] = torch.tensor([[[1, 1], [2, 2]], [[3, 3], [0, 0]], [[0, 0], [0, 0]]])
    return more | (
        {"pooled_projections": torch.arange(3.0 * model.config.pooled_dim).view(3, -1).sin()}
        if model.config.pooled_dim
        else {}
    )


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_output_has_the_shape_of_the_input_and_starts_at_zero(changes):
    model = tiny(**changes)
    x, t, states, mask = inputs(model.config.sample_size, model.config.in_channels)
    assert_close(model(x, t, states, mask, **told_all(model)).sample, torch.zeros_like(x))
    output = awake(model)(x, t, states, mask, return_dict=False, **told_all(model))[0]
    assert output.shape == x.shape
    assert output.abs().min() > 0


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_the_gradient_reaches_every_parameter(changes):
    model = tiny(**changes)
    x, t, states, mask = inputs(model.config.sample_size, model.config.in_channels)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):  # layers that start at zero open to the gradient one after another
        optimizer.zero_grad()
        (model(x, t, states, mask, **told_all(model)).sample - 1).square().mean().backward()
        optimizer.step()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_every_parameter_has_one_place(changes):
    model = tiny(**changes)
    matrices, others = split_parameters(model)  # raises where one has none, or two
    assert all(parameter.ndim == 2 for parameter in matrices)
    flat = {name for name, p in model.named_parameters() if p.ndim >= 2 and any(p is other for other in others)}
    labels = {"class_embedding.weight"} if model.config.num_class_embeds else set()
    labels |= {"part_embedding.weight", "place_embedding.weight"} if model.config.components else set()
    assert flat == {"patch_in.weight", "patch_out.weight"} | labels


def test_every_input_matters():
    model = awake(tiny(num_class_embeds=5))
    x, t, states, mask = inputs()
    labels = torch.tensor([1, 2, 3])
    before = model(x, t, states, mask, labels).sample
    for changed in (
        (x + 1, t, states, mask, labels),
        (x, t + 1, states, mask, labels),
        (x, t, states + 1, mask, labels),
        (x, t, states, None, labels),
        (x, t, states, mask, labels + 1),
    ):
        assert not torch.allclose(model(*changed).sample, before)


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


def scores(q: Tensor, k: Tensor, rows: slice, columns: slice) -> Tensor:
    """Scores among 3 x 3 places of an 8 x 8 grid that hold the queries and keys (9, d)."""
    angles = rotary_angles(8, 8, q.shape[-1]).unflatten(0, (8, 8))[rows, columns].flatten(0, 1)
    return rotated(q, angles) @ rotated(k, angles).T


def test_scores_depend_on_how_places_lie_to_one_another_alone():
    torch.manual_seed(0)
    q, k = torch.randn(9, 16), torch.randn(9, 16)
    first = scores(q, k, slice(0, 3), slice(0, 3))
    for row, column in ((0, 5), (4, 0), (2, 3)):
        assert_close(scores(q, k, slice(row, row + 3), slice(column, column + 3)), first, rtol=1e-4, atol=1e-4)
    stretched = scores(q, k, slice(0, 5, 2), slice(0, 3))
    assert not torch.allclose(stretched, first, atol=1e-2)
    assert_close(torch.diag(stretched), torch.diag(first))  # a place has not moved relative to itself


def test_patches_of_a_blank_know_where_they_are():
    """With rotations alone, patches of one colour would be alike: nothing would tell them apart."""
    x, t, states, mask = inputs()
    drawn = awake(tiny())(torch.zeros_like(x), t, states, encoder_attention_mask=mask, return_dict=False)[0]
    patches = drawn.detach().unfold(2, 4, 4).unfold(3, 4, 4).flatten(2, 3).flatten(3)  # (B, C, 16, 16)
    apart = torch.cdist(patches[:, 0], patches[:, 0]) + 1e3 * torch.eye(16)
    assert float(apart.min()) > 1e-3
    assert_close(places(4, 4, 16).square().sum(dim=1), torch.full((16,), 8.0))


def test_each_axis_turns_half_of_the_channels():
    q = torch.randn(16, 8)
    by_row = rotated(q, rotary_angles(16, 1, 8)) != q
    by_column = rotated(q, rotary_angles(1, 16, 8)) != q
    assert by_row[1:].any(dim=0).tolist() == [True, True, False, False] * 2
    assert by_column[1:].any(dim=0).tolist() == [False, False, True, True] * 2
    assert_close(rotated(q, rotary_angles(4, 4, 8)).norm(dim=1), q.norm(dim=1))


def test_rotations_are_those_of_complex_numbers():
    q, angles = torch.randn(12, 8), rotary_angles(3, 4, 8)
    turned = torch.complex(q[:, :4], q[:, 4:]) * torch.polar(torch.ones_like(angles), angles)
    assert_close(rotated(q, angles), torch.cat([turned.real, turned.imag], dim=1))
    assert angles[7].tolist() == pytest.approx([1, 0.1, 3, 0.3])  # row 1, column 3; frequencies 1 and 100 ** -0.5


def test_attention_is_pytorchs_own_where_nothing_turns():
    """With equal angles everywhere, rotations cancel, and only the normalisation of queries and keys is left."""
    torch.manual_seed(0)
    layer = RotaryAttention(16, 8)
    x = torch.randn(2, 9, 16)
    q, k, v = layer.to_qkv(x).view(2, 9, 3, 2, 8).permute(2, 0, 3, 1, 4)
    q, k = (part * part.square().mean(-1, keepdim=True).add(1e-6).rsqrt() for part in (q, k))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 9, 16)
    assert_close(layer(x, torch.full((9, 4), 0.7)), layer.to_out(expected))


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_takes_single_precision_inputs(autocast, recwarn):
    model = awake(tiny())
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        output = (model if autocast else model.to(torch.bfloat16))(*inputs()).sample
    assert output.dtype == torch.bfloat16
    assert_close(output.float(), awake(tiny())(*inputs()).sample, rtol=0.1, atol=0.1)
    assert [str(warning.message) for warning in recwarn] == []


def test_saving_and_loading(tmp_path):
    model = awake(tiny(schedule="linear", prediction_type="epsilon", num_train_timesteps=50)).eval()
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    loaded = glyffuser.Transformer.from_pretrained(tmp_path)
    assert loaded.process == model.process
    assert torch.equal(loaded(*inputs()).sample, model(*inputs()).sample)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"block_out_channels": (16, 32)}, ["[16, 32]", "single width", "--set model.block_out_channels"]),
        ({"sample_size": 18}, ["sample_size 18", "patch_size 4"]),
        ({"attention_head_dim": 6}, ["[16]", "attention_head_dim 6", "multiple of 4"]),
        ({"attention_head_dim": 12}, ["[16]", "attention_head_dim 12"]),
        ({"mlp_ratio": 0.0}, ["mlp_ratio 0"]),
    ],
)
def test_settings_that_contradict_one_another_are_named(changes, words):
    with pytest.raises(UserError) as caught:
        tiny(**changes)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def multiply_adds(name: str) -> int:
    """The multiply-adds of a preset's network for one glyph and 16 tokens."""
    config = preset(name)
    with torch.device("meta"):
        made = build_network(**asdict(config.model), **Process().to_config(), cross_attention_dim=384, pooled_dim=256)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            made(torch.zeros(1, 1, 128, 128), 1.0, torch.zeros(1, 16, 384), pooled_projections=torch.zeros(1, 256))
    return counter.get_total_flops() // 2


def test_its_preset_costs_what_the_one_of_the_unet_does():
    assert multiply_adds("transformer") == pytest.approx(multiply_adds("cpu"), rel=0.03)


@pytest.fixture
def transformer_config(tiny_config: Config) -> Config:
    """A run of 8 steps with everything that a network may be told."""
    return towered(
        told(override(tiny_config, ["model.kind=transformer", "model.block_out_channels=[16]", "train.optimizer=muon"]))
    )


def test_it_learns(transformer_config, tmp_path):
    """It learns one batch by heart."""
    c = transformer_config.train
    c.lr, c.max_steps, c.decay = 1e-2, 36, 0.0
    run = Run(transformer_config, tmp_path)
    batch = run.parts.batch(0)
    run.parts.batches.draw = lambda *_: batch
    losses = [progress.loss for progress in finish(run)]
    assert losses[-1] < 0.5 * losses[0]


def test_a_run_goes_from_the_first_step_to_a_glyph(transformer_config, tmp_path, capsys):
    run = Run(transformer_config, tmp_path / "run")
    finish(run)
    pipe = load_pipeline(tmp_path / "run")
    assert isinstance(pipe.unet, Transformer)
    for ours, averaged in zip(pipe.unet.parameters(), run.state.ema.shadow_params, strict=True):
        assert torch.equal(ours, averaged)
    images = pipe("gold", num_inference_steps=2, output_type="np", return_dict=False)[0]
    assert images.shape == (1, 32, 32, 1)
    command = ["sample", "gold", "-n", "1", "--steps", "2", "--model", str(tmp_path / "run"), "--out", str(tmp_path)]
    assert main(command) == 0
    assert (tmp_path / "gold-0-0.png").is_file()
    capsys.readouterr()
    dry = ["train", "--dry-run", "--out", str(tmp_path / "run"), "--max-steps", "20"]
    assert main(dry) == 0
    assert "M parameters" in capsys.readouterr().out


def test_a_stopped_run_resumes_exactly(transformer_config, tmp_path):
    resumed_exactly(transformer_config, tmp_path)
