"""Riddles: what things with a radical are like, and that none is what the evaluation asks."""

import re

from glyffuser.data.riddles import riddles, table
from glyffuser.judge.prompts import OTHER_PARAPHRASES, PARAPHRASES, PROMPTS

# Words that mean nothing by themselves.
SMALL = """
a all an and are as at be by can do does down for from has have he her his in into is it its like made no not of off on
one only or our out over people she someone somebody something than that the their them they thing things this to until
up us we what when where which who with you your
"""
ENDINGS = ("ing", "ed", "es", "s")


def words(text: str) -> set[str]:
    """The meaningful words of a text, without their endings."""
    return {stem(word) for word in re.findall("[a-z]+", text.lower()) if word not in SMALL.split()}


def stem(word: str) -> str:
    return next((word.removesuffix(end) for end in ENDINGS if word.endswith(end) and len(word) > len(end) + 2), word)


def test_words_are_compared_without_endings():
    assert words("it barks at strangers") == words("They barked at a stranger") == {"bark", "stranger"}
    assert words("bus") == {"bus"}


def test_no_riddle_says_half_of_what_the_evaluation_asks():
    asked = [words(prompt.text) for prompt in (*PROMPTS, *PARAPHRASES, *OTHER_PARAPHRASES)]
    for texts in table().values():
        for text in texts:
            said = words(text)
            assert not said or all(2 * len(said & each) < len(said) for each in asked), text


def test_radicals_have_riddles_of_their_own():
    known = table()
    assert set(known) <= set(range(1, 215))
    texts = [text for of in known.values() for text in of]
    assert len(texts) > 1500
    assert all(len(set(of)) == len(of) for of in known.values())
    assert all(text == text.strip() and text.isascii() for text in texts)
    assert "it conducts electricity" in known[167]


def test_a_glyph_has_those_of_its_radical():
    assert riddles([167, 0, 85]) == [table()[167], [], table()[85]]
