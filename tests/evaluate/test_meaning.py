"""Meaning: hits counted by prompt, and the real characters they are set against."""

import numpy as np
import pytest
import torch

from glyffuser.evaluate.meaning import mean_states, meaning, references
from glyffuser.judge.judges import Judged
from glyffuser.judge.prompts import PROMPTS, Prompt


@pytest.fixture(scope="module")
def pipe(make_pipe):
    return make_pipe()


def test_meaning_counts_hits_by_prompt():
    n = 2 * len(PROMPTS)
    radical = torch.full((n, 214), -9.0)
    for i, prompt in enumerate(PROMPTS):
        radical[2 * i, prompt.radicals[-1] - 1] = 0  # the first of each pair is right
        radical[2 * i + 1, 0] = 0  # the second has radical 1, which no prompt asks for
    blank = torch.zeros(n)
    glyphs = Judged(np.zeros((n, 8, 8), np.uint8), torch.zeros(n, 4), radical, blank, blank, blank, blank > 1)
    result = meaning(glyphs, [{"nearest": 0.25, "majority": 1.0}] * len(PROMPTS), 2)
    assert (result["rate"], result["nearest"], result["majority"]) == (0.5, 0.25, 1.0)
    assert {row["rate"] for row in result["prompts"]} == {0.5}


def test_references_find_the_definition_itself(pipe, splits):
    training, _ = splits
    prompts = [Prompt(training.definitions[3], (85,)), Prompt(training.definitions[5], (1,))]
    water, none = references(pipe, training, prompts)
    assert (water["nearest"], water["majority"]) == (1.0, 1.0)  # every character of the tiny data set has water
    assert (none["nearest"], none["majority"]) == (0.0, 0.0)


def test_mean_states_are_in_the_order_of_the_texts(pipe):
    texts = ["a long text comes first", "short"]
    one_by_one = torch.cat([mean_states(pipe, [text]) for text in texts])
    torch.testing.assert_close(mean_states(pipe, texts), one_by_one)
