"""The upscaler."""

import json

import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.networks.build import load_companion
from glyffuser.networks.upscaler import Upscaler, enlarged
from glyffuser.train.optimizer import split_parameters


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 1, 16, 16, generator=generator), torch.randn(2, 1, 4, 4, generator=generator)


def test_a_fresh_one_answers_with_the_small_picture_enlarged(small_upscaler):
    x, low = batch()
    out = small_upscaler()(x, 500, low, torch.zeros(2)).sample
    torch.testing.assert_close(out, enlarged(low, 4))


def test_it_heeds_the_picture_the_time_the_small_one_and_its_noise(small_upscaler):
    network, (x, low), (other_x, other_low) = small_upscaler(noisy=True), batch(), batch(1)
    calm, loud = torch.zeros(2), torch.full((2,), 0.3)
    with torch.no_grad():
        first = network(x, 500, low, calm).sample
        for inputs in ((other_x, 500, low, calm), (x, 100, low, calm), (x, 500, other_low, calm), (x, 500, low, loud)):
            assert (network(*inputs).sample - first).abs().max() > 1e-3
        one = network(x[:1], torch.tensor([500.0]), low[:1], calm[:1], return_dict=False)[0]
    torch.testing.assert_close(one, first[:1], atol=1e-5, rtol=1e-4)


def test_it_works_on_pictures_larger_than_its_tiles(small_upscaler):
    network = small_upscaler(noisy=True)
    assert network(torch.randn(1, 1, 32, 32), 1, torch.randn(1, 1, 8, 8), torch.zeros(1)).sample.shape == (1, 1, 32, 32)


def test_every_parameter_is_in_one_group_and_learns(small_upscaler):
    network, (x, low) = small_upscaler(noisy=True), batch()
    matrices, others = split_parameters(network)
    assert len(matrices) + len(others) == len(list(network.parameters()))
    network(x, 500, low, torch.full((2,), 0.3)).sample.square().mean().backward()
    assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"low_size": 0}, "model.low_size 0"),
        ({"low_size": 12}, "not a multiple of model.low_size 12"),
        ({"crop": 0}, "model.crop 0 must be"),
        ({"crop": 20}, "model.crop 20 must be a multiple of 4, .* and of 8"),
        ({"crop": 64}, "at most 32"),
        ({"prediction_type": "epsilon"}, "diffusion.prediction_type=sample, not epsilon"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(small_upscaler, settings, words):
    with pytest.raises(UserError, match=words):
        small_upscaler(**settings)


def test_it_is_saved_and_loaded_with_its_process(small_upscaler, tmp_path):
    network = small_upscaler(noisy=True)
    network.save_pretrained(tmp_path / "model")
    for folder in (tmp_path / "model", tmp_path):  # a run folder, too
        again = load_companion(folder, Upscaler)
        assert again.process == network.process
        for name, weight in network.state_dict().items():
            torch.testing.assert_close(again.state_dict()[name], weight, rtol=0, atol=0)


def test_a_process_that_there_is_not_is_refused(small_upscaler, tmp_path):
    small_upscaler().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"schedule": "sine"}))
    with pytest.raises(UserError, match="unknown schedule 'sine'"):
        load_companion(tmp_path, Upscaler)


def test_other_folders_are_refused(tiny_model, tmp_path):
    with pytest.raises(UserError, match="holds no Upscaler"):
        load_companion(tmp_path, Upscaler)
    with pytest.raises(UserError, match="class UNet, not Upscaler"):
        load_companion(tiny_model / "unet", Upscaler)
