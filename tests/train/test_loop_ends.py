"""How runs end, well and badly, and which are not begun."""

import errno
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.config import Config, load_config
from glyffuser.diffusion.process import Process
from glyffuser.generate.load import load_pipeline
from glyffuser.train import checkpoint
from glyffuser.train import loop as train
from glyffuser.train.checkpoint import list_checkpoints
from glyffuser.train.loop import Diverged
from glyffuser.train.parts import Parts
from training_runs import Run, assert_same, finish, listing, log, told


def test_a_finished_run_does_nothing_more(tiny_config, tmp_path):
    tiny_config.train.max_steps = 2
    finish(Run(tiny_config, tmp_path))
    before = log(tmp_path)
    assert finish(Run(tiny_config, tmp_path)) == []
    assert log(tmp_path) == before


def test_a_finished_run_can_be_made_longer(tiny_config, tmp_path):
    finish(Run(tiny_config, tmp_path))
    tiny_config.train.max_steps = 10
    assert [p.step for p in finish(Run(tiny_config, tmp_path))] == [9, 10]


def test_max_minutes_ends_cleanly(tiny_config, tmp_path, monkeypatch):
    """A clock that is read twice a step; each reading takes a 64th of a minute, so a minute has 32 steps."""
    now = 0.0

    def perf_counter() -> float:
        nonlocal now
        now += 60 / 64
        return now

    monkeypatch.setattr(train, "time", SimpleNamespace(perf_counter=perf_counter))
    tiny_config.train.max_minutes, tiny_config.train.max_steps, tiny_config.train.decay = 0.5, 1000, 0.5
    run = Run(tiny_config, tmp_path)
    steps = finish(run)
    assert (run.state.step, run.state.minutes) == (16, 0.5)
    assert [p.glyphs_per_second for p in steps] == [8 * 64 / 60] * 16
    rates = [p.lr for p in steps]
    assert max(rates) == tiny_config.train.lr
    assert rates[8:] == sorted(rates[8:], reverse=True)
    assert rates[-1] < 0.2 * max(rates)  # it has decayed although max_steps is far away
    assert load_pipeline(tmp_path / "model") is not None
    assert finish(Run(tiny_config, tmp_path)) == []


class Broken:
    """The loss function, broken after some calls."""

    def __init__(self, factor: float, after: int):
        self.factor, self.after, self.calls, self.loss = factor, after, 0, Process.loss

    def __call__(self, *args):
        self.calls += 1
        return self.loss(*args) * (self.factor if self.calls > self.after else 1.0)


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1e4])
def test_divergence_stops_and_keeps_the_last_good_checkpoint(tiny_config, tmp_path, monkeypatch, factor):
    broken = Broken(factor, after=6)
    monkeypatch.setattr(Process, "loss", lambda *args: broken(*args))
    with pytest.raises(Diverged, match=r"diverged at step 7 .*--set train.lr=0.0004"):
        finish(Run(tiny_config, tmp_path))
    assert [p.name for p in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000005"]
    monkeypatch.undo()
    resumed = Run(tiny_config, tmp_path)
    assert resumed.state.step == 5
    assert all(p.isfinite().all() for p in resumed.state.network.parameters())
    finish(resumed)


def test_a_broken_gradient_is_never_saved(tiny_config, tmp_path, monkeypatch):
    """The loss of the step is still finite, but no weight is afterwards."""
    run = Run(tiny_config, tmp_path)
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    run.state.step = 4
    with pytest.raises(Diverged, match="at step 5"):
        finish(run)
    assert list_checkpoints(tmp_path / "checkpoints") == []


def test_a_full_disk_loses_nothing(tiny_config, tmp_path, monkeypatch):
    run = Run(tiny_config, tmp_path)
    steps = run.steps()
    while next(steps).step < 6:
        pass

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match=r"cannot write a checkpoint in .*No space left on device.*start again"):
        list(steps)
    monkeypatch.undo()
    resumed = Run(tiny_config, tmp_path)
    assert resumed.state.step == 5
    finish(resumed)
    whole = Run(tiny_config, tmp_path / "whole")
    finish(whole)
    assert_same(whole, resumed)


def test_a_closed_loop_leaves_what_a_killed_one_would(tiny_config, tmp_path):
    run = Run(tiny_config, tmp_path)
    steps = run.steps()
    while next(steps).step < 6:
        pass
    steps.close()
    assert [p.name for p in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000005"]
    assert not (tmp_path / "model").exists()
    assert Run(tiny_config, tmp_path).state.step == 5


def test_a_preview_that_a_kill_prevented_is_drawn_on_resuming(tiny_config, tmp_path, monkeypatch):
    tiny_config.train.preview_every, tiny_config.train.max_steps = 5, 6
    killed = False

    def build(parts: Parts, out: Path) -> Callable[[object, int], dict[str, float]]:
        def previews(pipe: object, step: int) -> dict[str, float]:
            nonlocal killed
            if not killed:
                killed = True
                raise KeyboardInterrupt
            with (out / "scores.jsonl").open("a") as file:
                file.write(json.dumps({"step": step}) + "\n")
            return {}

        return previews

    monkeypatch.setattr("glyffuser.train.loop.build_previews", build)
    with pytest.raises(KeyboardInterrupt):
        finish(Run(tiny_config, tmp_path))
    for _ in range(2):
        finish(Run(tiny_config, tmp_path))
        lines = (tmp_path / "scores.jsonl").read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [5]


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(tiny_config, tmp_path):
    whole = Run(tiny_config, tmp_path)
    finish(whole)
    (tmp_path / "checkpoints" / "step-00000008" / "ema.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="going on from step-00000005"):
        resumed = Run(tiny_config, tmp_path)
    assert resumed.state.step == 5
    finish(resumed)
    assert_same(whole, resumed)


def test_leftovers_of_a_killed_run_are_removed(tiny_config, tmp_path):
    leftovers = [tmp_path / ".model.abcdefgh.part", tmp_path / "checkpoints" / ".step-00000005.abcdefgh.part"]
    for folder in leftovers:
        folder.mkdir(parents=True)
    next(Run(tiny_config, tmp_path).steps())
    assert [folder for folder in leftovers if folder.exists()] == []


@pytest.mark.parametrize("radicals", [False, True])
def test_a_run_can_be_looked_at_without_being_changed(tiny_config, tmp_path, radicals):
    config = told(tiny_config) if radicals else tiny_config
    config.train.max_steps = 2
    Run(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    finish(Run(config, tmp_path / "old"))
    before = listing(tmp_path / "old")
    again = Run(config, tmp_path / "old")
    assert again.state.step == 2
    assert listing(tmp_path / "old") == before


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("model", "mlp_ratio", 3.0),
        ("diffusion", "shift", 2.0),
        ("data", "drop", 0.2),
        ("text", "max_length", 50),
        ("train", "optimizer", "muon"),
    ],
)
def test_a_folder_holds_one_run(tiny_config, tmp_path, section, field, value):
    tiny_config.train.max_steps = 1
    finish(Run(tiny_config, tmp_path))
    before = getattr(getattr(tiny_config, section), field)
    setattr(getattr(tiny_config, section), field, value)
    with pytest.raises(UserError, match=rf"{section}\.{field} = {before!r}, not {value!r}; choose another --out"):
        Run(tiny_config, tmp_path)
    assert getattr(getattr(load_config(tmp_path / "config.toml"), section), field) == before


@pytest.mark.parametrize(
    ("section", "field", "value", "words"),
    [
        ("model", "sample_size", 64, ["holds 32-pixel glyphs", "--size 64", "model.sample_size=32"]),
        ("train", "batch_size", 65, ["64 training glyphs", "less than one batch"]),
        ("data", "path", "nowhere.parquet", ["nowhere.parquet does not exist", "glyffuser dataset build"]),
        ("text", "encoder", "nowhere/nothing", ["cannot load the text encoder 'nowhere/nothing'"]),
        ("model", "attention_levels", (True, False), ["model.attention_levels"]),
        ("train", "mixed_precision", "fp16", ["fp16 needs a GPU", "bf16"]),
    ],
)
def test_settings_that_cannot_be_are_named(tiny_config, tmp_path, section, field, value, words):
    if value == "fp16" and torch.cuda.is_available():
        pytest.skip("a GPU can")
    setattr(getattr(tiny_config, section), field, value)
    with pytest.raises(UserError) as caught:
        Run(tiny_config, tmp_path / "run")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_state_of_a_run_covers_every_section():
    """A section added to Config must be compared with the folder's, too."""
    assert set(asdict(Config())) == {"data", "text", "model", "diffusion", "distil", "align", "train"}
