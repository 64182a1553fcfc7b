"""Meaning: hits counted by prompt, and the real characters that they are compared with."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from glyffuser.base.pictures import to_grey
from glyffuser.evaluate.artist import Artist, EvaluationSettings, work
from glyffuser.evaluate.meaning import (
    draw_paraphrases,
    mean_states,
    meaning,
    nearest_rows,
    own_ranks,
    references,
    shares,
    told,
)
from glyffuser.generate.draw import quiet
from glyffuser.judge.judges import Judged
from glyffuser.judge.prompts import PARAPHRASES, PROMPTS, Prompt


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
    result = meaning(glyphs, PROMPTS, [{"nearest": 0.25, "majority": 1.0}] * len(PROMPTS))
    assert (result["rate"], result["nearest"], result["majority"]) == (0.5, 0.25, 1.0)
    assert {row["rate"] for row in result["prompts"]} == {0.5}


class Ranker:
    """A stand-in for a contrastive model: prompt i is the i-th unit vector, and so is a glyph with the feature i."""

    knows = True

    def reads(self, encoder):
        return self.knows

    def sees_with(self, recogniser):
        return True

    def read(self, encoder, texts):
        return torch.eye(len(texts))

    def see(self, features):
        return torch.eye(len(PROMPTS))[features[:, 0]]


def test_own_ranks_are_1_for_what_looks_like_its_prompt_and_higher_for_what_looks_like_another():
    right = torch.arange(len(PROMPTS)).repeat_interleave(2)[:, None]
    wrong = right.roll(2, dims=0)  # each looks like the prompt before its own, the only one to rank higher
    half = torch.where(torch.arange(len(right))[:, None] % 2 == 1, right, wrong)
    knows: Any = Ranker()
    nobody: Any = None  # recogniser and encoder, which the ranker does not use
    found = own_ranks(knows, nobody, nobody, right, half)
    assert found == {"generated": {"mean": 1.0, "first": 1.0}, "real": {"mean": 1.5, "first": 0.5}}
    knows.knows = False
    assert own_ranks(knows, nobody, nobody, right, wrong) is None


def test_references_find_the_definition_itself(pipe, splits):
    training, _ = splits
    prompts = [Prompt(training.definitions[3], (85,)), Prompt(training.definitions[5], (1,))]
    nearest = nearest_rows(pipe, training, prompts)
    assert [training.definitions[rows[0]] for rows in nearest] == [prompt.text for prompt in prompts]
    water, none = references(training, nearest, prompts)
    assert (water["nearest"], water["majority"]) == (1.0, 1.0)  # every character of the tiny data set has water
    assert (none["nearest"], none["majority"]) == (0.0, 0.0)


def test_mean_states_are_in_the_order_of_the_texts(pipe):
    texts = ["a long text comes first", "short"]
    one_by_one = torch.cat([mean_states(pipe, [text]) for text in texts])
    torch.testing.assert_close(mean_states(pipe, texts), one_by_one)


class Recorded(Artist):
    """An artist that draws nothing and remembers what it was asked for."""

    def __init__(self, pipe, settings):
        super().__init__(pipe, settings, quiet)
        self.asked = []

    def draw(self, prompts, numbers, seed=0, radical=None, finish=to_grey, **changed):
        self.asked.append((list(prompts), list(numbers), seed, radical))
        return np.zeros((len(prompts), 16, 16), np.uint8)


def test_the_radical_is_told_to_the_same_prompts_and_noise(make_pipe, shared_judges):
    assert told(Recorded(make_pipe(), EvaluationSettings()), shared_judges) is None  # the model takes none
    artist = Recorded(make_pipe(num_class_embeds=215), EvaluationSettings(per_prompt=4, told=2, told_seeds=3))
    result = told(artist, shared_judges)
    assert result is not None
    radicals = {prompt.text: prompt.radicals[0] for prompt in PROMPTS}
    *drawn, gold = artist.asked[:-6], artist.asked[-6:]
    asked = [(t, n, radical) for texts, numbers, _, radical in drawn[0] for t, n in zip(texts, numbers, strict=True)]
    assert all(radical == radicals[text] for text, _, radical in asked)
    wanted = {(prompt.text, 4 * i + k) for i, prompt in enumerate(PROMPTS) for k in range(2)}
    assert len(asked) == len(wanted)
    assert {(text, number) for text, number, _ in asked} == wanted  # the first two of the four glyphs for each prompt
    assert [(texts[0], seed, radical) for texts, _, seed, radical in gold] == [
        (text, seed, 167) for text in ("gold", "a kind of metal") for seed in range(3)
    ]
    assert result["glyphs"] == 2 * len(PROMPTS)
    assert {gold["of"] for gold in result["gold"].values()} == {48}


def test_no_more_are_told_than_have_one_from_the_text_alone_beside_them(make_pipe, shared_judges):
    pipe, settings = make_pipe(num_class_embeds=215), EvaluationSettings(per_prompt=1, told=2, told_seeds=1)
    artist = Recorded(pipe, settings)
    result = told(artist, shared_judges)
    assert result is not None
    numbers = [number for _, numbers, _, _ in artist.asked[:-2] for number in numbers]
    assert sorted(numbers) == list(range(len(PROMPTS)))
    assert result["glyphs"] == len(PROMPTS)
    assert work(settings, told=True) == work(replace(settings, told=1), told=True)


def test_glyphs_that_are_told_stand_beside_their_prompts(make_pipe, shared_judges, monkeypatch):
    """Drawn radical by radical, they are put back in the order of the prompts."""

    class Marked(Recorded):
        def draw(self, prompts, numbers, seed=0, radical=None, finish=to_grey, **changed):
            return np.stack([np.full((16, 16), number % 251, np.uint8) for number in numbers])

    seen = []

    def judged(images):
        seen.append(images[:, 0, 0].tolist())
        return shared_judges(images)

    artist = Marked(make_pipe(num_class_embeds=215), EvaluationSettings(per_prompt=2, told=2))
    told(artist, judged)  # type: ignore[arg-type]
    assert seen[0] == [number % 251 for number in range(2 * len(PROMPTS))]


def test_paraphrases_are_asked_for_by_text_alone(pipe, shared_judges):
    artist = Recorded(pipe, EvaluationSettings(paraphrases=1))
    assert len(draw_paraphrases(artist, shared_judges, PARAPHRASES, 300)) == len(PARAPHRASES)
    ((texts, numbers, _, radical),) = artist.asked
    assert (texts, radical) == ([prompt.text for prompt in PARAPHRASES], None)
    assert list(numbers) == list(range(300, 300 + len(PARAPHRASES)))


def test_shares_of_pairs_tell_how_far_they_lie_apart():
    n = 2 * len(PROMPTS)
    features, blank = torch.zeros(n, 4), torch.zeros(n)
    features[1::2, 0] = 3.0  # the two glyphs of a prompt lie 3 apart
    flaws = torch.arange(n) % 4 == 0
    glyphs = Judged(np.zeros((n, 8, 8), np.uint8), features, torch.zeros(n, 214), blank, blank, blank, flaws)
    found = shares(glyphs, 2)
    assert (found["variety"], found["flagged"]) == (3.0, 0.25)
    assert "variety" not in shares(glyphs.part(slice(0, n, 2)))
