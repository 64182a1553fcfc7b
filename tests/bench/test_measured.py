"""The tables of benchmarks: their rows, and that their counts agree; never how long anything took."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from glyffuser.base.errors import UserError
from glyffuser.bench import cold, quality, sampling, training
from glyffuser.bench.cold import run
from glyffuser.bench.peaks import Peaks, operations
from glyffuser.config import preset
from glyffuser.judge.prompts import PROMPTS
from training_runs import Run, finish


@pytest.fixture(autouse=True)
def known_peaks(monkeypatch):
    for module in (training, sampling):
        monkeypatch.setattr(module, "measure_peaks", lambda now, device: Peaks(2e11, 1e11, "float32"))


def ticking():
    """A clock on which everything takes a second."""
    ticks = iter(range(10_000))
    return lambda: float(next(ticks))


def test_training_has_a_row_a_preset_of_whatever_kind():
    names = ("tiny", "upscale128", "autoencoder")
    table = training.training(names, 2, ticking(), batch=1)
    assert [row[0] for row in table.rows] == list(names)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    for row in rows:
        assert row["glyphs/s"] == row["batch"] == 1
        assert row["G operations/glyph"] == row["G operations/s"] > 0
    assert rows[0]["ratio"] == 1


def test_a_step_counts_forward_backward_and_the_optimiser():
    config = preset("tiny")
    config.train.batch_size = 2
    step = training.whole_step(config)
    forward = operations(lambda: step.stepper.loss(step.batch))
    both = operations(lambda: step.stepper.loss(step.batch).backward())
    assert 2.5 * forward < both < 3 * forward  # the stem needs no gradient of the picture
    assert operations(step) == both  # AdamW multiplies no matrices
    config.train.optimizer = "muon"
    assert operations(training.whole_step(config)) > both


def test_a_step_that_would_take_long_gets_a_smaller_batch(monkeypatch):
    config = preset("tiny")
    assert training.affordable(config) == config.train.batch_size
    monkeypatch.setattr(training, "LONGEST", 1)
    assert training.affordable(config) == 1


def test_sampling_has_a_row_a_number_of_steps_and_the_default(make_pipe):
    pipe = make_pipe()
    usual = pipe.usual.steps
    table = sampling.sampling(pipe, (2, 1), 1, ticking(), glyphs=3)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["steps"] for row in rows] == [1, 2, usual]
    assert rows[-1]["times as fast as usual"] == 1
    each = [row["G operations/glyph"] for row in rows]
    assert each == sorted(each)


def test_a_process_is_watched_for_its_picture(tmp_path):
    picture = tmp_path / "picture.png"
    picture.touch()  # left by an earlier run
    code = f"import pathlib, time; time.sleep(.2); pathlib.Path({str(picture)!r}).touch(); time.sleep(.2)"
    found = run((sys.executable, "-c", code), picture)
    assert 0.2 <= found.picture <= found.end - 0.1
    plain = run((sys.executable, "-c", ""))
    assert plain.picture == plain.end > 0


def test_cold_starts_are_told_by_the_clock(monkeypatch):
    monkeypatch.setattr("glyffuser.bench.cold.run", lambda command, picture=None: cold.Run(1.0, 2.0, 3.0))
    table = cold.cold("bundled", 2)
    assert [row[0] for row in table.rows] == [*dict(cold.STAGES), "sample -n 1: first picture", "sample -n 1"]
    assert (table.rows[-2][1], table.rows[-1][1], table.rows[-1][3]) == (1.0, 2.0, 3.0)
    assert "By the clock" in table.notes[0]


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(UserError, match="no such luck"):
        run((sys.executable, "-c", "raise SystemExit('no such luck')"))
    with pytest.raises(UserError, match="it said nothing"):
        run((sys.executable, "-c", ""), tmp_path / "never.png")


def test_every_prompt_is_asked_once_before_any_is_asked_again():
    asked = quality.asked(len(PROMPTS) + 3)
    assert {p.text for p in asked[: len(PROMPTS)]} == {p.text for p in PROMPTS}
    assert asked[-3:] == asked[:3]


def test_quality_against_steps_is_a_table_and_a_figure(make_pipe, shared_judges, tmp_path):
    done: list[tuple[int, int]] = []
    table, figure = quality.by_steps(
        make_pipe(), shared_judges, (2, 1), 5, tmp_path, lambda *progress: done.append(progress)
    )
    assert [row[0] for row in table.rows] == [1, 2]
    assert all(row[table.columns.index("glyphs")] == 5 for row in table.rows)
    assert done[-1] == (15, 15)
    assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_error_of_a_share_is_that_of_a_binomial():
    point = quality.Point(1.0, 0.5, 0.0, 100)
    assert point.error(point.hits) == pytest.approx(0.05)
    assert point.error(point.flagged) == 0


def test_quality_against_training_takes_the_previews_of_a_run(shared_judges, tmp_path):
    log = [{"step": 0, "minutes": 0.0}, {"step": 100, "minutes": 100.0}]
    scores = [{"step": s, "radical_hits": s / 100, "flagged": 1 - s / 100} for s in (10, 40, 60)]
    for name, lines in (("metrics", log), ("scores", scores)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    table, _ = quality.by_training(tmp_path, shared_judges, 4, tmp_path / "out", lambda done, total: None)
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(row["minutes"], row["step"]) for row in rows] == [(10, 10), (40, 40), (60, 60)]  # none is near 120
    assert [row["right radical"] for row in rows] == ["10 %", "40 %", "60 %"]
    with pytest.raises(UserError, match="no scores"):
        quality.by_training(tmp_path / "none", shared_judges, 4, tmp_path, lambda done, total: None)
    (tmp_path / "scores.jsonl").write_text("{half")
    with pytest.raises(UserError, match="damaged"):
        quality.by_training(tmp_path, shared_judges, 4, tmp_path, lambda done, total: None)


def test_quality_against_training_measures_the_checkpoints_that_were_kept(tiny_config, shared_judges, tmp_path):
    finish(Run(tiny_config, tmp_path))
    kept = quality.checkpoints(tmp_path)
    assert len(kept) == tiny_config.train.keep_checkpoints
    path = kept[min(kept)]
    pipe, weights = quality.averaged(tmp_path, path), load_file(path / "ema.safetensors")
    for parameter, name in zip(pipe.unet.parameters(), sorted(weights), strict=True):
        assert torch.equal(parameter, weights[name])
    ticks: list[tuple[int, int]] = []
    both = sorted(kept)
    table, _ = quality.by_training(tmp_path, shared_judges, 2, tmp_path, lambda *tick: ticks.append(tick), minutes=both)
    assert [row[1:4] for row in table.rows] == [(quality.number(kept[at]), "checkpoint", 2) for at in both]
    assert ticks == sorted(ticks)  # one count over both
    assert ticks[-1] == (4, 4)
    (tmp_path / "scores.jsonl").unlink(missing_ok=True)
    with pytest.raises(UserError, match="no checkpoint from about 1000 minutes"):
        quality.by_training(tmp_path, shared_judges, 2, tmp_path, lambda done, total: None, minutes=(1000,))


def test_a_run_that_has_not_ended_has_no_checkpoints_to_measure(tmp_path: Path):
    assert quality.checkpoints(tmp_path) == {}
