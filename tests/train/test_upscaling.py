"""Training an upscaler, by the loop that trains everything else."""

import json

import pytest
import torch
import torch.nn.functional as F

from glyffuser.base.errors import UserError
from glyffuser.config import override, preset
from glyffuser.diffusion.conditions import Small
from glyffuser.networks.build import load_companion
from glyffuser.networks.upscaler import Upscaler
from glyffuser.train.forecast import forecast
from glyffuser.train.setup import setup
from glyffuser.train.step import build_stepper
from training_runs import Run, finish, resumed_exactly


@pytest.fixture
def config(tiny_data):
    small = ["model.sample_size=32", "model.low_size=8", "model.crop=16", "model.patch_size=4"]
    sizes = ["model.block_out_channels=[8, 16]", "model.layers_per_block=1", "train.batch_size=8", "train.max_steps=8"]
    pace = ["train.preview_every=4", "train.checkpoint_every=5", "train.log_every=1", "train.warmup_steps=2"]
    return override(preset("upscale128"), [f"data.path={tiny_data}", *small, *sizes, *pace])


def test_a_small_picture_is_the_mean_of_its_patch_and_noise_is_told(config):
    config.data.low_noise = 0.0
    batch = setup(config).batch(3)
    assert isinstance(batch.cond, Small)
    assert (batch.x0.shape, batch.cond.image.shape) == ((8, 1, 16, 16), (8, 1, 4, 4))
    torch.testing.assert_close(batch.cond.image, F.interpolate(batch.x0, scale_factor=1 / 4, mode="area"))
    config.data.low_noise = 0.5
    loud = setup(config).batch(3)
    assert 0 < loud.cond.noise.min() < loud.cond.noise.max() < 0.5
    torch.testing.assert_close(loud.x0, batch.x0)
    left = loud.cond.image - (1 - loud.cond.noise[:, None, None, None]) * batch.cond.image
    size = left.flatten(1).std(dim=1) / loud.cond.noise  # of standard normal noise
    assert 0.6 < size.min() < size.max() < 1.5


def test_a_batch_is_a_function_of_its_place(config):
    parts = setup(config)
    one, same, other = parts.batch(8), setup(config).batch(8), parts.batch(16)
    assert torch.equal(one.x0, same.x0)
    assert torch.equal(one.cond.image, same.cond.image)
    assert not torch.equal(one.x0, other.x0)
    whole = parts.batches.draw(8, 16)
    assert torch.equal(whole.x0, torch.cat([one.x0, other.x0]))
    assert torch.equal(whole.cond.image, torch.cat([one.cond.image, other.cond.image]))


def test_a_run_leaves_a_model_previews_and_scores(config, tmp_path):
    run = Run(config, tmp_path)
    assert all(torch.isfinite(torch.tensor(step.loss)) for step in finish(run))
    network = load_companion(tmp_path, Upscaler)
    assert (network.config.low_size, network.config.crop) == (8, 16)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        "step-00000004.png",
        "step-00000008.png",
    ]
    scores = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [set(line) for line in scores] == [{"step", "error", "bicubic"}] * 2
    started = override(config, [f"train.init={tmp_path}"])
    again = Run(started, tmp_path / "again").state.network.state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in network.state_dict().items())


def test_it_learns(config, tmp_path):
    config.train.max_steps, config.train.preview_every = 75, 1000
    fresh, run = Run(config, tmp_path / "fresh"), Run(config, tmp_path / "run")
    finish(run)
    assert mean_loss(run) < 0.9 * mean_loss(fresh)


def mean_loss(run: Run) -> float:
    """The mean loss of the network as it is, over the first twenty batches."""
    stepper = build_stepper(run.parts, run.state)
    with torch.no_grad():
        return sum(float(stepper.loss(run.parts.batch(8 * k))) for k in range(20)) / 20


def test_a_stopped_run_goes_on_exactly(config, tmp_path):
    resumed_exactly(config, tmp_path)


def test_a_run_is_foretold(config, tmp_path):
    run = Run(config, tmp_path)
    assert forecast(run.parts, run.state).parameters == sum(p.numel() for p in run.parts.network.parameters())


def test_a_data_set_of_another_size_is_refused(config):
    config.model.sample_size, config.model.low_size = 64, 16
    with pytest.raises(UserError, match="holds 32-pixel glyphs, the model wants 64"):
        setup(config)
