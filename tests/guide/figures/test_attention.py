"""The figure of attention: its words, and that they share all attention."""

import torch
from torch.testing import assert_close

from glyffuser.guide.figures.steering.attention import watch, word_groups


def test_words_share_all_attention(make_pipe):
    pipe = make_pipe()
    watched = watch(pipe, "red red fish", steps=2, seed=0)
    assert watched.words == ["red", "red", "fish", "(marks)"]
    for maps in watched.maps.values():
        assert maps.shape[0] == 4
        assert_close(torch.from_numpy(maps.sum(0)), torch.ones(maps.shape[1:]))


def test_every_token_belongs_to_one_word(make_pipe):
    pipe = make_pipe()
    words, groups = word_groups(pipe, "bamboo basket")
    tokens = pipe.text_encoder.tokenizer("bamboo basket").input_ids
    assert sorted(i for group in groups for i in group) == list(range(len(tokens)))
    assert len(words) == len(groups) == 3
    assert groups[-1] == [0, len(tokens) - 1]
