"""The evaluation of a model: same seed, same numbers; numbers that are what they say; refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.base.noise import seeded
from glyffuser.config import GUIDANCE
from glyffuser.evaluate.measure import Artist, EvaluationSettings, crispness, distribution, evaluate, work
from glyffuser.evaluate.report import lines, render, table, write_report
from glyffuser.generate.draw import quiet
from glyffuser.judge.prompts import GOLD, PROMPTS

SMALL = EvaluationSettings(
    per_prompt=2,
    gold_seeds=1,
    definitions=60,
    steps=1,
    curve_steps=(1, 2),
    curve_guidance=(1.0, GUIDANCE, 3.0),
)


@pytest.fixture(scope="module")
def pipe(make_pipe):
    return make_pipe()


@pytest.fixture(scope="module")
def evaluation(pipe, shared_judges, splits):
    done = []
    result = evaluate(pipe, shared_judges, splits[0], splits[1], SMALL, lambda now, total: done.append((now, total)))
    assert done[-1] == (work(SMALL), work(SMALL))
    return result


def test_same_seed_same_numbers_and_another_seed_others(evaluation, pipe, judges, splits):
    def numbers(settings):
        result = evaluate(pipe, judges, splits[0], splits[1], settings).numbers
        del result["seconds_for_16_glyphs"]
        return result

    first = {key: value for key, value in evaluation.numbers.items() if key != "seconds_for_16_glyphs"}
    assert numbers(SMALL) == first
    assert numbers(replace(SMALL, seed=1))["distribution"] != first["distribution"]


def test_counts_and_hashes_stand_beside_the_numbers(evaluation, judges):
    numbers = evaluation.numbers
    assert numbers["facts"]["judges"] == judges.hashes()
    assert (numbers["distribution"]["n"], numbers["distribution"]["n_real"]) == (60, 64)
    assert numbers["meaning"]["glyphs"] == 160
    assert {g["of"] for g in numbers["meaning"]["gold"].values()} == {16}
    assert [p["steps"] for p in numbers["curves"]["steps"]] == [1, 2]
    assert [p["guidance"] for p in numbers["curves"]["guidance"]] == [1.0, GUIDANCE, 3.0]


def test_the_report_is_complete_and_asks_nothing_of_the_network(evaluation, tmp_path):
    data, page = write_report(evaluation, tmp_path)
    assert data.read_text().startswith("{")
    html = page.read_text()
    assert "http" not in html
    assert html.count("data:image/png;base64,") > len(PROMPTS)
    for what, _, _ in table(evaluation.numbers):
        assert what in html.replace("&#34;", '"')
    assert "FID" not in "\n".join(lines(evaluation.numbers))
    assert render(evaluation) == html


def test_equal_sets_are_at_no_distance():
    torch.manual_seed(0)
    a, b = torch.randn(300, 4), torch.randn(300, 4)
    result = distribution(a + 1, b, a)
    assert result["generated"]["frechet"] > 3 > 0.2 > result["real"]["frechet"]
    assert result["generated"]["coverage"] < result["real"]["coverage"]
    with pytest.raises(UserError, match="needs"):
        distribution(a[:4], b, a)


def test_crispness_counts_grey_and_dirt():
    images = np.full((2, 10, 10), 255, np.uint8)
    images[:, 4:6, 4:6] = 0  # four pixels of ink each
    images[0, 4, 6] = 128  # one grey pixel
    images[1, 0, 0] = 254  # dirt in a corner
    assert crispness(images) == {"grey": 1 / 8, "dirty": 0.5, "specks": 0.5}
    images[1, 0, 0], images[1, 1, 5] = 255, 254  # three pixels from ink: an edge, not a speck
    assert crispness(images)["specks"] == 0


def test_glyphs_do_not_depend_on_what_else_is_drawn(pipe):
    artist = Artist(pipe, SMALL, quiet)
    alone = artist.draw(["fish"], first=20)
    among = artist.draw(["gold"] * 20 + ["fish"], first=0)
    assert np.abs(alone[0].astype(int) - among[20]).max() <= 1
    (picture,) = pipe(["fish"], num_inference_steps=1, generator=[seeded(0, 20)], return_dict=False)[0]
    assert np.abs(np.asarray(picture).astype(int) - alone[0]).max() <= 1


def test_data_that_do_not_fit_are_named(pipe, judges, splits):
    training, held_out = splits
    with pytest.raises(UserError, match="60 held-out"):
        evaluate(
            pipe, judges, training, training.__class__(**{**vars(held_out), "images": held_out.images[:10]}), SMALL
        )
    large = replace(training, images=training.images.repeat(2, axis=1).repeat(2, axis=2))
    with pytest.raises(UserError, match="16-pixel glyphs"):
        evaluate(pipe, judges, large, held_out, SMALL)


def test_gold_is_asked_for_by_the_metal_radical():
    assert all(prompt.radicals == (167,) for prompt in GOLD)
