"""Evaluation of models that do not draw the data set's pixels: cascades, and models that work on latents."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluating import SMALL, ask_few_paraphrases
from glyffuser.base.errors import UserError
from glyffuser.base.weights import weights_hash
from glyffuser.data.dataset import GlyphData
from glyffuser.evaluate.artist import Artist
from glyffuser.evaluate.attention import worked_on
from glyffuser.evaluate.measure import Measures, evaluate
from glyffuser.evaluate.paper import drawn_and_levelled
from glyffuser.generate.cascade import enlarge
from glyffuser.generate.draw import quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.judge.contrastive import Contrastive
from glyffuser.judge.novelty import build_ideographs


@pytest.fixture(autouse=True)
def few_paraphrases(monkeypatch):
    ask_few_paraphrases(monkeypatch)


@pytest.fixture(scope="module")
def measures(shared_judges, splits):
    torch.manual_seed(0)
    known = build_ideographs(splits[0].codepoints[:2], splits[0].images[:2], "Two Regular")
    return Measures(shared_judges, shared_judges, known, Contrastive(features=8, dim=16, width=8).eval())


@pytest.fixture(scope="module")
def upscaler(small_upscaler):
    return small_upscaler(noisy=True, sample_size=32, low_size=16)


@pytest.fixture(scope="module")
def large(splits):
    """The splits at 32 pixels."""

    def grown(data: GlyphData) -> GlyphData:
        return replace(data, images=np.repeat(np.repeat(data.images, 2, axis=1), 2, axis=2))

    return grown(splits[0]), grown(splits[1])


def test_a_cascade_is_measured_by_what_its_upscaler_draws(make_pipe, upscaler, measures, large):
    pipe = make_pipe()
    found = evaluate(pipe, measures, large[0], large[1], SMALL, upscalers=[upscaler])
    texts, numbers = found.texts[:3], range(3)
    wanted = enlarge([upscaler], Artist(pipe, SMALL, quiet).draw(texts, numbers), SMALL.seed, numbers)
    np.testing.assert_array_equal(found.prompts.images[:3], wanted)
    assert found.numbers["facts"]["upscalers"] == [weights_hash(upscaler)]


def test_each_picture_of_a_glyph_is_enlarged_from_the_same_noise(make_pipe, upscaler):
    artist = Artist(make_pipe(), SMALL, quiet, chain=[upscaler])
    both = artist.draw(["gold", "fish"], [5, 9], finish=drawn_and_levelled)
    assert both.shape == (2, 2, 32, 32)
    np.testing.assert_array_equal(both[:, 1], artist.draw(["gold", "fish"], [5, 9]))


def test_without_an_upscaler_glyphs_of_another_size_are_refused(make_pipe, upscaler, measures, large, splits):
    with pytest.raises(UserError, match="draws 16-pixel glyphs, the data set holds 32-pixel ones"):
        evaluate(make_pipe(), measures, large[0], large[1], SMALL)
    with pytest.raises(UserError, match="cannot be enlarged to 16"):
        evaluate(make_pipe(sample_size=32), measures, splits[0], splits[1], SMALL, upscalers=[upscaler])


def test_a_model_among_latents_is_measured_by_what_it_decodes(make_pipe, small_autoencoder, measures, large):
    autoencoder = small_autoencoder()
    plain = make_pipe(sample_size=autoencoder.latent_size, patch_size=1, in_channels=3)
    pipe = GlyffuserPipeline(plain.unet, plain.text_encoder, plain.scheduler, vae=autoencoder)
    found = evaluate(pipe, measures, large[0], large[1], SMALL)
    assert found.prompts.images.shape[1:] == (32, 32)
    assert set(found.numbers["attention"]) == {"content words", "small words", "marks and punctuation"}


def test_a_model_of_several_styles_is_measured_in_one(make_pipe, make_styled, measures, splits):
    pipe = make_styled(make_pipe())
    images = {}
    for style in ("sans", "serif"):
        settings = replace(SMALL, style=style)
        found = evaluate(pipe, measures, splits[0], splits[1], settings)
        images[style] = found.prompts.images[:3]
        np.testing.assert_array_equal(images[style], Artist(pipe, settings, quiet).draw(found.texts[:3], range(3)))
        assert found.numbers["facts"]["settings"]["style"] == style
    assert (images["sans"] != images["serif"]).any()
    with pytest.raises(UserError, match="styles"):
        evaluate(make_pipe(), measures, splits[0], splits[1], settings)


def test_a_network_is_watched_at_the_size_that_it_works_on(make_pipe):
    glyphs = torch.rand(2, 1, 32, 32)
    means = glyphs.reshape(2, 1, 16, 2, 16, 2).mean((3, 5))
    torch.testing.assert_close(worked_on(make_pipe(), glyphs), means)
