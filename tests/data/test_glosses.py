"""Glosses: which word a sense is about, what the table says about it, and how training draws it."""

import numpy as np
import pytest

from glyffuser.config import Config
from glyffuser.data.captions import build_captions
from glyffuser.data.glosses import glosses, headword, table
from glyffuser.judge.prompts import PARAPHRASES


@pytest.mark.parametrize(
    ("sense", "word"),
    [
        ("river", "river"),
        ("a kind of fish", "fish"),
        ("Species of a fish (extinct).", "fish"),
        ("to run (fast)", "to run"),
        ("the sea", "sea"),
        ("theatre", "theatre"),
        ("", ""),
    ],
)
def test_a_sense_is_about_its_headword(sense, word):
    assert headword(sense) == word


def test_what_words_mean_is_told_once_and_commonest_first():
    river, run, nothing = glosses([["river", "a kind of river"], ["to run"], ["qwertz"]])
    assert river == table()["river"] == ["a large natural stream of water"]
    assert "move fast" in run[0]
    assert nothing == []


def test_the_table_is_clean_and_gives_no_paraphrase_of_the_evaluation_away():
    every = {gloss for found in table().values() for gloss in found}
    assert len(table()) > 5000
    assert all(gloss == gloss.strip() and "(" not in gloss and '"' not in gloss[:1] for gloss in every)
    assert not every & {prompt.text for prompt in PARAPHRASES}


def test_glosses_are_drawn_as_often_as_the_setting_says():
    config = Config()
    assert len(config.data.kinds) == 3
    config.data.gloss = 0.5
    assert config.data.kinds[-1] == 0.5
    captions = build_captions(["river", "qwertz"], [["river"], ["qwertz"]], [glosses([["river"], ["qwertz"]])])
    rng, glyphs = np.random.default_rng(0), np.zeros(4000, np.int64)
    drawn = captions.draw(glyphs, config.data.kinds, 0.0, rng)
    told = np.array([captions.texts[number].startswith("a large natural") for number in drawn])
    assert told.mean() == pytest.approx(0.5 / 1.5, abs=0.03)
    assert {captions.texts[n] for n in captions.draw(glyphs + 1, config.data.kinds, 0.0, rng)} == {"qwertz"}
