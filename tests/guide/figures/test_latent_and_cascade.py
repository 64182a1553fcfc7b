"""The figures of latent diffusion and of the cascade: what they show, with networks and without, and their numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from glyffuser.commands.cli import main
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.cascade import enlarge
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.schedulers import GlyffuserScheduler
from glyffuser.guide import store
from glyffuser.guide.catalogue import FIGURES
from glyffuser.guide.drawn import Missing, Still, Tabs
from glyffuser.guide.figures.steering.cascade import CHARS, cascade, error, mean_small, ways, window
from glyffuser.guide.figures.steering.latent import (
    SHOWN,
    TIMES,
    drawing,
    latent,
    latent_sheets,
    noised_both,
    reconstruction_error,
)
from glyffuser.guide.inputs import Inputs
from glyffuser.networks.autoencoder import Autoencoder


@pytest.fixture(scope="module")
def autoencoder(small_autoencoder) -> Autoencoder:
    return small_autoencoder()


@pytest.fixture(scope="module")
def latent_model(autoencoder, tiny_model, small_unet, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("latent")
    unet = small_unet(sample_size=8, in_channels=3, patch_size=1).eval()
    encoder = load_pipeline(tiny_model).text_encoder
    GlyffuserPipeline(unet, encoder, GlyffuserScheduler.for_schedule(Schedule()), vae=autoencoder).save_pretrained(
        folder
    )
    return folder


def test_noise_goes_to_pixels_and_to_latents_alike(autoencoder):
    glyph = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    shown = noised_both(autoencoder, glyph, seed=0)
    assert shown.pixels.shape == shown.decoded.shape == (len(TIMES), 32, 32)
    for picture, time in zip(shown.pixels[1:], TIMES[1:], strict=True):
        noise = (picture - (1 - time) * glyph[0, 0].numpy()) / time  # flow matching follows a straight line
        assert abs(noise.std() - 1) < 0.1
    first = autoencoder.to_images(autoencoder.to_latents(glyph))[0, 0].numpy()
    np.testing.assert_allclose(shown.decoded[0], first, atol=0.05)
    assert np.abs(shown.decoded[-1] - first).mean() > 0.01


def test_latents_are_shown_channel_by_channel():
    latents = torch.zeros(2, 4, 5, 5)
    latents[0, 2] = 2.0
    sheets = latent_sheets(latents)
    assert sheets.dtype == np.uint8
    assert sheets.shape[0] == 2
    assert sheets[0].min() == int(127.5 - 84) < sheets[1].min() == 127
    assert (sheets[0] == sheets[0].min()).sum() == 25


def test_the_error_of_a_perfect_autoencoder_is_nought():
    class Perfect:
        to_latents = to_images = staticmethod(lambda x: x)

    class Inverting:
        to_latents, to_images = staticmethod(lambda x: x), staticmethod(lambda x: -x)

    glyphs = torch.ones(20, 1, 4, 4)
    assert reconstruction_error(Perfect(), glyphs) == 0  # type: ignore[arg-type]
    assert reconstruction_error(Inverting(), glyphs) == 1  # type: ignore[arg-type]


def test_by_default_the_bundled_autoencoder_shows_noise_in_both(inputs):
    drawn = latent(inputs)
    assert isinstance(drawn, Still)
    assert "1,024 numbers" in drawn.caption
    assert "16,384 pixels" in drawn.caption


def test_an_autoencoder_gives_a_still_and_a_latent_model_both_drawings(
    autoencoder, latent_model, tiny_data, tiny_model, tmp_path
):
    autoencoder.save_pretrained(tmp_path / "model")
    alone = Inputs(tiny_data, tiny_model, quick=True, cache=tmp_path, latent=tmp_path)
    drawn = latent(alone)
    assert isinstance(drawn, Still)
    assert "192 numbers" in drawn.caption
    assert "1,024 pixels" in drawn.caption
    both = Inputs(tiny_data, tiny_model, quick=True, cache=tmp_path, latent=latent_model)
    assert both.latent_pipe is not None
    drawn = latent(both)
    assert isinstance(drawn, Tabs)
    assert [name for name, _ in drawn.tabs] == ["Noise in both", "Drawing in both"]
    kept, pictures = drawing(both.latent_pipe, 8, seed=0)
    assert (len(kept), kept[0], kept[-1]) == (SHOWN, 1, 8)
    assert pictures.shape == (SHOWN, 32, 32)
    spec = FIGURES["latent"]
    assert (
        len({store.folder_of(spec, one) for one in (alone, both, Inputs(tiny_data, tiny_model, cache=tmp_path))}) == 3
    )


@pytest.mark.parametrize("command", ["guide", "figures"])
def test_a_latent_model_is_not_the_model_of_a_guide(command, latent_model, tiny_data, capsys):
    names = ["denoise"] if command == "figures" else ["--only", "denoise"]
    assert main([command, *names, "--model", str(latent_model), "--data", str(tiny_data)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "holds a latent model" in line
    assert "give it as --latent" in line


def test_a_model_on_pixels_is_no_latent_model(tiny_data, tiny_model):
    with pytest.raises(Missing, match="works on pixels"):
        _ = Inputs(tiny_data, tiny_model, latent=tiny_model).autoencoder


def test_small_pictures_are_means_and_their_noise_makes_the_curve_worse(small_upscaler):
    rng = np.random.default_rng(0)
    real = np.where(rng.random((8, 8)) < 0.5, 0, 255).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    small = mean_small(real, 4)
    np.testing.assert_array_equal(small, real[::4, ::4])
    upscaler = small_upscaler(sample_size=128, low_size=32, crop=32)
    row = ways("x", small, real, 4, upscaler, seed=0)
    errors = [error(each, real) for each in row.bicubic]
    assert 0 < errors[0] < errors[1] < errors[2]
    np.testing.assert_array_equal(row.drawn, enlarge([upscaler], small[None], 0)[0])


def test_the_detail_is_where_the_edges_are():
    small = np.full((40, 40), 255, np.uint8)
    small[22:30:2, 5:13] = 0
    top, left, side = window(small)
    assert side == 12
    assert top <= 22 < 30 <= top + side + 1
    assert left <= 5 < 13 <= left + side + 1


def test_the_cascade_is_drawn_by_the_bundled_upscaler_and_by_another(
    inputs, small_upscaler, tmp_path, tiny_data, tiny_model
):
    drawn = cascade(inputs)
    assert "drawn at 512 pixels and made 4 times smaller" in drawn.caption
    assert len(drawn.figure.axes) == len(CHARS) * 7  # small, a part, bicubic, two with noise, by diffusion, real
    upscaler = small_upscaler(noisy=True, sample_size=64, low_size=32, crop=32)
    upscaler.save_pretrained(tmp_path / "model")
    told = Inputs(tiny_data, tiny_model, quick=True, cache=tmp_path, upscaler=tmp_path)
    drawn = cascade(told)
    assert "drawn at 64 pixels and made 2 times smaller" in drawn.caption
    assert len(drawn.figure.axes) == (len(CHARS) + 1) * 7  # an invented glyph too
    small = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    row = ways("x", small, None, 2, told.upscaler, seed=3)
    np.testing.assert_array_equal(row.drawn, enlarge([told.upscaler], small[None], 3)[0])


@pytest.mark.parametrize(("option", "figure"), [("--latent", "latent"), ("--upscaler", "cascade")])
def test_a_folder_with_another_network_is_one_line(option, figure, tiny_model, tiny_data, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "UNet"}))
    assert main(["figures", figure, option, str(tmp_path), "--data", str(tiny_data), "--model", str(tiny_model)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "class UNet" in line
    (tmp_path / "config.json").write_text("{")
    assert main(["figures", figure, option, str(tmp_path), "--data", str(tiny_data), "--model", str(tiny_model)]) == 2
    assert "cannot read" in capsys.readouterr().err
