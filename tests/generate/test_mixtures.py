"""Mixtures of prompts: which prompts are one, and that they are drawn as such."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glyffuser.base.errors import UserError
from glyffuser.data.components import compositions
from glyffuser.data.unihan import clean_definition, read_unihan, split_senses
from glyffuser.generate.draw import draw
from glyffuser.generate.mixtures import read_mixture, together, written
from glyffuser.generate.request import Request


@pytest.mark.parametrize(
    ("prompt", "texts", "weights"),
    [
        ("fire:1, water:0.5", ("fire", "water"), (1.0, 0.5)),
        ("fire:1,water:1", ("fire", "water"), (1.0, 1.0)),
        (" a fish, large : 3 , to burn :.5 , wood:.5", ("a fish, large", "to burn", "wood"), (3.0, 0.5, 0.5)),
        ("fire:2, water:-1", ("fire", "water"), (2.0, -1.0)),
        (r"at 2\:1:1, water:1", ("at 2:1", "water"), (1.0, 1.0)),
        ("water at the left: fish:1, x: y:1", ("water at the left: fish", "x: y"), (1.0, 1.0)),
    ],
)
def test_mixtures(prompt, texts, weights):
    mixture = read_mixture(prompt)
    assert mixture.texts == texts
    assert mixture.weights == pytest.approx(weights)


@pytest.mark.parametrize(
    "prompt",
    [
        "fire",
        "fire, water",
        "fire:1",  # a single text needs no weight
        "at a ratio of 2:1",
        "fire, water:0.5",
        "fire:1, water",
        "water at the left, every at the right: sea",
        "fire:hot, water:cold",
        "fire:1, water:1,",
        "fire:1, water:1, :2",
        "fire:1, water\nand ice:1",
        pytest.param("fire:1, " * 200 + "water", id="many"),  # read at once, however many texts there may be
    ],
)
def test_other_prompts_are_plain(prompt):
    assert read_mixture(prompt) == ((prompt,), (1.0,))


def test_a_backslash_makes_a_colon_literal():
    assert read_mixture(r"ratios 2\:1, 3\:1") == (("ratios 2:1, 3:1",), (1.0,))
    assert read_mixture("ratios 2:1, 3:1").texts == ("ratios 2", "3")  # why it is needed


def test_no_definition_or_description_is_taken_for_a_mixture():
    entries = read_unihan().entries
    definitions = [clean_definition(entry.definition_raw) for entry in entries.values()]
    senses = [split_senses(definition) for definition in definitions]
    composed = compositions([chr(codepoint) for codepoint in entries], senses)
    texts = {*definitions, *(sense for own in senses for sense in own), *(text for own in composed for text in own)}
    assert len(texts) > 40_000
    assert [text for text in texts if len(read_mixture(text).texts) > 1] == []


@given(st.lists(st.tuples(st.text("abc:, 12.", min_size=1), st.floats(0.1, 10)), min_size=2, max_size=4))
def test_what_is_written_is_read_again(parts):
    texts = tuple("x" + " ".join(text.split()) + "y" for text, _ in parts)
    total = sum(weight for _, weight in parts)
    mixture = read_mixture(written(texts, [weight / total for _, weight in parts]))
    assert mixture.texts == texts
    assert mixture.weights == pytest.approx([weight / total for _, weight in parts], abs=1e-5)


def test_prompts_with_fewer_texts_are_filled_up_with_no_weight():
    texts, weights = together(["gold", "fire:1, water:3"])
    assert texts == ["gold", "fire", "gold", "water"]
    assert weights.tolist() == [[1.0, 1.0], [0.0, 3.0]]
    assert together(["gold", "fish"])[0] == ["gold", "fish"]


@pytest.mark.parametrize("prompt", ["fire:0, water:0.0", "fire:1, water:101", f"fire:-{'9' * 400}, water:1"])
def test_weights_that_say_nothing_or_too_much_are_refused(prompt):
    with pytest.raises(UserError, match="must not all be 0, nor above 100"):
        read_mixture(prompt)


def test_a_mixture_is_drawn_beside_plain_prompts_and_its_ends_are_those(make_pipe):
    pipe, few = make_pipe(), Request(steps=3)

    def drawn(*prompts):
        return draw(pipe, prompts, few, numbers=[0] * len(prompts), finish=lambda x: x.numpy())

    gold, mixed, fish = drawn("gold", "gold:1, a kind of fish:1", "a kind of fish")
    np.testing.assert_allclose(gold, drawn("gold")[0], atol=1e-4)
    np.testing.assert_allclose(drawn("gold:1, a kind of fish:0")[0], gold, atol=1e-4)
    np.testing.assert_allclose(drawn("gold:0, a kind of fish:1")[0], fish, atol=1e-4)
    assert min(np.abs(mixed - gold).max(), np.abs(mixed - fish).max()) > 1e-4
