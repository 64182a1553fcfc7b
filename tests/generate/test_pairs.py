"""Pairs to choose from: each a function of its number, for meanings that can be read, and chosen by the selector."""

import json

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.base.weights import weights_hash
from glyffuser.data.pairs import Pair, picture, read_senses
from glyffuser.data.schema import png
from glyffuser.generate.draw import draw
from glyffuser.generate.pairs import PairSource, by_flaws, known_meanings, read_prompts
from glyffuser.generate.request import Request
from glyffuser.judge.prompts import PROMPTS

REQUEST = Request(steps=2, guidance=1.5, seed=7)


@pytest.fixture(scope="module")
def pipe(make_pipe):
    return make_pipe()


def test_a_pair_is_what_sampling_draws_for_its_numbers(pipe):
    source = PairSource(pipe, ["gold", "a river"], REQUEST)
    pair = source.draw(3)
    assert pair == source.draw(3)
    assert (pair.seed, pair.left_number, pair.right_number, pair.choice) == (7, 6, 7, "")
    glyphs = draw(pipe, [pair.prompt] * 2, REQUEST, numbers=[6, 7])
    assert (picture(pair.left, "") == glyphs[0]).all()
    assert (picture(pair.right, "") == glyphs[1]).all()
    assert pair.model == weights_hash(pipe.unet)
    told = json.loads(pair.settings)
    assert (told["steps"], told["guidance"], told["sampler"]) == (2, 1.5, pipe.sampler_name)


def test_each_pass_has_each_meaning_once(pipe):
    prompts = [f"meaning {k}" for k in range(10)]
    passes = [[PairSource(pipe, prompts, REQUEST).blank(k).prompt for k in range(i, i + 10)] for i in (0, 10)]
    assert sorted(passes[0]) == sorted(passes[1]) == prompts
    assert passes[0] != passes[1]


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"sampler": "none"}, {"seed": -1}, {"guidance": float("nan")}, {"negative": "水"}]
)
def test_settings_out_of_range_are_refused_before_anything_is_drawn(pipe, wrong):
    with pytest.raises(UserError):
        PairSource(pipe, ["gold"], Request(**wrong))


def test_meanings_from_a_file(tmp_path, pipe):
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeff# mine\n gold \n\na river\ngold\n", encoding="utf-8")
    assert read_prompts(path, pipe) == ["gold", "a river"]
    for text, reason in {
        "gold\n湖\n": "line 2 of .*cannot read '湖'",
        "fire:1, water:2": "line 1 of .*is a mixture",
        "a" * 201: "201 characters is too long",
        "\n \n": "holds no meanings",
    }.items():
        path.write_text(text)
        with pytest.raises(UserError, match=reason):
            read_prompts(path, pipe)


def test_meanings_of_a_data_set_are_its_senses_shuffled(tiny_data, pipe):
    senses = read_senses(tiny_data, "train")
    found = known_meanings(tiny_data, pipe, 0)
    assert set(found) <= set(senses)
    assert found == known_meanings(tiny_data, pipe, 0) != known_meanings(tiny_data, pipe, 1)


def test_no_prompt_of_the_evaluation_is_among_them(tiny_data, pipe, monkeypatch):
    senses = ["Gold", "gold ingot", *(prompt.text for prompt in PROMPTS)]
    monkeypatch.setattr("glyffuser.generate.pairs.read_senses", lambda path, split: senses)
    assert known_meanings(tiny_data, pipe, 0) == ["gold ingot"]


@pytest.mark.parametrize(("blots", "choice"), [((0, 5), "left"), ((5, 0), "right"), ((5, 9), "bad"), ((0, 0), "left")])
def test_flaws_decide(judges, monkeypatch, blots, choice):
    """The oracle is a judge whose score is the number of black rows, and which flags three."""
    judge = judges.plausibility
    judge.register_to_config(threshold=3.0)
    monkeypatch.setattr(judge, "score", lambda images: (torch.from_numpy((images == 0).all(2).sum(1)).float(), None))
    pictures = np.full((2, 16, 16), 255, np.uint8)
    for image, rows in zip(pictures, blots, strict=True):
        image[:rows] = 0
    assert by_flaws(Pair(0, "gold", 0, 0, 1, png(pictures[0]), png(pictures[1]), "", ""), judge) == choice
