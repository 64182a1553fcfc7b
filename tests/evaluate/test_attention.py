"""Attention by kinds of words."""

import numpy as np
import pytest

from glyffuser.evaluate.attention import attention, token_kinds
from glyffuser.networks.layers import TransformerBlock

TEXTS = ["a fish", "gold, of coins"]


def test_every_token_is_of_one_kind(make_pipe):
    pipe = make_pipe()  # its tokenizer reads letter by letter, so all words but "a" are content
    lengths = [len(pipe.text_encoder.tokenizer(text).input_ids) for text in TEXTS]
    kinds = token_kinds(pipe, TEXTS, max(lengths)).tolist()
    first, second = (row[:n] for row, n in zip(kinds, lengths, strict=True))
    assert first == [2, 1, 0, 0, 0, 0, 2]
    assert second.count(2) == 3  # begin, end, and the comma
    assert [row[n:] for row, n in zip(kinds, lengths, strict=True)] == [[-1] * (max(lengths) - n) for n in lengths]


def test_a_network_that_looks_nowhere_in_particular_looks_evenly(make_pipe):
    pipe = make_pipe()
    for block in pipe.unet.modules():
        if isinstance(block, TransformerBlock):
            assert block.attend_text is not None
            block.attend_text.to_q.weight.data.zero_()
    images = np.full((2, 16, 16), 255, np.uint8)
    found = attention(pipe, TEXTS, images, seed=0)
    assert found == {
        name: pytest.approx(1, abs=1e-3) for name in ("content words", "small words", "marks and punctuation")
    }


def test_without_attention_there_is_nothing_to_say(make_pipe, monkeypatch):
    pipe = make_pipe()
    monkeypatch.setattr("glyffuser.networks.watching.Attention", str)
    assert attention(pipe, TEXTS, np.full((2, 16, 16), 255, np.uint8), seed=0) is None
