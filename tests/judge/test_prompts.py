"""The evaluation prompts: enough, valid, not taken from the training data, and rightly labelled."""

import re

import pytest

from glyffuser.data.dataset import split_of
from glyffuser.data.unihan import clean_definition, read_unihan
from glyffuser.judge.prompts import GOLD, OTHER_PARAPHRASES, PARAPHRASES, PROMPTS


@pytest.mark.parametrize(("prompts", "kinds"), [(PROMPTS, 60), (PARAPHRASES, 50), (OTHER_PARAPHRASES, 50)])
def test_there_are_enough_and_no_two_alike(prompts, kinds):
    assert len(prompts) >= 80
    assert len({prompt.text.lower() for prompt in prompts}) == len(prompts)
    assert all(prompt.radicals for prompt in prompts)
    assert len({radical for prompt in prompts for radical in prompt.radicals}) >= kinds


def test_the_lists_share_no_text():
    lists = [{prompt.text for prompt in prompts} for prompts in (PROMPTS, PARAPHRASES, OTHER_PARAPHRASES)]
    assert len(set().union(*lists)) == sum(map(len, lists))


def test_none_but_the_bare_words_is_a_training_definition():
    definitions = {
        clean_definition(entry.definition_raw).lower()
        for codepoint, entry in read_unihan().entries.items()
        if split_of(codepoint) == "train"
    }
    asked = {prompt.text.lower() for prompt in (*PROMPTS, *PARAPHRASES, *OTHER_PARAPHRASES) if prompt not in GOLD}
    assert asked & definitions == set()


def words(text):
    """The words of a text that carry meaning, roughly: those of four letters or more, in the singular."""
    return {word.removesuffix("s") for word in re.findall("[a-z]{4,}", text.lower())}


def test_characters_that_share_a_word_with_a_prompt_carry_its_radicals():
    """Unihan is the oracle for the labels: a wrong number would find no such character."""
    meant: dict[int, set[str]] = {}
    for entry in read_unihan().entries.values():
        meant.setdefault(entry.radical, set()).update(words(clean_definition(entry.definition_raw)))
    wrong = [p.text for p in PROMPTS if any(not words(p.text) & meant.get(radical, set()) for radical in p.radicals)]
    assert wrong == []
    # The labels of the prompts seven places on would not pass.
    shifted = [not words(p.text) & meant.get(q.radicals[0], set()) for p, q in zip(PROMPTS, PROMPTS[7:], strict=False)]
    assert sum(shifted) > 10
