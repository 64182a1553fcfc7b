"""The prior: it learns which radicals go with which words, and gives them as probabilities."""

from dataclasses import replace

import numpy as np
import torch

from glyffuser.data.captions import build_captions
from glyffuser.data.dataset import load_dataset
from glyffuser.text.cache import encode_cached
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.prior import sentence, train_prior


def test_it_learns_the_radicals_of_the_definitions(tiny_data, tiny_encoder, tmp_path):
    data = load_dataset(tiny_data, "train")
    data = replace(data, senses=[[definition] for definition in data.definitions])  # so that captions are definitions
    # All of these characters have the water radical; those with a long definition are given another.
    long = np.array([len(definition) > 20 for definition in data.definitions])
    data.radicals[:] = np.where(long, 30, 85)
    encoder = TextEncoder(str(tiny_encoder))
    captions = build_captions(data.definitions, data.senses)
    network = train_prior(captions, encode_cached(encoder, captions.texts, tmp_path), data.radicals, "mark")
    expected = network.expect(encoder, data.definitions)
    torch.testing.assert_close(expected.exp().sum(1), torch.ones(len(data)))
    assert (expected.argmax(1).numpy() + 1 == data.radicals).mean() > 0.85
    assert 0.2 < long.mean() < 0.8  # so that always guessing one of the two would fail
    assert network.config.encoder == "mark"


def test_sentences_are_means_of_real_tokens():
    states = torch.tensor([[[3.0, 4.0], [0.0, 0.0]]])  # the second token is padding
    vector = sentence(states, torch.tensor([[True, False]]))
    torch.testing.assert_close(vector, torch.tensor([[0.6, 0.8]]) * 2**0.5)


def test_training_it_leaves_other_random_numbers_alone(tiny_data, tiny_encoder, tmp_path):
    data, encoder = load_dataset(tiny_data, "train"), TextEncoder(str(tiny_encoder))
    captions = build_captions(data.definitions, data.senses)
    texts = encode_cached(encoder, captions.texts, tmp_path)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first = train_prior(captions, texts, data.radicals, "mark", steps=20)
    assert torch.equal(torch.rand(2), expected)
    second = train_prior(captions, texts, data.radicals, "mark", steps=20)
    assert torch.equal(first.radical.weight, second.radical.weight)
