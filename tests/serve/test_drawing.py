from dataclasses import replace

import numpy as np
import pytest

from glyffuser.base.noise import seeded
from glyffuser.base.pictures import grey
from glyffuser.generate.draw import draw
from glyffuser.generate.request import Request


@pytest.mark.parametrize("edit", [{}, {"init": "湖", "strength": 0.5}])
def test_frames_go_from_noise_to_the_glyphs_that_sample_draws(artist, edit):
    request = Request(prompt="gold", n=3, steps=6, seed=4, **edit)
    frames = list(artist.draw(request))
    assert [frame.step for frame in frames] == list(range(frames[-1].steps + 1))
    assert [frame.finished for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert np.array_equal(frames[-1].images, draw(artist.pipe, ["gold"] * 3, request))


def test_the_first_frame_is_the_noise_of_the_seed(artist):
    import torch

    first = next(artist.draw(Request(prompt="gold", n=2, steps=2, seed=9)))
    noise = torch.cat([torch.randn(1, 1, 16, 16, generator=seeded(9, k)) for k in range(2)])
    assert np.array_equal(first.images, grey(noise))


def test_frames_of_a_latent_model_are_decoded(artist, make_pipe, small_autoencoder):
    pipe = make_pipe(sample_size=8, in_channels=3, patch_size=1)
    pipe.register_modules(vae=small_autoencoder())
    request = Request(prompt="gold", n=2, steps=2)
    frames = [frame.images for frame in replace(artist, pipe=pipe).draw(request)]
    assert [images.shape for images in frames] == [(2, 32, 32)] * 3
    assert np.array_equal(frames[-1], draw(pipe, ["gold"] * 2, request))


def test_a_real_character_is_known_and_a_blot_is_not(artist):
    real, blot = artist.picture("湖"), np.full((128, 128), 255, np.uint8)
    assert real is not None
    blot[40:90, 40:90] = 0
    known, new = artist.read(np.stack([real, blot]))
    assert (known.nearest, known.exists, known.radical_number) == ("湖", True, 85)
    assert "lake" in known.definition
    assert "湖" in [found.char for found in known.looks_like]
    assert not known.flagged
    assert not new.exists
    assert new.flaws > known.flaws
    assert known.facts()["nearest"] == {"char": "湖", "definition": known.definition, "distance": 0.0}


def test_what_the_table_and_the_dictionary_do_not_have(artist):
    assert artist.picture("A") is None
    assert artist.definition("A") == ""
    assert artist.definition(chr(0x10FFFF)) == ""
