"""Tokens, one step, guidance, gold and neighbours: their numbers."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity
from torch.testing import assert_close

from glyffuser.data.dataset import load_dataset
from glyffuser.guide.figures.steering.gold import marked, occlusion
from glyffuser.guide.figures.steering.guidance import first_guesses, measured, radical_template
from glyffuser.guide.figures.steering.neighbours import compare, overlay
from glyffuser.guide.figures.steering.tokens import encoded, likeness
from glyffuser.judge.recogniser import Reading


def test_the_words_tokens_are_found(make_pipe):
    encoder = make_pipe().text_encoder
    found = encoded(encoder, "an element", "element")
    inside = "".join(t.strip("#") for t, of_word in zip(found.tokens, found.of_word, strict=True) if of_word)
    assert inside == "element"
    assert found.states.shape == (len(found.tokens), encoder.dim)


def test_likeness_is_the_cosine(make_pipe):
    encoder = make_pipe().text_encoder
    texts = [encoded(encoder, text, "oven") for text in ("oven", "an oven")]
    like = likeness(encoder, texts, ("oven", "tin"))
    assert like.shape == (2, 2)
    assert like[0, 0] == pytest.approx(1, abs=1e-5)
    tin = encoded(encoder, "tin", "tin")
    pair = (texts[1].states[texts[1].of_word].mean(0), tin.states[tin.of_word].mean(0))
    assert like[1, 1] == pytest.approx(float(cosine_similarity(*pair, dim=0)), abs=1e-5)


def test_the_first_guess_is_the_samplers_first(make_pipe):
    pipe = make_pipe()
    noise, without, told = first_guesses(pipe, "gold", 2, seed=3)
    from glyffuser.base.noise import seeded

    settings = {"num_inference_steps": 2, "sampler": "euler", "generator": [seeded(3, k) for k in range(2)]}
    first = next(iter(pipe.stream(["gold"], num_images_per_prompt=2, guidance_scale=1.0, **settings)))
    assert_close(told, first.x0, rtol=0, atol=2e-2)
    assert noise.shape == without.shape == (2, 1, 16, 16)
    assert not torch.allclose(told, without)


def test_the_template_is_a_mean(tiny_data):
    data = load_dataset(tiny_data)
    radical = int(data.radicals[0])
    every, chosen = radical_template(data, radical)
    np.testing.assert_allclose(every, (data.images / 127.5 - 1).mean(0), atol=1e-9)
    np.testing.assert_allclose(chosen, (data.images[data.radicals == radical] / 127.5 - 1).mean(0), atol=1e-9)


def test_fidelity_and_variety():
    sure = torch.full((3, 214), -50.0)
    sure[:, [4, 9]] = torch.log(torch.tensor([0.7, 0.2]))
    points = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])  # distances 3, 4, 5
    readings = [Reading(sure, torch.ones(3), torch.ones(3, 2), scale * points) for scale in (1.0, 0.5)]
    guided = measured((1.0, 4.0), np.zeros((2, 3, 4, 4), np.uint8), readings, radicals=(5, 10))
    np.testing.assert_allclose(guided.fidelity, 0.9, rtol=1e-5)
    np.testing.assert_allclose(guided.variety, [1.0, 0.5], rtol=1e-6)


class LeftReader:
    """Reads radical 1 in a glyph whose left half has ink, radical 2 in any other."""

    def read(self, images: torch.Tensor) -> Reading:
        left = (images[:, :, : images.shape[2] // 2] < 128).flatten(1).any(dim=1)
        logits = torch.full((len(images), 214), -20.0)
        logits[left, 0] = logits[~left, 1] = 0.0
        ones = torch.ones(len(images))
        return Reading(logits.log_softmax(1), ones, ones[:, None], ones[:, None])


def test_the_radical_is_marked_where_hiding_it_matters():
    images = np.full((2, 64, 64), 255, np.uint8)
    images[0, 10:14, 8:12] = 0  # what the reader needs
    images[:, 40:44, 50:54] = 0  # what it does not
    probability, fall = occlusion(LeftReader(), images, radical=1)  # type: ignore[arg-type]
    assert probability[0] > 0.9 > 0.1 > probability[1]
    assert fall[0, 12, 10] > 1
    assert fall[0, 42, 52] == 0
    assert fall[1].max() == 0
    colour = marked(images, probability, fall)
    assert colour.shape == (2, 64, 64, 3)
    red, black = colour[0, 12, 10], colour[0, 42, 52]
    assert red[0] > 150 > red[1]
    assert black.max() == 0
    np.testing.assert_array_equal(colour[1], np.repeat(images[1][..., None], 3, axis=-1))


def test_a_copy_is_found_and_counted(tiny_data):
    data = load_dataset(tiny_data)
    rng = np.random.default_rng(0)
    invented = np.stack([data.images[5], rng.integers(0, 256, data.images[0].shape, dtype=np.uint8)])
    compared = compare(invented, data, data.images[1::7])
    np.testing.assert_array_equal(compared.nearest[0], data.images[5])
    assert compared.chars[0] == data.chars[5]
    assert compared.overlap[0] == 1
    assert compared.overlap[1] < 0.9
    assert compared.real.min() == 1  # the yardstick here is in the training set


def test_overlay_is_dark_where_both_have_ink():
    a, b = np.full((1, 3), 255, np.uint8), np.full((1, 3), 255, np.uint8)
    a[0, :2], b[0, 1:] = 0, 0
    left, both, right = overlay(a, b)[0].astype(int)
    assert left[0] > left[2]  # red
    assert right[2] > right[0]  # blue
    assert both.max() < 60
