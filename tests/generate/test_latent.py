"""Diffusion among the latents of an autoencoder."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.base.pictures import to_grey
from glyffuser.config import AUTOENCODER
from glyffuser.data.fonts import Rasteriser, default_font
from glyffuser.generate.draw import draw
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Request
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.build import load_companion
from glyffuser.train.latents import encoded
from training_runs import Run, assert_same, finish

FEW = Request("gold", n=2, steps=2)


@pytest.fixture
def autoencoder(small_autoencoder):
    return small_autoencoder()


@pytest.fixture
def config(tiny_config, autoencoder, tmp_path):
    autoencoder.save_pretrained(tmp_path / "autoencoder")
    tiny_config.model.autoencoder = str(tmp_path / "autoencoder")
    tiny_config.model.patch_size = 1
    return tiny_config


def test_a_run_learns_latents_and_its_model_carries_the_autoencoder(config, autoencoder, tmp_path):
    run = Run(config, tmp_path / "run")
    batch = run.parts.batch(0)
    assert batch.x0.shape[1:] == (3, 8, 8)
    assert (run.state.network.config.in_channels, run.state.network.config.sample_size) == (3, 8)
    finish(run)
    pipe = load_pipeline(tmp_path / "run")
    for name, weight in autoencoder.state_dict().items():
        torch.testing.assert_close(pipe.vae.state_dict()[name], weight, rtol=0, atol=0)
    assert pipe.size == 32
    images = draw(pipe, ["gold", "fish"], FEW)
    assert (images.shape, images.dtype) == ((2, 32, 32), np.uint8)
    steps = list(pipe.stream("gold", num_inference_steps=2, generator=torch.Generator().manual_seed(0)))
    settings: dict[str, Any] = {
        "generator": torch.Generator().manual_seed(0),
        "output_type": "pt",
        "return_dict": False,
    }
    (same,) = pipe("gold", num_inference_steps=2, **settings)
    torch.testing.assert_close(same, pipe.vae.to_images(steps[-1].x))
    with pytest.raises(UserError, match="a latent model cannot start from a picture"):
        draw(pipe, ["gold"], replace(FEW, init="水", strength=0.5))


def test_a_stopped_run_goes_on_exactly_with_its_own_autoencoder(config, autoencoder, tmp_path):
    whole = Run(config, tmp_path / "whole")
    finish(whole)
    finish(Run(config, tmp_path / "halves"), stop_at=6)
    for parameter in autoencoder.parameters():
        parameter.data += 1  # the autoencoder that the settings name has changed meanwhile
    autoencoder.save_pretrained(tmp_path / "autoencoder")
    resumed = Run(config, tmp_path / "halves")
    finish(resumed)
    assert_same(whole, resumed)


def test_latents_are_computed_once(autoencoder, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32), np.uint8)
    told: list[tuple[int, int]] = []
    first = encoded(autoencoder, images, tmp_path, lambda *at: told.append(at))
    again = encoded(autoencoder, images, tmp_path, lambda *at: told.append(at))
    assert torch.equal(first, again)
    assert told == [(5, 5)]
    direct = autoencoder.to_latents(torch.from_numpy(images)[:, None].float() / 127.5 - 1)
    torch.testing.assert_close(first, direct, atol=0.01, rtol=0.01)
    autoencoder.register_to_config(scaling_factor=2 * autoencoder.config.scaling_factor)
    assert not torch.equal(encoded(autoencoder, images, tmp_path), first)


@pytest.mark.parametrize("keep", [0, 5, -1])
def test_a_damaged_file_of_latents_is_made_anew_with_a_warning(autoencoder, tmp_path, keep):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32), np.uint8)
    first = encoded(autoencoder, images, tmp_path / "latents")
    (path,) = (tmp_path / "latents").iterdir()
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.warns(UserWarning, match=f"{path.name} is damaged and is rebuilt"):
        assert torch.equal(encoded(autoencoder, images, tmp_path / "latents"), first)
    assert torch.equal(encoded(autoencoder, images, tmp_path / "latents"), first)  # without one


def test_real_glyphs_come_back_from_the_bundled_autoencoder_nearly_as_they_were():
    rasteriser, network = Rasteriser(default_font(), 128), load_companion(AUTOENCODER, Autoencoder)
    real = np.stack([rasteriser.render(char) for char in "鋰鰻病籃"])
    latents = network.to_latents(torch.from_numpy(real)[:, None].float() / 127.5 - 1)
    assert latents.shape == (4, 4, 16, 16)
    assert latents.std() == pytest.approx(1, abs=0.2)
    ink, again = real < 128, to_grey(network.to_images(latents)) < 128
    assert (ink & again).sum() / (ink | again).sum() > 0.97


def test_an_autoencoder_of_another_size_is_refused_before_a_text_is_read(config, tmp_path, monkeypatch):
    monkeypatch.setattr("glyffuser.train.setup.encode_cached", None)
    sizes = {"sample_size": 16, "patch_size": 2, "block_out_channels": (8, 16), "layers_per_block": 1}
    Autoencoder(**sizes, latent_channels=3).save_pretrained(tmp_path / "autoencoder")
    with pytest.raises(UserError, match="is for 16-pixel glyphs, the model wants 32"):
        Run(config, tmp_path / "run")
    config.model.autoencoder = "bundled"
    with pytest.raises(UserError, match="the autoencoder in bundled is for 128-pixel glyphs"):
        Run(config, tmp_path / "run")
    config.model.autoencoder = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no Autoencoder"):
        Run(config, tmp_path / "run")
