"""The tower: it learns from captions what glyphs look like, and predicts it for texts that it has not seen."""

import numpy as np
import pytest
import torch

from glyffuser.data.captions import build_captions
from glyffuser.text.cache import EncodedTexts
from glyffuser.text.tower import TextTower, pooled, train_tower

WORDS = torch.nn.functional.normalize(torch.randn(3, 16, generator=torch.Generator().manual_seed(0)), dim=1)


def encoded(kinds: list[int], seed: int) -> EncodedTexts:
    """Two tokens per text, near the word of its kind; kind 2 is the empty caption's."""
    noise = torch.randn(2 * len(kinds), 16, generator=torch.Generator().manual_seed(seed))
    states = WORDS[torch.tensor(kinds).repeat_interleave(2)] + 0.1 * noise
    return EncodedTexts(states.half(), torch.arange(0, 2 * len(kinds) + 1, 2))


@pytest.fixture(scope="module")
def tower() -> TextTower:
    """A tower that has learnt 30 characters of two kinds: with water at the left, and with fire."""
    water, fire = "江池汗汝汐汕汛汜汞江沐沖沙沛沫", "炊炎炒炕炙炬炭炮炯炳炸烊烙烤烽"
    captions = build_captions([f"water {i}" for i in range(15)] + [f"fire {i}" for i in range(15)], [[]] * 30)
    texts = encoded([2] + [0] * 15 + [1] * 15, seed=1)
    radicals = np.array([85] * 15 + [86] * 15)
    strokes = np.array([6] * 15 + [9] * 15)
    return train_tower(captions, texts, list(water + fire), radicals, strokes, 8, "mark", steps=300)


def test_it_says_radical_parts_and_strokes_of_texts_it_has_not_seen(tower):
    texts = encoded([0, 1, 0, 1], seed=2)
    reading = tower.read(pooled(tower, texts).float())
    assert (reading.radical.argmax(1) + 1).tolist() == [85, 86, 85, 86]
    chance = reading.components[:, tower.config.components.index("氵")].sigmoid()
    assert float(chance[[0, 2]].min()) > 0.6 > 0.4 > float(chance[[1, 3]].max())
    np.testing.assert_allclose(reading.strokes.exp(), [6, 9, 6, 9], atol=1.0)


def test_one_text_and_many_give_the_same_vectors(tower):
    texts = encoded([0, 1, 2], seed=3)
    each = torch.cat([tower(*texts.batch(torch.tensor([i]))) for i in range(3)])
    torch.testing.assert_close(pooled(tower, texts).float(), each, atol=2e-3, rtol=0)


def test_it_survives_saving(tower, tmp_path):
    tower.save_pretrained(tmp_path)
    loaded = TextTower.from_pretrained(tmp_path)
    texts = encoded([0, 1], seed=4)
    assert torch.equal(pooled(loaded, texts), pooled(tower, texts))
    assert loaded.config.encoder == "mark"


def test_fitting_it_leaves_other_random_numbers_alone():
    captions, texts = build_captions(["a", "b"], [[], []]), encoded([2, 0, 1], seed=5)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    train_tower(captions, texts, ["江", "炎"], np.array([85, 86]), np.array([6, 8]), 4, "", steps=2)
    assert torch.equal(torch.rand(2), expected)
