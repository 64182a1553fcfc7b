"""Captions: which there are, and how often each kind is drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glyffuser.data.captions import Captions, build_captions, mixture

SENSES = [["gold", "metal", "money"], ["fish"], ["tree", "wood"], []]
DEFINITIONS = [", ".join(senses) or "whole" for senses in SENSES]

senses = st.lists(st.sampled_from(["a", "b", "c", "d e", "f (g)"]), max_size=4, unique=True)
glyphs = st.lists(senses, min_size=1, max_size=8)


def build(parts: list[list[str]], seed: int = 0) -> Captions:
    return build_captions([f"definition {i}" for i in range(len(parts))], parts, seed=seed)


def captions_of(captions: Captions, kind: int, glyph: int) -> list[str]:
    first, last = captions.starts[kind][glyph : glyph + 2]
    return [captions.texts[i] for i in captions.choices[kind][first:last]]


@given(glyphs)
def test_captions_of_a_glyph_come_from_it(parts):
    captions = build(parts)
    assert captions.texts[0] == ""
    assert len(set(captions.texts)) == len(captions.texts)
    for glyph, own in enumerate(parts):
        definition = f"definition {glyph}"
        assert captions_of(captions, 0, glyph) == [definition]
        assert captions_of(captions, 1, glyph) == (own or [definition])
        for text in captions_of(captions, 2, glyph):
            kept = text.split(", ")
            assert (len(own) < 2 and text == definition) or (set(kept) <= set(own) and len(set(kept)) == len(kept))


@given(glyphs, st.integers(0, 2**32), st.sampled_from([0, 1, 2]), st.floats(0, 0.9))
def test_what_is_drawn_belongs_to_the_glyph_and_the_kind(parts, seed, kind, drop):
    captions = build(parts)
    chosen = np.random.default_rng(seed).integers(0, len(parts), 50)
    weights = [float(k == kind) for k in range(3)]
    for glyph, number in zip(chosen, captions.draw(chosen, weights, drop, np.random.default_rng(seed)), strict=True):
        assert number == 0 or captions.texts[number] in captions_of(captions, kind, glyph)


def test_every_caption_of_a_glyph_is_drawn_equally_often():
    captions = build_captions(DEFINITIONS, SENSES)
    drawn = captions.draw(np.zeros(3000, dtype=np.int64), (0, 1, 0), 0.0, np.random.default_rng(0))
    texts, counts = np.unique(np.array(captions.texts)[drawn], return_counts=True)
    assert set(texts) == {"gold", "metal", "money"}
    np.testing.assert_allclose(counts, 1000, atol=4 * (3000 * 2 / 9) ** 0.5)  # four standard deviations


def test_a_glyph_without_a_definition_is_described_whatever_kind_is_drawn_or_has_no_caption():
    described, riddles = [["water at the left: river"], ["fish above"], []], [["it flows"], [], ["it burns"]]
    captions = build_captions(["river", "", ""], [["river"], [], []], [described, riddles])
    assert [captions_of(captions, kind, 1) for kind in range(5)] == [["fish above"]] * 5
    assert [captions_of(captions, kind, 2) for kind in range(5)] == [[""]] * 4 + [["it burns"]]
    assert captions_of(captions, 0, 0) == ["river"]
    assert captions_of(build_captions(["river", ""], [["river"], []]), 0, 1) == [""]


@pytest.mark.parametrize(("weights", "drop"), [((0.3, 0.5, 0.2), 0.1), ((3, 5, 2), 0.0), ((1, 0, 0), 0.5)])
def test_kinds_and_drops_are_as_frequent_as_asked(weights, drop):
    # One glyph whose whole definition, single sense and mixtures are all different texts.
    captions = Captions(["", "whole", "sense", "mixture"], [np.array([k]) for k in (1, 2, 3)], [np.array([0, 1])] * 3)
    n = 20_000
    drawn = captions.draw(np.zeros(n, dtype=np.int64), weights, drop, np.random.default_rng(0))
    shares = np.array([drop, *(1 - drop) * np.array(weights) / sum(weights)])
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / n, shares, atol=4 * 0.5 / n**0.5)


def test_drawing_is_a_function_of_the_random_state():
    captions = build_captions(DEFINITIONS, SENSES)
    chosen = np.arange(4).repeat(20)
    once, twice, other = (
        captions.draw(chosen, (0.3, 0.5, 0.2), 0.1, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(once, twice)
    assert (once != other).any()


def test_listing_is_a_function_of_the_seed():
    parts = [[f"{i} {j}" for j in range(5)] for i in range(10)]
    assert build(parts, 1).texts == build(parts, 1).texts
    assert build(parts, 1).texts != build(parts, 2).texts


def test_a_mixture_may_be_short_whole_and_in_any_order():
    rng = np.random.default_rng(0)
    seen = {mixture(["a", "b"], rng) for _ in range(100)}
    assert seen == {"a", "b", "a, b", "b, a"}


def test_further_kinds_come_after_the_others_and_fall_back_to_the_definition():
    captions = build_captions(DEFINITIONS, SENSES, [[["a", "b"], [], ["c"], []]])
    usual = build_captions(DEFINITIONS, SENSES).texts
    assert captions.texts == [*usual, "a", "b", "c"]  # after all others, which keep their numbers
    assert [captions_of(captions, 3, glyph) for glyph in range(4)] == [["a", "b"], ["fish"], ["c"], ["whole"]]
    rng = np.random.default_rng(0)
    only = captions.draw(np.zeros(50, dtype=np.int64), (0, 0, 0, 1), 0.0, rng)
    assert {captions.texts[i] for i in only} == {"a", "b"}
    without = captions.draw(np.zeros(50, dtype=np.int64), (1, 1, 1), 0.0, rng)
    assert not {captions.texts[i] for i in without} & {"a", "b"}


def test_glyphs_of_one_character_share_its_captions():
    captions = build_captions(DEFINITIONS, SENSES)
    owners = np.array([2, 0, 0, 1])
    chosen = np.array([0, 1, 2, 3, 2, 0])
    rngs = (np.random.default_rng(3) for _ in range(2))
    shared, own = captions.shared(owners).draw(chosen, (1, 1, 1), 0.2, next(rngs)), next(rngs)
    assert (shared == captions.draw(owners[chosen], (1, 1, 1), 0.2, own)).all()
