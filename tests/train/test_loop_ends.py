"""How runs end, well and badly, and which are not begun."""

import errno
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.config import Config, load_config
from glyffuser.diffusion.process import Process
from glyffuser.generate.pipeline import load_pipeline
from glyffuser.train import checkpoint
from glyffuser.train import loop as train
from glyffuser.train.checkpoint import list_checkpoints
from glyffuser.train.loop import Diverged, Trainer
from training_runs import assert_same, finish, log


def test_a_finished_run_does_nothing_more(tiny_config, tmp_path):
    finish(Trainer(tiny_config, tmp_path))
    before = log(tmp_path)
    assert finish(Trainer(tiny_config, tmp_path)) == []
    assert log(tmp_path) == before


def test_a_finished_run_can_be_made_longer(tiny_config, tmp_path):
    finish(Trainer(tiny_config, tmp_path))
    tiny_config.train.max_steps = 14
    assert [p.step for p in finish(Trainer(tiny_config, tmp_path))] == [13, 14]


def test_max_minutes_ends_cleanly(tiny_config, tmp_path, monkeypatch):
    """A clock that is read twice a step; each reading takes a 64th of a minute, so a minute has 32 steps."""
    now = 0.0

    def perf_counter() -> float:
        nonlocal now
        now += 60 / 64
        return now

    monkeypatch.setattr(train, "time", SimpleNamespace(perf_counter=perf_counter))
    tiny_config.train.max_minutes, tiny_config.train.max_steps, tiny_config.train.decay = 0.5, 1000, 0.5
    trainer = Trainer(tiny_config, tmp_path)
    steps = finish(trainer)
    assert (trainer.step, trainer.minutes) == (16, 0.5)
    assert [p.glyphs_per_second for p in steps] == [8 * 64 / 60] * 16
    rates = [p.lr for p in steps]
    assert max(rates) == tiny_config.train.lr
    assert rates[8:] == sorted(rates[8:], reverse=True)
    assert rates[-1] < 0.2 * max(rates)  # it has decayed although max_steps is far away
    assert load_pipeline(tmp_path / "model") is not None
    assert finish(Trainer(tiny_config, tmp_path)) == []


class Broken:
    """The loss function, out of order from some call on."""

    def __init__(self, factor: float, after: int):
        self.factor, self.after, self.calls, self.loss = factor, after, 0, Process.loss

    def __call__(self, *args):
        self.calls += 1
        return self.loss(*args) * (self.factor if self.calls > self.after else 1.0)


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1e4])
def test_divergence_stops_and_keeps_the_last_good_checkpoint(tiny_config, tmp_path, monkeypatch, factor):
    broken = Broken(factor, after=7)
    monkeypatch.setattr(Process, "loss", lambda *args: broken(*args))
    with pytest.raises(Diverged, match=r"diverged at step 8 .*--set train.lr=0.0004"):
        finish(Trainer(tiny_config, tmp_path))
    assert [p.name for p in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000005"]
    monkeypatch.undo()
    resumed = Trainer(tiny_config, tmp_path)
    assert resumed.step == 5
    assert all(p.isfinite().all() for p in resumed.network.parameters())
    finish(resumed)


def test_a_broken_gradient_is_never_saved(tiny_config, tmp_path, monkeypatch):
    """The loss of the step is still finite, but after it no weight is."""
    trainer = Trainer(tiny_config, tmp_path)
    monkeypatch.setattr(trainer.accelerator, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    trainer.step = 4
    with pytest.raises(Diverged, match="at step 5"):
        finish(trainer)
    assert list_checkpoints(tmp_path / "checkpoints") == []


def test_a_full_disk_loses_nothing(tiny_config, tmp_path, monkeypatch):
    trainer = Trainer(tiny_config, tmp_path)
    steps = trainer.run()
    while next(steps).step < 6:
        pass

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match=r"cannot write a checkpoint in .*No space left on device.*start again"):
        list(steps)
    monkeypatch.undo()
    resumed = Trainer(tiny_config, tmp_path)
    assert resumed.step == 5
    finish(resumed)
    whole = Trainer(tiny_config, tmp_path / "whole")
    finish(whole)
    assert_same(whole, resumed)


def test_a_damaged_checkpoint_costs_only_the_steps_since_the_one_before(tiny_config, tmp_path):
    whole = Trainer(tiny_config, tmp_path)
    finish(whole)
    (tmp_path / "checkpoints" / "step-00000012" / "ema.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="going on from step-00000010"):
        resumed = Trainer(tiny_config, tmp_path)
    assert resumed.step == 10
    finish(resumed)
    assert_same(whole, resumed)


def test_leftovers_of_a_killed_run_are_removed(tiny_config, tmp_path):
    leftovers = [tmp_path / ".model.abc.part", tmp_path / "checkpoints" / ".step-00000005.abc.part"]
    for folder in leftovers:
        folder.mkdir(parents=True)
    Trainer(tiny_config, tmp_path)
    assert [folder for folder in leftovers if folder.exists()] == []


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [("model", "mlp_ratio", 3.0), ("diffusion", "shift", 2.0), ("data", "drop", 0.2), ("text", "max_length", 50)],
)
def test_a_folder_holds_one_run(tiny_config, tmp_path, section, field, value):
    tiny_config.train.max_steps = 1
    finish(Trainer(tiny_config, tmp_path))
    before = getattr(getattr(tiny_config, section), field)
    setattr(getattr(tiny_config, section), field, value)
    with pytest.raises(UserError, match=rf"{section}\.{field} = {before}, not {value}; choose another --out"):
        Trainer(tiny_config, tmp_path)
    assert getattr(getattr(load_config(tmp_path / "config.toml"), section), field) == before


@pytest.mark.parametrize(
    ("section", "field", "value", "words"),
    [
        ("model", "sample_size", 64, ["holds 32-pixel glyphs", "--size 64", "model.sample_size=32"]),
        ("train", "batch_size", 65, ["64 training glyphs", "less than one batch"]),
        ("data", "path", "nowhere.parquet", ["nowhere.parquet does not exist", "glyffuser dataset build"]),
        ("text", "encoder", "nowhere/nothing", ["cannot load the text encoder 'nowhere/nothing'"]),
        ("model", "attention_levels", (True,), ["model.attention_levels"]),
        ("train", "mixed_precision", "fp16", ["fp16 needs a GPU", "bf16"]),
    ],
)
def test_settings_that_cannot_be_are_named(tiny_config, tmp_path, section, field, value, words):
    if value == "fp16" and torch.cuda.is_available():
        pytest.skip("a GPU can")
    setattr(getattr(tiny_config, section), field, value)
    with pytest.raises(UserError) as caught:
        Trainer(tiny_config, tmp_path / "run")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_state_of_a_run_covers_every_section():
    """A section added to Config has to be compared with the folder's, too."""
    assert set(asdict(Config())) == {"data", "text", "model", "diffusion", "train"}
