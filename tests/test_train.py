"""Training: exact resuming, data order, how runs end, and what a run folder holds."""

import errno
import json
import os
import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from glyffuser import checkpoint, train
from glyffuser.checkpoint import flatten, list_checkpoints
from glyffuser.config import Config, TrainConfig, dump_config, load_config
from glyffuser.errors import UserError
from glyffuser.pipeline import load_pipeline
from glyffuser.train import Diverged, Progress, Trainer, learning_rate, run_fraction


def finish(trainer: Trainer, stop_at: int | None = None) -> list[Progress]:
    """Train to the end, or ask for a stop at a step."""
    steps = []
    for progress in trainer.run():
        steps.append(progress)
        trainer.stop_requested = progress.step == stop_at
    return steps


def state(trainer: Trainer) -> dict[str, Tensor]:
    weights = {f"network.{name}": p for name, p in trainer.network.state_dict().items()}
    averaged = {f"ema.{i}": p for i, p in enumerate(trainer.ema.shadow_params)}
    return weights | averaged | flatten(trainer.optimizer)


def assert_same(one: Trainer, other: Trainer) -> None:
    """Equal to the last bit: weights, averaged weights, optimiser, and the logs but for the time taken."""
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert log(one.out) == log(other.out)
    assert (one.step, one.mean_loss, one.best_loss) == (other.step, other.mean_loss, other.best_loss)


def log(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in ("step", "loss", "grad_norm", "lr")} for line in lines]


def glyphs(trainer: Trainer, step: int) -> list[int]:
    """Which glyphs of the data set a batch holds."""
    pictures = ((trainer.batch(step).x0[:, 0] + 1) * 127.5).round().to(torch.uint8)
    return [int((trainer.batches.images == picture).all(dim=(1, 2)).nonzero().item()) for picture in pictures]


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_a_stopped_run_goes_on_exactly(tiny_config, tmp_path, precision):
    tiny_config.train.mixed_precision = precision
    whole = Trainer(tiny_config, tmp_path / "whole")
    assert [p.step for p in finish(whole)] == list(range(1, 13))
    stopped = Trainer(deepcopy(tiny_config), tmp_path / "parts")
    assert [p.step for p in finish(stopped, stop_at=7)] == list(range(1, 8))
    resumed = Trainer(deepcopy(tiny_config), tmp_path / "parts")
    assert (resumed.step, resumed.minutes) == (7, stopped.minutes)
    finish(resumed)
    assert_same(whole, resumed)


def test_a_stopped_run_with_muon_goes_on_exactly(tiny_config, tmp_path):
    tiny_config.train.optimizer, tiny_config.data.balance = "muon", 0.5
    whole = Trainer(tiny_config, tmp_path / "whole")
    finish(whole)
    finish(Trainer(deepcopy(tiny_config), tmp_path / "parts"), stop_at=7)
    resumed = Trainer(deepcopy(tiny_config), tmp_path / "parts")
    finish(resumed)
    assert_same(whole, resumed)


KILLED = """
import os, signal, sys
import torch
from glyffuser.config import load_config
from glyffuser.train import Trainer

torch.set_num_threads(1)
for progress in Trainer(load_config(sys.argv[1]), sys.argv[2]).run():
    if progress.step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_goes_on_exactly(tiny_config, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(dump_config(tiny_config))
    killed = subprocess.run([sys.executable, "-c", KILLED, path, tmp_path / "parts"], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = Trainer(tiny_config, tmp_path / "parts")
    assert resumed.step == 5  # the last checkpoint
    finish(resumed)
    whole = Trainer(tiny_config, tmp_path / "whole")
    finish(whole)
    assert_same(whole, resumed)


def test_config_toml_repeats_the_run(tiny_config, tmp_path):
    first = Trainer(tiny_config, tmp_path / "first")
    finish(first)
    again = Trainer(load_config(tmp_path / "first" / "config.toml"), tmp_path / "again")
    finish(again)
    assert_same(first, again)


def test_another_seed_is_another_run(tiny_config, tmp_path):
    tiny_config.train.max_steps = 2
    first = Trainer(tiny_config, tmp_path / "first")
    finish(first)
    other = deepcopy(tiny_config)
    other.train.seed = 1
    second = Trainer(other, tmp_path / "second")
    finish(second)
    assert log(first.out) != log(second.out)


def test_previews_do_not_change_training(tiny_config, tmp_path):
    without = Trainer(tiny_config, tmp_path / "without")
    finish(without)
    tiny_config.train.preview_every = 12
    previewed = Trainer(tiny_config, tmp_path / "with")
    finish(previewed)
    assert_same(without, previewed)
    (picture,) = (tmp_path / "with" / "samples").iterdir()
    assert picture.name == "step-00000012.png"
    with Image.open(picture) as sheet:
        assert sheet.size == (4 * 32, 8 * 32)
    before = picture.read_bytes()
    previewed.preview()
    assert picture.read_bytes() == before  # fixed seeds, so that pictures of different steps can be compared


def test_every_glyph_comes_once_an_epoch_in_a_fresh_order(tiny_config, tmp_path):
    trainer = Trainer(tiny_config, tmp_path)
    assert len(trainer.batches.images) == 64  # the one for testing is not among them
    epochs = [[g for step in range(8 * e, 8 * e + 8) for g in glyphs(trainer, step)] for e in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(64))
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_batch_across_two_epochs(tiny_config, tmp_path):
    tiny_config.train.batch_size = 48  # of 64 glyphs: step 1 takes 16 of the first epoch and 32 of the second
    trainer = Trainer(tiny_config, tmp_path)
    drawn = [g for step in range(4) for g in glyphs(trainer, step)]
    assert all(sorted(drawn[e * 64 : (e + 1) * 64]) == list(range(64)) for e in range(3))


def test_a_batch_is_a_function_of_seed_and_step(tiny_config, tmp_path):
    trainer = Trainer(tiny_config, tmp_path / "a")
    first = trainer.batch(3)
    torch.manual_seed(99)
    np.random.seed(99)
    trainer.batch(4)
    again, next_one = trainer.batch(3), trainer.batch(4)
    for name, value in vars(first).items():
        assert value is None or torch.equal(value, getattr(again, name)), name
    for name in ("x0", "eps", "t"):
        assert not torch.equal(getattr(first, name), getattr(next_one, name)), name
    assert (first.x0.min(), first.x0.max()) == (-1, 1)
    assert first.states.shape[:2] == first.mask.shape
    tiny_config.train.seed = 1
    assert not torch.equal(Trainer(tiny_config, tmp_path / "b").batch(3).eps, first.eps)


def test_it_learns(tiny_config, tmp_path):
    """One batch by heart."""
    tiny_config.model.dropout, tiny_config.train.lr, tiny_config.train.max_steps = 0.0, 5e-3, 50
    tiny_config.train.decay = 0.0
    trainer = Trainer(tiny_config, tmp_path)
    batch = trainer.batch(0)
    trainer.batch = lambda step: batch  # type: ignore[method-assign]
    losses = [progress.loss for progress in finish(trainer)]
    assert losses[-1] < 0.4 * losses[0]


def test_model_is_the_averaged_network_and_loads(tiny_config, tmp_path):
    trainer = Trainer(tiny_config, tmp_path)
    finish(trainer)
    pipe = load_pipeline(tmp_path / "model")
    weights = list(pipe.unet.parameters())
    for ours, averaged, raw in zip(weights, trainer.ema.shadow_params, trainer.network.parameters(), strict=True):
        assert torch.equal(ours, averaged)
        assert not torch.equal(ours, raw)
    images = pipe("gold", num_inference_steps=2, output_type="np", return_dict=False)[0]
    assert images.shape == (1, 32, 32, 1)
    assert pipe.unet.config.schedule == tiny_config.diffusion.schedule


def test_the_exported_average_is_the_one_of_the_formula(tiny_config, tmp_path):
    """diffusers warms its decay up as (1 + n) / (10 + n); below the ceiling of 0.8 for all of these steps."""
    trainer = Trainer(tiny_config, tmp_path)
    expected = [p.detach().clone() for p in trainer.network.parameters()]
    for progress in trainer.run():
        n = progress.step - 1
        decay = (1 + n) / (10 + n) if n else 0.0
        for average, weight in zip(expected, trainer.network.parameters(), strict=True):
            average.mul_(decay).add_(weight.detach(), alpha=1 - decay)
    for average, ours in zip(expected, trainer.ema.shadow_params, strict=True):
        assert_close(ours, average)


def test_run_folder_holds_what_it_promises(tiny_config, tmp_path):
    tiny_config.train.preview_every, tiny_config.train.tensorboard, tiny_config.train.log_every = 10, True, 4
    trainer = Trainer(tiny_config, tmp_path)
    finish(trainer)
    assert {p.name for p in tmp_path.iterdir()} == {
        *("config.toml", "metrics.jsonl", "scores.jsonl", "samples", "checkpoints", "model", "tensorboard"),
    }
    assert [p.name for p in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000010", "step-00000012"]
    assert [line["step"] for line in log(tmp_path)] == [4, 8, 12]
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        *("model_index.json", "scheduler", "text_encoder", "unet"),
    ]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = {p.parent for p in tmp_path.rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars("loss")] == [4, 8, 12]
    assert_close([event.value for event in events.Scalars("lr")], [line["lr"] for line in log(tmp_path)])


def test_checkpoints_are_written_and_forgotten(tiny_config, tmp_path):
    tiny_config.train.checkpoint_every, tiny_config.train.keep_checkpoints = 2, 3
    finish(Trainer(tiny_config, tmp_path))
    kept = [p.name for p in list_checkpoints(tmp_path / "checkpoints")]
    assert kept == ["step-00000008", "step-00000010", "step-00000012"]


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
        self.factor, self.after, self.calls, self.loss = factor, after, 0, train.loss

    def __call__(self, *args):
        self.calls += 1
        return self.loss(*args) * (self.factor if self.calls > self.after else 1.0)


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1e4])
def test_divergence_stops_and_keeps_the_last_good_checkpoint(tiny_config, tmp_path, monkeypatch, factor):
    monkeypatch.setattr(train, "loss", Broken(factor, after=7))
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


configs = st.builds(
    TrainConfig,
    max_steps=st.integers(1, 10_000),
    max_minutes=st.floats(0, 100),
    lr=st.floats(0, 1),
    warmup_steps=st.integers(0, 1000),
    decay=st.floats(0, 1),
)


@given(configs, st.integers(0, 20_000), st.floats(0, 200))
def test_learning_rate_stays_between_zero_and_its_peak(c, step, minutes):
    assert 0 <= run_fraction(c, step, minutes) <= 1
    assert 0 <= learning_rate(c, step, minutes) <= c.lr
    assert learning_rate(c, step + 1, minutes) <= learning_rate(c, step, minutes) or step < c.warmup_steps


def test_learning_rate_warms_up_stays_and_decays():
    c = replace(TrainConfig(), max_steps=100, warmup_steps=10, decay=0.2, lr=1.0)
    rates = [learning_rate(c, step, 0.0) for step in range(101)]
    assert rates[:10] == pytest.approx([0.1 * k for k in range(1, 11)])
    assert rates[10:81] == pytest.approx([1.0] * 71)
    assert rates[80:] == pytest.approx([0.05 * k for k in range(20, -1, -1)], abs=1e-9)
    c.max_minutes = 10.0  # the clock may be further than the steps
    assert learning_rate(c, 50, 9.0) == pytest.approx(0.5)
    assert learning_rate(c, 95, 1.0) == pytest.approx(0.25)


TWO = """
import hashlib, json, sys, time
from pathlib import Path
from types import SimpleNamespace
import torch
from glyffuser import train
from glyffuser.config import load_config
from glyffuser.train import Trainer
sys.path.insert(0, {tests!r})
from test_train import glyphs, state

torch.set_num_threads(1)
trainer = Trainer(load_config(sys.argv[1]), sys.argv[2])
drawn = [glyphs(trainer, step) for step in range(4)]
rank = trainer.accelerator.process_index
train.time = SimpleNamespace(perf_counter=lambda: time.perf_counter() * (1 + 9 * rank))
losses = []
for progress in trainer.run():
    losses.append(progress.loss)
    trainer.stop_requested = rank == 1 and progress.step == 4
tensors = [t.detach().numpy().tobytes() for t in state(trainer).values()]
facts = {{
    "processes": trainer.accelerator.num_processes,
    "glyphs": drawn,
    "losses": losses,
    "state": hashlib.sha256(b"".join(tensors)).hexdigest(),
}}
Path(sys.argv[3], f"rank-{{rank}}.json").write_text(json.dumps(facts))
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_one_network(tiny_config: Config, tmp_path: Path):
    # The learning rate hangs on the clock all through the run; one process has a fast clock and asks for the stop.
    tiny_config.train.max_minutes, tiny_config.train.decay, tiny_config.train.max_steps = 50.0, 1.0, 10_000
    (tmp_path / "config.toml").write_text(dump_config(tiny_config))
    (tmp_path / "two.py").write_text(TWO.format(tests=str(Path(__file__).parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [tmp_path / "two.py", tmp_path / "config.toml", tmp_path / "run", tmp_path]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in (0, 1))
    assert first["processes"] == second["processes"] == 2
    assert first["state"] == second["state"]
    assert first["losses"] == second["losses"]
    assert len(first["losses"]) == 4
    both = [g for facts in (first, second) for batch in facts["glyphs"] for g in batch]
    assert sorted(both) == list(range(64))  # 2 processes, 4 steps, 8 glyphs: one epoch, none twice
    assert load_pipeline(tmp_path / "run" / "model") is not None
    assert len(log(tmp_path / "run")) == 4  # one process writes


def test_state_of_a_run_covers_every_section():
    """A section added to Config has to be compared with the folder's, too."""
    assert set(asdict(Config())) == {"data", "text", "model", "diffusion", "train"}


def told(config: Config) -> Config:
    config.model.num_class_embeds, config.data.drop_radical = 215, 0.25
    return config


def test_a_network_that_is_told_radicals_goes_on_exactly_and_exports_its_prior(tiny_config, tmp_path):
    config = told(tiny_config)
    whole = Trainer(config, tmp_path / "whole")
    finish(whole)
    finish(Trainer(deepcopy(config), tmp_path / "parts"), stop_at=7)
    resumed = Trainer(deepcopy(config), tmp_path / "parts")
    finish(resumed)
    assert_same(whole, resumed)
    pipe = load_pipeline(tmp_path / "whole" / "model")
    # All glyphs of the tiny data set have the water radical.
    labels = pipe.condition(["a river", ""], 2).labels
    assert labels is not None
    assert labels.tolist() == [85, 85, 0, 0]
    assert whole.network.class_embedding.weight[85].abs().sum() > 0


def test_radicals_are_dropped_with_the_caption_and_by_themselves(tiny_config, tmp_path):
    tiny_config.train.batch_size = 64
    trainer = Trainer(told(tiny_config), tmp_path)
    batches = [trainer.batch(step) for step in range(20)]
    labels = torch.cat([b.labels for b in batches if b.labels is not None])
    assert {0, 85} <= set(labels.tolist()) <= {0, *trainer.batches.radicals.tolist()}
    untold = torch.stack([b.mask.sum(1) <= 2 for b in batches]).flatten()  # an empty caption is two special tokens
    assert (labels[untold] == 0).all()
    assert float((labels[~untold] == 0).double().mean()) == pytest.approx(0.25, abs=0.05)


def test_a_run_can_start_from_the_weights_of_another(tiny_config, tiny_model, tmp_path):
    config = told(tiny_config)
    config.train.init = str(tiny_model)
    with pytest.warns(UserWarning, match="1 of .* start anew, for example class_embedding"):
        trainer = Trainer(config, tmp_path / "next")
    before, now = load_pipeline(tiny_model).unet.state_dict(), trainer.network.state_dict()
    assert all(torch.equal(now[name], weight) for name, weight in before.items())
    assert all(torch.equal(a, b) for a, b in zip(trainer.ema.shadow_params, trainer.network.parameters(), strict=True))
    other = deepcopy(config)
    other.model.block_out_channels, other.model.attention_head_dim = (24, 40), 8
    other.model.num_class_embeds = 0
    other.model.patch_size = 8
    with pytest.raises(UserError, match="weights fit those"):
        Trainer(other, tmp_path / "other")
