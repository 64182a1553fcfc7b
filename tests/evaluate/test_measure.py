"""The evaluation of a model: same seed, same numbers; numbers that are what they say; refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from crews import InTurn
from evaluating import ask_few_paraphrases
from glyffuser.base.errors import UserError
from glyffuser.base.noise import seeded
from glyffuser.base.weights import weights_hash
from glyffuser.config import GUIDANCE
from glyffuser.evaluate import measure
from glyffuser.evaluate.artist import Artist, EvaluationSettings, work
from glyffuser.evaluate.measure import Measures, best_of, distribution, evaluate, novelty
from glyffuser.evaluate.report import lines, render, table, write_report
from glyffuser.generate.draw import quiet
from glyffuser.judge.contrastive import Contrastive
from glyffuser.judge.judges import Judged, Judges
from glyffuser.judge.novelty import EXISTS, Match, build_ideographs
from glyffuser.judge.prompts import PROMPTS

SMALL = EvaluationSettings(
    per_prompt=2,
    gold_seeds=1,
    paraphrases=1,
    told=1,
    told_seeds=1,
    definitions=60,
    steps=2,  # the first step is not guided
    curve_steps=(1, 2),
    curve_guidance=(1.0, GUIDANCE, 4.0),
)


@pytest.fixture(scope="module", autouse=True)
def few_paraphrases():
    with pytest.MonkeyPatch.context() as patch:
        ask_few_paraphrases(patch)
        yield


@pytest.fixture(scope="module")
def pipe(make_pipe):
    return make_pipe()


@pytest.fixture(scope="module")
def ideographs(splits):
    training, _ = splits
    return build_ideographs(training.codepoints[:3], training.images[:3], "Three Regular")


@pytest.fixture(scope="module")
def contrastive():
    torch.manual_seed(0)
    return Contrastive(features=8, dim=16, width=8).eval()


@pytest.fixture(scope="module")
def measures(shared_judges, ideographs, contrastive):
    return Measures(shared_judges, shared_judges, ideographs, contrastive)


@pytest.fixture(scope="module")
def evaluation(pipe, measures, splits):
    done = []
    result = evaluate(pipe, measures, splits[0], splits[1], SMALL, lambda now, total: done.append((now, total)))
    assert done[-1] == (work(SMALL, told=False), work(SMALL, told=False))
    return result


def without_seconds(numbers):
    return {key: value for key, value in numbers.items() if key != "seconds_for_16_glyphs"}


def test_same_seed_same_numbers_however_many_processes_share_the_drawing(evaluation, pipe, measures, splits):
    again = evaluate(pipe, measures, splits[0], splits[1], SMALL, crew=InTurn(size=3))
    assert without_seconds(again.numbers) == without_seconds(evaluation.numbers)


def test_another_seed_draws_other_glyphs(pipe):
    first, same, other = (Artist(pipe, replace(SMALL, seed=seed), quiet).draw(["gold"], [0]) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_a_model_that_takes_a_radical_is_asked_with_and_without(make_pipe, measures, splits):
    pipe, done = make_pipe(num_class_embeds=215), []
    pipe.unet.class_embedding.weight.data.zero_()  # it ignores the radical, so both ways must give the same glyphs
    settings = replace(SMALL, curve_steps=(), curve_guidance=())
    result = evaluate(pipe, measures, splits[0], splits[1], settings, lambda now, total: done.append((now, total)))
    assert done[-1] == (work(settings, told=True), work(settings, told=True))
    meaning = result.numbers["meaning"]
    assert meaning["told"]["gold"] == meaning["gold"]
    assert meaning["told"]["glyphs"] == len(PROMPTS)
    names = [what for what, _, _ in table(result.numbers)]
    assert "radical hit rate, 80 prompts, radical told" in names
    assert '"gold" with the metal radical, radical told' in names


def test_counts_and_hashes_stand_beside_the_numbers(evaluation, measures):
    numbers = evaluation.numbers
    hashes = measures.judges.hashes()
    assert numbers["facts"]["judges"] == hashes
    assert numbers["facts"]["selector"] == {name: hashes[name] for name in ("recogniser", "plausibility")}
    assert (numbers["distribution"]["n"], numbers["distribution"]["n_real"]) == (60, 64)
    assert numbers["meaning"]["glyphs"] == 160
    assert {g["of"] for g in numbers["meaning"]["gold"].values()} == {16}
    assert numbers["meaning"]["paraphrases"]["glyphs"] == len(measure.PARAPHRASES)
    assert numbers["meaning"]["others"]["glyphs"] == len(measure.OTHER_PARAPHRASES)
    assert numbers["meaning"]["told"] is None  # the model takes none
    assert numbers["facts"]["contrastive"] == weights_hash(measures.contrastive)
    assert all(1 <= numbers["meaning"]["ranks"][key]["mean"] <= 80 for key in ("generated", "real"))
    assert "mean rank of the own prompt among the 80 prompts, contrastive model" in {row[0] for row in table(numbers)}
    assert (numbers["novelty"]["font"], numbers["novelty"]["ideographs"]) == ("Three Regular", 3)
    assert [p["steps"] for p in numbers["curves"]["steps"]] == [1, 2]
    assert [p["guidance"] for p in numbers["curves"]["guidance"]] == [1.0, GUIDANCE, 4.0]


def test_the_usual_settings_are_one_point_of_both_curves(evaluation):
    curves = evaluation.numbers["curves"]
    usual = {key: value for key, value in curves["steps"][1].items() if key != "steps"}
    assert curves["guidance"][1] == {"guidance": GUIDANCE, **usual}
    assert curves["guidance"][0]["variety"] != usual["variety"]
    assert usual["rate"] == evaluation.numbers["meaning"]["rate"]  # there are only two glyphs per prompt
    assert usual["variety"] == evaluation.numbers["variety"]["generated"]


def test_the_report_is_complete_and_asks_nothing_of_the_network(evaluation, tmp_path):
    data, page = write_report(evaluation, tmp_path)
    assert data.read_text().startswith("{")
    html = page.read_text()
    assert "http" not in html
    assert html.count("data:image/png;base64,") > len([*PROMPTS, *measure.PARAPHRASES, *measure.OTHER_PARAPHRASES])
    for what, _, _ in table(evaluation.numbers):
        assert what in html.replace("&#34;", '"')
    assert "FID" not in "\n".join(lines(evaluation.numbers))
    assert render(evaluation) == html


def test_a_row_holds_numbers_of_the_model_or_is_a_line_of_reference(evaluation):
    for what, model, real in table(evaluation.numbers):
        assert (model == "") == what.startswith("reference: "), what
        assert model or real


def test_glyphs_that_exist_are_named_with_their_prompts(ideographs, splits, evaluation):
    texts = ["gold", "fish", "tree"]
    found = novelty(
        ideographs, [Match("金", 0, 3.5), Match("魚", 1, EXISTS + 0.1), Match("木", 2, 1.25)], texts, splits[1]
    )
    assert found["rate"] == 2 / 3
    assert found["distance"] == 3.5
    assert found["existing"] == [
        {"char": "木", "prompt": "tree", "distance": 1.25},
        {"char": "金", "prompt": "gold", "distance": 3.5},
    ]
    text = "\n".join(lines(evaluation.numbers | {"novelty": found}))
    assert '木  1.25  "tree"' in text
    assert "魚" not in text
    html = render(replace(evaluation, numbers=evaluation.numbers | {"novelty": found}))
    assert "of 3 ideographs" in html.replace("\n", " ")


def test_real_glyphs_are_compared_with_other_characters_than_themselves(ideographs, splits):
    training, _ = splits
    known = training.select(np.arange(3))
    assert [match.distance for match in ideographs.nearest(known.images)] == [0, 0, 0]
    assert novelty(ideographs, [Match("金", 0, 9.0)], ["gold"], known)["real_distance"] > 0


class Readers(Judges):
    """Judges or a selector that answer by the first pixel of a glyph: its radical, merit and flag (for a 2)."""

    def __init__(self, radicals, merits):
        self.radicals, self.merits = radicals, merits

    def understand(self, encoder):
        return True

    def expect(self, encoder, texts):
        return torch.zeros(len(texts), 214)

    def __call__(self, images):
        radical = torch.full((len(images), 214), -9.0)
        for i, image in enumerate(images):
            radical[i, self.radicals[image[0, 0]] - 1] = 0
        blank = torch.zeros(len(images))
        return Judged(images, blank[:, None], radical, blank, blank, blank, torch.tensor(images[:, 0, 0] == 2))

    def merit(self, judged, expected):
        assert len(judged) == len(expected)
        return torch.tensor([self.merits[k] for k in judged.images[:, 0, 0]])


def test_best_of_is_chosen_by_the_selector_and_scored_by_the_judges(pipe, ideographs, contrastive):
    """Three glyphs per prompt. The selector likes the third best, which the judges flag; if it exists, the second."""
    images = np.tile(np.arange(3, dtype=np.uint8), len(PROMPTS))[:, None, None].repeat(4, 1).repeat(4, 2)
    right = [prompt.radicals[0] for prompt in PROMPTS]
    judges = Readers({0: 1, 1: right[0], 2: 1}, {})
    selector = Readers({0: 1, 1: 1, 2: 1}, {0: 0.0, 1: 1.0, 2: 2.0})
    new = [Match("金", 0, 9.0)] * len(images)
    measures = Measures(judges, selector, ideographs, contrastive)
    third = best_of(measures, judges(images), new, pipe, 3)
    assert third is not None
    assert third == {"k": 3, "rate": 0.0, "flagged": 1.0, "existing": 0.0}
    exists = [Match("金", 0, 0.0 if i % 3 == 2 else 9.0) for i in range(len(images))]
    second = best_of(measures, judges(images), exists, pipe, 3)
    metal = sum(right[0] in prompt.radicals for prompt in PROMPTS) / len(PROMPTS)
    assert second == {"k": 3, "rate": pytest.approx(metal), "flagged": 0.0, "existing": 0.0}
    everything = best_of(measures, judges(images), [Match("金", 0, 0.0)] * len(images), pipe, 3)
    assert everything == third | {"existing": 1.0}  # where all exist, the best of them
    assert best_of(measures, judges(images[::3]), new[::3], pipe, 1) is None


def test_equal_sets_are_at_no_distance():
    torch.manual_seed(0)
    a, b = torch.randn(300, 4), torch.randn(300, 4)
    result = distribution(a + 1, b, a)
    assert result["generated"]["frechet"] > 3 > 0.2 > result["real"]["frechet"]
    assert result["generated"]["coverage"] < result["real"]["coverage"]
    with pytest.raises(UserError, match="needs"):
        distribution(a[:4], b, a)


def test_glyphs_do_not_depend_on_what_else_is_drawn(pipe):
    artist = Artist(pipe, SMALL, quiet)
    alone = artist.draw(["fish"], [20])
    among = artist.draw(["gold"] * 20 + ["fish"], range(21))
    np.testing.assert_array_equal(alone[0], among[20])
    (picture,) = pipe(["fish"], num_inference_steps=SMALL.steps, generator=[seeded(0, 20)], return_dict=False)[0]
    assert np.abs(np.asarray(picture).astype(int) - alone[0]).max() <= 1


def test_data_that_do_not_fit_are_named(pipe, measures, splits):
    training, held_out = splits
    with pytest.raises(UserError, match="60 held-out"):
        evaluate(pipe, measures, training, held_out.select(np.arange(10)), SMALL)
    large = replace(training, images=training.images.repeat(2, axis=1).repeat(2, axis=2))
    with pytest.raises(UserError, match="16-pixel glyphs"):
        evaluate(pipe, measures, large, held_out, SMALL)


@pytest.mark.parametrize(
    ("wrong", "words"), [({"per_prompt": 0}, "--per-prompt must be 1 or more"), ({"seed": -1}, "seed must be between")]
)
def test_settings_out_of_range_are_refused_before_anything_is_drawn(wrong, words, pipe, measures, splits):
    with pytest.raises(UserError, match=words):
        evaluate(pipe, measures, splits[0], splits[1], replace(SMALL, **wrong), lambda *done: pytest.fail("it drew"))
