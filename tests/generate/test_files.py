"""From prompts to files."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from diffusers import DDIMScheduler
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.config import GUIDANCE, SAMPLER
from glyffuser.generate.files import read_record, sample_to_folder, slug_of, stems
from glyffuser.generate.request import Request, Usual
from glyffuser.judge.novelty import EXISTS, Match

FEW = Request(n=3, steps=2)


@pytest.fixture(scope="module")
def pipe(make_pipe):
    return make_pipe()


def test_files_are_those_of_the_contract(pipe, tmp_path):
    (result,) = sample_to_folder(pipe, [replace(FEW, prompt="A kind of fish!")], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a-kind-of-fish-0-0.png",
        "a-kind-of-fish-0-1.png",
        "a-kind-of-fish-0-2.png",
        "a-kind-of-fish-0.json",
        "a-kind-of-fish-0.png",
    ]
    size = pipe.unet.config.sample_size
    with Image.open(result.glyphs[0]) as picture:
        assert (picture.size, picture.mode) == ((size, size), "L")
    with Image.open(result.grid) as sheet:
        assert sheet.size == (2 * size, 2 * size)  # three glyphs in a block of four, the last place blank
        assert np.asarray(sheet)[size:, size:].min() == 255
        single = np.asarray(Image.open(result.glyphs[1]))
        np.testing.assert_array_equal(np.asarray(sheet)[:size, size:], single)
    facts = json.loads(result.json.read_text())
    assert facts["prompt"] == "A kind of fish!"
    assert (facts["n"], facts["steps"], facts["guidance"], facts["seed"]) == (3, 2, GUIDANCE, 0)
    assert facts["sampler"] == SAMPLER
    assert len(facts["model"]) == 16
    assert facts["seconds"] >= 0


def test_same_arguments_give_the_same_bytes_and_another_seed_others(pipe, tmp_path):
    once, twice, other = (
        sample_to_folder(pipe, [Request("gold", n=2, steps=2, seed=seed)], tmp_path / name)[0]
        for name, seed in (("a", 7), ("b", 7), ("c", 8))
    )
    for first, second in zip(once.glyphs, twice.glyphs, strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert once.glyphs[0].read_bytes() != other.glyphs[0].read_bytes()


def test_a_glyph_does_not_depend_on_how_many_are_drawn(pipe, tmp_path):
    few = sample_to_folder(pipe, [Request("gold", n=1, steps=2)], tmp_path / "few")[0]
    many = sample_to_folder(pipe, [Request("gold", n=18, steps=2)], tmp_path / "many")[0]
    assert len(many.glyphs) == 18  # more than one batch
    first, same = (np.asarray(Image.open(r.glyphs[0])).astype(int) for r in (few, many))
    assert np.abs(first - same).max() <= 2  # other batch sizes round differently


def test_progress_counts_every_step_of_every_batch(pipe, tmp_path):
    seen = []
    sample_to_folder(
        pipe, [Request(word, n=17, steps=2) for word in ("gold", "fish")], tmp_path, lambda *at: seen.append(at)
    )
    assert seen == [(34 * i // 4, 68) for i in range(1, 9)]  # two batches of two steps per prompt, 17 glyphs times 2


@pytest.mark.parametrize(
    ("prompt", "slug"),
    [
        ("gold", "gold"),
        ("A kind of fish", "a-kind-of-fish"),
        ("../../etc/passwd", "etc-passwd"),
        ("...", "glyph"),
        ("x" * 300, "x" * 48),
    ],
)
def test_slugs_are_safe(prompt, slug):
    assert slug_of(prompt) == slug


@pytest.mark.parametrize(
    ("prompts", "seed", "names"),
    [
        (["gold!", "gold?"], 0, ["gold-0", "gold-2-0"]),
        (["gold!", "gold?"], 2, ["gold-2", "gold-3-2"]),  # gold-2-2 is the last glyph of the first
        (["gold", "gold 0"], 0, ["gold-0", "gold-0-2-0"]),
        (["gold 0", "gold"], 0, ["gold-0-0", "gold-2-0"]),
        (["x" * 60, "x" * 50], 0, [f"{'x' * 48}-0", f"{'x' * 48}-2-0"]),
    ],
)
def test_no_request_takes_the_files_of_another(prompts, seed, names):
    assert stems([replace(FEW, prompt=prompt, seed=seed) for prompt in prompts]) == names


def test_pictures_of_one_call_do_not_overwrite_each_other(pipe, tmp_path):
    made = sample_to_folder(pipe, [Request(word, n=3, steps=1, seed=2) for word in ("gold!", "gold?")], tmp_path)
    told = [path for one in made for path in (one.grid, one.json, *one.glyphs)]
    assert sorted(told) == sorted(tmp_path.iterdir())
    assert len(set(told)) == 10


@pytest.mark.parametrize(
    "settings",
    [
        *({"n": 0}, {"n": 10**6}, {"seed": -1}, {"seed": 2**64}),
        *({"interval": limits} for limits in ((5.0, 0.1), (math.nan, 5.0), (0.0, math.nan), (-math.inf, 5.0))),
    ],
)
def test_settings_out_of_range_are_named(pipe, tmp_path, settings):
    with pytest.raises(UserError, match=r"must be between"):
        sample_to_folder(pipe, [Request("gold", **settings)], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "wrong",
    [
        *({"steps": 0}, {"guidance": math.nan}, {"sampler": "plms"}, {"spacing": "even"}, {"eta": 0.5}),
        *({"negative": "水"}, {"style": "kai"}, {"style": "sans:-1, serif:2"}, {"radical": 85}),
    ],
    ids=str,
)
def test_a_request_that_cannot_be_drawn_is_refused_before_any_is(pipe, tmp_path, wrong):
    good = Request("gold", n=1, steps=1, sampler="euler")
    with pytest.raises(UserError):
        sample_to_folder(pipe, [good, replace(good, prompt="fish", **wrong)], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_again_gives_the_same_bytes(pipe, tmp_path):
    request = Request(
        "gold", n=2, steps=3, guidance=3.0, interval=(0.1, 5.0), negative="fish", seed=7, sampler="ddim", eta=0.5
    )
    (first,) = sample_to_folder(pipe, [request], tmp_path / "first")
    assert read_record(first.json, pipe) == replace(request, new=False)
    (again,) = sample_to_folder(pipe, [read_record(first.json, pipe)], tmp_path / "again")
    assert [p.read_bytes() for p in again.glyphs] == [p.read_bytes() for p in first.glyphs]


def test_a_model_with_a_scheduler_of_diffusers_repeats_its_records(make_pipe, tmp_path):
    pipe = make_pipe()
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    (first,) = sample_to_folder(pipe, [replace(FEW, prompt="gold")], tmp_path / "first")
    assert json.loads(first.json.read_text())["sampler"] == "DDIMScheduler"
    (again,) = sample_to_folder(pipe, [read_record(first.json, pipe)], tmp_path / "again")
    assert [p.read_bytes() for p in again.glyphs] == [p.read_bytes() for p in first.glyphs]


def test_a_record_is_plain_json_and_holds_every_setting():
    for best_of in (1, 3):  # a default that depends on another setting is written out
        request = Request("gold", interval=(0.3, math.inf), best_of=best_of).settled(Usual(4, 1.0))
        assert (request.steps, request.guidance) == (4, 1.0)
        text = json.dumps(request.record(), allow_nan=False)
        assert Request.from_record(json.loads(text)) == replace(request, new=best_of > 1)


def test_a_record_without_an_eta_is_drawn_with_that_of_its_sampler():
    # When it was written, models had no eta of their own; today's may have one.
    facts = Request("gold", sampler="dpm++2m-sde").settled(Usual()).record() | {"eta": None}
    assert Request.from_record(facts).settled(Usual(eta=8.0)).eta == 1.0
    assert Request.from_record(facts | {"sampler": "euler"}).settled(Usual(eta=8.0)).eta is None


def test_records_of_another_kind_or_model_are_refused(pipe, tmp_path):
    (made,) = sample_to_folder(pipe, [replace(FEW, prompt="gold", n=1)], tmp_path)
    facts = json.loads(made.json.read_text())
    without = {name: fact for name, fact in facts.items() if name != "steps"}
    for broken, words in (
        (facts | {"model": "0" * 16}, "--model"),
        (facts | {"engine": "onnx int8"}, "--engine"),
        (without, "steps"),
    ):
        made.json.write_text(json.dumps(broken))
        with pytest.raises(UserError, match=words):
            read_record(made.json, pipe)
    for name, wrong in (("interval", 5), ("interval", ["a", 1]), ("steps", "ten"), ("seed", None), ("eta", "x")):
        made.json.write_text(json.dumps(facts | {name: wrong}))
        with pytest.raises(UserError, match=f"its {name} is"):
            read_record(made.json, pipe)
    made.json.write_text("[]")
    with pytest.raises(UserError, match="not a record"):
        read_record(made.json, pipe)
    with pytest.raises(UserError, match="cannot read"):
        read_record(tmp_path / "none.json", pipe)


def test_the_record_says_of_each_glyph_whether_it_exists(pipe, tmp_path, monkeypatch):
    matches = [Match("金", 5, 1.5), Match("銀", 7, 8.25), Match("銅", 9, EXISTS)]

    class Table:
        def nearest(self, images):
            assert len(images) == 3
            return matches

    monkeypatch.setattr("glyffuser.generate.files.load_ideographs", Table)
    (made,) = sample_to_folder(pipe, [replace(FEW, prompt="gold")], tmp_path)
    assert json.loads(made.json.read_text())["nearest"] == [
        {"char": "金", "distance": 1.5, "exists": True},
        {"char": "銀", "distance": 8.25, "exists": False},
        {"char": "銅", "distance": EXISTS, "exists": True},
    ]
    assert made.existing == ["金", "銅"]


def test_the_selector_chooses_and_the_judges_are_not_asked(pipe, tmp_path, monkeypatch, judges):
    monkeypatch.setattr("glyffuser.generate.files.load_selector", lambda: judges)
    monkeypatch.setattr("glyffuser.judge.judges.load_judges", lambda *_: pytest.fail("the judges were asked"))
    request = Request("gold", n=2, steps=2, best_of=3, new=False)
    (best,) = sample_to_folder(pipe, [request], tmp_path / "best")
    (whole,) = sample_to_folder(pipe, [replace(request, n=6, best_of=1)], tmp_path / "whole")
    pictures = np.stack([np.asarray(Image.open(path)) for path in whole.glyphs])
    merit = judges.merit(judges(pictures), judges.expect(pipe.text_encoder, ["gold"])[0])
    kept = json.loads(best.json.read_text())["kept"]
    assert kept == sorted(merit.argsort(descending=True)[:2].tolist())
    assert [path.read_bytes() for path in best.glyphs] == [whole.glyphs[k].read_bytes() for k in kept]


def test_a_model_whose_prompts_the_selector_cannot_read_is_refused_before_drawing(pipe, tmp_path, monkeypatch, judges):
    judges.prior.register_to_config(encoder="another")
    monkeypatch.setattr("glyffuser.generate.files.load_selector", lambda: judges)
    with pytest.raises(UserError, match="--best-of"):
        sample_to_folder(pipe, [Request("gold", n=1, steps=2, best_of=2)], tmp_path, lambda *_: pytest.fail("drawing"))
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_takes_no_text_has_none_that_the_selector_cannot_read(make_pipe, tmp_path, monkeypatch, judges):
    judges.prior.register_to_config(encoder="another")
    monkeypatch.setattr("glyffuser.generate.files.load_selector", lambda: judges)
    pipe = make_pipe(text_route="none", sample_size=32)
    (made,) = sample_to_folder(pipe, [Request(n=1, steps=1, best_of=2, new=False)], tmp_path)
    assert len(json.loads(made.json.read_text())["kept"]) == 1
