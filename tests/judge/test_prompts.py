"""The evaluation prompts: enough, valid, and not taken from the training data."""

from glyffuser.data.dataset import split_of
from glyffuser.data.unihan import clean_definition, read_unihan
from glyffuser.judge.prompts import GOLD, PROMPTS


def test_there_are_enough_and_no_two_alike():
    assert len(PROMPTS) >= 60
    assert len({prompt.text for prompt in PROMPTS}) == len(PROMPTS)
    assert all(1 <= radical <= 214 for prompt in PROMPTS for radical in prompt.radicals)
    assert all(prompt.radicals for prompt in PROMPTS)
    assert len({radical for prompt in PROMPTS for radical in prompt.radicals}) >= 50


def test_none_but_the_bare_words_is_a_training_definition():
    definitions = {
        clean_definition(entry.definition_raw).lower()
        for codepoint, entry in read_unihan().entries.items()
        if split_of(codepoint) == "train"
    }
    assert {p.text.lower() for p in PROMPTS if p not in GOLD} & definitions == set()
