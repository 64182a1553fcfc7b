"""What a run will take, counted by hand, and with nothing touched."""

import json

import pytest
import torch
from torch import nn

from glyffuser.commands.cli import main
from glyffuser.config import TrainConfig, dump_config, override
from glyffuser.networks import layers
from glyffuser.train.forecast import end, forecast, kept, multiply_adds
from training_runs import Run, finish, listing, told


def test_multiply_adds_are_those_of_every_layer(tiny_config, tmp_path, monkeypatch):
    run, counted = Run(tiny_config, tmp_path), 0
    batch = run.parts.batch(0)

    def count(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal counted
        if isinstance(module, nn.Conv2d):  # each number of the output is a product with one kernel
            counted += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            counted += output.numel() * module.in_features

    plain = layers.plain_attention

    def attention(q: torch.Tensor, k: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
        nonlocal counted
        counted += 2 * q.numel() * k.shape[2]  # q k^T, and its product with v
        return plain(q, k, *rest)

    for module in run.state.network.modules():
        module.register_forward_hook(count)
    monkeypatch.setattr(layers, "plain_attention", attention)
    assert multiply_adds(run.state.network, batch) == counted // len(batch.x0) > 0


def test_what_a_forward_pass_keeps():
    layer, x = nn.Linear(3, 5), torch.ones(7, 3)
    # The input, for the gradient of the weight, and the rectifier's output; the weight is there in any case.
    assert kept(lambda: layer(x).relu().sum(), layer.parameters()) == 4 * (7 * 3 + 7 * 5)


@pytest.mark.parametrize(
    ("optimizer", "moments"),
    [("adamw", 2), ("muon", 1)],  # moments of the weight matrices, which are nearly all weights
)
def test_memory_is_that_of_weights_averages_and_moments(tiny_config, tmp_path, optimizer, moments):
    wide = ["model.block_out_channels=[8,16]", "model.attention_levels=[false,false]"]
    one_length = ["data.drop=1.0"]  # of all captions
    override(tiny_config, [f"train.optimizer={optimizer}", "train.mixed_precision=no", *wide, *one_length])
    small, large = (
        forecast(run.parts, run.state)
        for run in (Run(override(tiny_config, [f"train.batch_size={n}"]), tmp_path) for n in (8, 16))
    )
    weights = 4 * small.parameters
    assert small.memory.weights == small.memory.averages == weights
    assert small.memory.optimizer == pytest.approx(moments * weights, rel=0.1)
    kept_small, kept_large = small.memory.step - weights, large.memory.step - weights
    assert kept_large == pytest.approx(2 * kept_small, rel=0.01)


@pytest.mark.parametrize(
    ("settings", "step", "minutes", "steps", "left", "by"),
    [
        ({"max_steps": 100}, 0, 0.0, 100, 5.0, "train.max_steps"),  # 3 seconds a step
        ({"max_steps": 100}, 60, 7.0, 100, 2.0, "train.max_steps"),
        ({"max_steps": 100, "max_minutes": 4.0}, 0, 0.0, 80, 4.0, "train.max_minutes"),
        ({"max_steps": 100, "max_minutes": 4.0}, 30, 3.0, 50, 1.0, "train.max_minutes"),
        ({"max_steps": 100, "max_minutes": 9.0}, 0, 0.0, 100, 5.0, "train.max_steps"),
        ({"max_steps": 100, "max_minutes": float("inf")}, 0, 0.0, 100, 5.0, "train.max_steps"),
        ({"max_steps": 100}, 100, 7.0, 100, 0.0, "train.max_steps"),
        ({"max_steps": 100, "max_minutes": 4.0}, 70, 4.5, 70, 0.0, "train.max_minutes"),
    ],
)
def test_where_a_run_ends(settings, step, minutes, steps, left, by):
    found = end(TrainConfig(**settings), step, minutes, seconds=3.0, passes_a_step=0.25)
    assert (found.steps, found.passes, found.by) == (steps, steps / 4, by)
    assert (found.minutes_left, found.minutes) == pytest.approx((left, minutes + left))


def test_a_dry_run_touches_nothing(tiny_config, tmp_path, capsys):
    settings, out = tmp_path / "settings.toml", tmp_path / "run"
    settings.write_text(dump_config(told(tiny_config)))
    command = ["train", "--dry-run", "--json", "--out", str(out)]
    assert main([*command, "--config", str(settings)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert not out.exists()
    assert (facts["at_step"], facts["end"]["steps"]) == (0, 8)
    assert facts["end"]["passes"] == 1.0  # 8 steps of 8 glyphs, of 64
    finish(Run(tiny_config, out))
    before = listing(out)
    assert main([*command, "--max-steps", "20"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["at_step"], facts["end"]["steps"]) == (8, 20)
    assert main([*command[:2], *command[3:]]) == 0
    assert "M parameters" in capsys.readouterr().out
    assert main([*command, "--set", "model.mlp_ratio=3.0"]) == 2  # refused as a run would be
    assert "model.mlp_ratio" in capsys.readouterr().err
    assert listing(out) == before
