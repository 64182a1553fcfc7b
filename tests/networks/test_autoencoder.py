"""The autoencoder: its latents, its loss, its training by the loop that trains everything else."""

import json

import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.config import override, preset
from glyffuser.networks.autoencoder import INK, KL, Autoencoder, Reconstruction, autoencoder_loss
from glyffuser.networks.build import load_companion
from glyffuser.train.forecast import forecast
from glyffuser.train.optimizer import split_parameters
from training_runs import Run, finish, resumed_exactly


@pytest.fixture
def network():
    torch.manual_seed(0)
    sizes = {"sample_size": 16, "patch_size": 2, "block_out_channels": (8, 16), "layers_per_block": 1}
    return Autoencoder(**sizes, latent_channels=3).eval()


@pytest.fixture
def config(tiny_data):
    sizes = ["model.sample_size=32", "model.block_out_channels=[8, 16]", "train.batch_size=8", "train.max_steps=8"]
    pace = ["train.preview_every=4", "train.checkpoint_every=5", "train.log_every=1", "train.warmup_steps=2"]
    return override(preset("autoencoder"), [f"data.path={tiny_data}", *sizes, *pace])


def test_latents_have_the_size_it_says_and_are_normalised(network):
    images = torch.rand(8, 1, 16, 16) * 2 - 1
    network.normalise(images)
    latents = network.to_latents(images)
    assert latents.shape == (8, 3, network.latent_size, network.latent_size) == (8, 3, 4, 4)
    assert abs(float(latents.mean())) < 0.05
    assert 0.95 < float(latents.std()) < 1.05
    assert network.to_images(latents).shape == images.shape


def test_normalising_does_not_change_what_comes_back(network):
    images = torch.rand(4, 1, 16, 16) * 2 - 1
    before = network.to_images(network.to_latents(images))
    network.normalise(images)
    torch.testing.assert_close(network.to_images(network.to_latents(images)), before, atol=0.02, rtol=0.02)


def test_a_walk_begins_and_ends_at_its_glyphs(network):
    one, other = torch.rand(2, 1, 16, 16) * 2 - 1
    walk = network.between(one, other, 5)
    ends = network.to_images(network.to_latents(torch.stack([one, other])))
    torch.testing.assert_close(walk[[0, -1]], ends, atol=0.02, rtol=0.02)
    assert (walk[2] - walk[0]).abs().max() > 0


def test_the_loss_by_hand():
    images = torch.zeros(1, 1, 4, 4)
    images[..., 2:] = 1.0  # one edge
    flat = Reconstruction(torch.zeros(1, 1, 4, 4), torch.tensor([2.0]))
    expected = 0.5 + INK * 4 / 12 + KL * 2.0
    torch.testing.assert_close(autoencoder_loss(flat, images), torch.tensor([expected]))
    torch.testing.assert_close(autoencoder_loss(Reconstruction(images, torch.zeros(1)), images), torch.zeros(1))


def test_every_parameter_is_in_one_group(network):
    matrices, others = split_parameters(network)
    assert len(matrices) + len(others) == len(list(network.parameters()))


@pytest.mark.parametrize("settings", [{"sample_size": 18}, {"block_out_channels": (8, 12)}])
def test_settings_that_contradict_one_another_are_refused(network, settings):
    sizes = {"sample_size": 16, "patch_size": 2, "block_out_channels": (8, 16), "layers_per_block": 1}
    with pytest.raises(UserError, match=r"an autoencoder's model.sample_size"):
        Autoencoder(**{**sizes, **settings}, latent_channels=3)


def test_a_run_leaves_a_normalised_model_and_goes_on_exactly(config, tmp_path):
    whole, _ = resumed_exactly(config, tmp_path)
    saved = load_companion(tmp_path / "whole", Autoencoder)
    assert saved.config.in_channels == 1
    latents = saved.to_latents(whole.parts.batches.images(range(32)))
    assert 0.8 < float(latents.std()) < 1.2
    scores = [json.loads(line) for line in (tmp_path / "whole" / "scores.jsonl").read_text().splitlines()]
    assert [set(line) for line in scores] == [{"step", "error"}] * 2


def test_a_run_is_foretold(config, tmp_path):
    run = Run(config, tmp_path)
    told = forecast(run.parts, run.state)
    assert told.parameters == sum(parameter.numel() for parameter in run.parts.network.parameters())
    assert told.multiply_adds > 0


def test_it_learns(config, tmp_path):
    config.train.max_steps, config.train.preview_every = 60, 1000
    losses = [step.loss for step in finish(Run(config, tmp_path))]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
