"""The contrastive model: its losses as in the papers, ranks by hand, and that it learns what belongs together."""

import math
import zlib
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from glyffuser.base.errors import UserError
from glyffuser.data.dataset import load_dataset
from glyffuser.judge.contrastive import (
    Contrastive,
    ContrastiveSettings,
    captions_of,
    measure_contrastive,
    ranks,
    train_contrastive,
)
from glyffuser.judge.recogniser import Recogniser
from glyffuser.judge.training import read_pairs
from glyffuser.text.cache import EncodedTexts

SETTINGS = ContrastiveSettings(
    width=24, hidden=(64, 64), dropout=(0.0, 0.0), kinds=(1.0,), steps=200, batch_size=48, lr=1e-2
)


class Numbers:
    """A stand-in for a text encoder: each text is one token, whose random states depend on the text alone."""

    def encode(self, texts, whole=False):
        seeds = [zlib.crc32(text.encode()) for text in texts]
        states = torch.stack([torch.randn(1, 16, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
        return states, torch.ones(len(texts), 1).bool()

    def fingerprint(self, whole=False):
        return "numbers"


NUMBERS: Any = Numbers()


@pytest.fixture(scope="module")
def data(tiny_data):
    return load_dataset(tiny_data, "train")


@pytest.fixture(scope="module")
def recogniser():
    torch.manual_seed(0)
    return Recogniser("金木水", widths=(8, 8, 16, 32), feature_dim=32, character_dim=4).eval()


@pytest.fixture(scope="module")
def pairs(data, recogniser):
    captions, features = captions_of(data), recogniser.read(data.images).features
    states = NUMBERS.encode(captions.texts)[0][:, 0]
    texts = EncodedTexts(states, torch.arange(len(states) + 1))
    return read_pairs(data, features, captions, texts, recogniser, NUMBERS)


def last(pairs, settings):
    *_, (network, done, _) = train_contrastive(pairs, settings)
    assert done == 1
    return network


@pytest.mark.parametrize("loss", ["sigmoid", "softmax"])
def test_it_learns_which_glyph_and_which_text_belong_together(pairs, recogniser, data, loss):
    found = measure_contrastive(last(pairs, replace(SETTINGS, loss=loss)), recogniser, data, NUMBERS)
    for way in ("text to glyph", "glyph to text"):
        assert found[way]["at 1"] > 0.7
        assert found[way]["at 1"] <= found[way]["at 5"] <= found[way]["at 10"]
        assert found[way]["chance at 10"] == 10 / len(data)


def test_the_same_seed_trains_the_same_network_and_another_seed_another(pairs):
    few = replace(SETTINGS, steps=3)
    one, two, other = (last(pairs, settings).state_dict() for settings in (few, few, replace(few, seed=1)))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["to_text.1.weight"], other["to_text.1.weight"])


def test_features_are_brought_to_one_scale(pairs):
    large = replace(pairs, features=1000 * pairs.features + 5)
    network = last(large, replace(SETTINGS, steps=1))
    scaled = (large.features - network.mean) / network.deviation
    varied = large.features.std(dim=0) > 1
    assert varied.sum() > 10
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(32), atol=1e-3, rtol=0)
    torch.testing.assert_close(scaled.std(dim=0)[varied], torch.ones(int(varied.sum())), atol=1e-3, rtol=0)


def vectors(*rows):
    return F.normalize(torch.tensor(rows), dim=1)


def test_the_sigmoid_loss_judges_every_pair_by_itself():
    network = Contrastive(4, 4, width=2, loss="sigmoid")
    pictures, texts = vectors([1.0, 0.2], [0.0, 1.0]), vectors([1.0, 0.0], [-0.5, 1.0])
    same = torch.tensor([[True, False], [False, True]])
    expected = 0.0
    for i in range(2):
        for j in range(2):
            z = 1 if i == j else -1
            logit = 10 * float(pictures[i] @ texts[j]) - 10  # SigLIP's initial values
            expected += -math.log(1 / (1 + math.exp(-z * logit))) / 2
    assert float(network.loss(pictures, texts, same).detach()) == pytest.approx(expected, rel=1e-4)


def test_the_softmax_loss_is_cross_entropy_both_ways_and_shares_out_what_belongs_twice():
    network = Contrastive(4, 4, width=3, loss="softmax")
    pictures, texts = torch.randn(3, 3), torch.randn(3, 3)
    logits = pictures @ texts.T / 0.07  # CLIP's initial value
    own = torch.arange(3)
    expected = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
    torch.testing.assert_close(network.loss(pictures, texts, torch.eye(3) > 0), expected)
    twins = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]]) > 0
    logs = logits.log_softmax(1), logits.T.log_softmax(1)
    each = [-(z[0, :2].mean() + z[1, :2].mean() + z[2, 2]) / 3 for z in logs]
    torch.testing.assert_close(network.loss(pictures, texts, twins), sum(each) / 2)


def test_ranks_count_what_scores_higher():
    scores = torch.tensor([[0.9, 0.1, 0.5], [0.9, 0.1, 0.5], [0.2, 0.2, 0.2]])
    assert ranks(scores, torch.tensor([0, 1, 2])).tolist() == [1, 3, 1]  # ties do not count against one


def test_texts_and_glyphs_become_unit_vectors(data, recogniser):
    network = Contrastive(32, 16, width=12).eval()
    seen, read = network.look(recogniser, data.images[:5]), network.read(NUMBERS, ["gold", "a kind of fish"])
    assert (seen.shape, read.shape) == ((5, 12), (2, 12))
    torch.testing.assert_close(torch.cat([seen, read]).norm(dim=1), torch.ones(7))


def test_other_encoders_and_recognisers_are_refused(data, recogniser, pairs):
    network = last(pairs, replace(SETTINGS, steps=1))
    assert network.reads(NUMBERS)
    assert network.sees_with(recogniser)
    other = Recogniser("金木水", widths=(8, 8, 16, 32), feature_dim=32, character_dim=4).eval()
    with pytest.raises(UserError, match="another recogniser"):
        network.look(other, data.images[:1])
    network.register_to_config(encoder="another")
    with pytest.raises(UserError, match="minilm"):
        network.read(NUMBERS, ["gold"])
