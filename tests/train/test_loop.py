"""Training: exact resuming, and what a run folder holds."""

import json
import os
import signal
import warnings
from copy import deepcopy

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.config import dump_config, load_config, override
from glyffuser.generate.load import load_pipeline
from glyffuser.train.checkpoint import list_checkpoints
from glyffuser.train.export import exported
from glyffuser.train.previews import Previews
from glyffuser.train.setup import check_shares
from killing import forked
from training_runs import Run, assert_same, finish, log, told, towered

LEVELS = ["model.block_out_channels=[8,16]", "model.attention_levels=[false,false]"]


@pytest.mark.parametrize(
    "settings",
    [
        ["train.mixed_precision=no"],
        ["train.mixed_precision=bf16", *LEVELS],
        ["train.optimizer=muon", "data.balance=0.5", *LEVELS],
        ["model.num_class_embeds=215", "data.drop_radical=0.25"],
        ["model.components=20", "data.drop_parts=0.25"],
    ],
)
def test_a_stopped_run_goes_on_exactly(tiny_config, tmp_path, settings):
    override(tiny_config, settings)
    whole = Run(tiny_config, tmp_path / "whole")
    assert [p.step for p in finish(whole)] == list(range(1, 9))
    stopped = Run(deepcopy(tiny_config), tmp_path / "parts")
    assert [p.step for p in finish(stopped, stop_at=6)] == list(range(1, 7))
    resumed = Run(deepcopy(tiny_config), tmp_path / "parts")
    assert (resumed.state.step, resumed.state.minutes) == (6, stopped.state.minutes)
    finish(resumed)
    assert_same(whole, resumed)


def test_a_killed_run_goes_on_from_its_last_checkpoint(tiny_config, tmp_path):
    """Two processes may round differently, so what is equal to the last bit elsewhere is only close here."""

    def killed() -> None:
        for progress in Run(tiny_config, tmp_path / "parts").steps():
            if progress.step == 7:
                os.kill(os.getpid(), signal.SIGKILL)

    ended = forked(killed, tmp_path)
    assert ended.status == -signal.SIGKILL, ended.said
    resumed = Run(tiny_config, tmp_path / "parts")
    assert resumed.state.step == 5  # the last checkpoint
    finish(resumed)
    whole = Run(tiny_config, tmp_path / "whole")
    finish(whole)
    first, second = log(whole.out), log(resumed.out)
    assert [line["step"] for line in second] == list(range(1, 9))  # steps after the checkpoint do not appear twice
    assert [line["lr"] for line in first] == [line["lr"] for line in second]
    assert [line["loss"] for line in second] == pytest.approx([line["loss"] for line in first], rel=1e-3)


def test_config_toml_repeats_the_run(tiny_config, tmp_path):
    tiny_config.train.max_steps = 3
    first = Run(tiny_config, tmp_path / "first")
    finish(first)
    again = Run(load_config(tmp_path / "first" / "config.toml"), tmp_path / "again")
    finish(again)
    assert_same(first, again)


def test_another_seed_is_another_run(tiny_config, tmp_path):
    tiny_config.train.max_steps = 2
    first = Run(tiny_config, tmp_path / "first")
    finish(first)
    other = deepcopy(tiny_config)
    other.train.seed = 1
    second = Run(other, tmp_path / "second")
    finish(second)
    assert log(first.out) != log(second.out)


def test_previews_do_not_change_training(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("glyffuser.train.previews.STEPS", 2)
    tiny_config.train.max_steps = 4
    without = Run(tiny_config, tmp_path / "without")
    finish(without)
    tiny_config.train.preview_every = 2
    previewed = Run(tiny_config, tmp_path / "with")
    finish(previewed)
    assert_same(without, previewed)
    early, picture = sorted((tmp_path / "with" / "samples").iterdir())
    assert (early.name, picture.name) == ("step-00000002.png", "step-00000004.png")
    with Image.open(picture) as sheet:
        assert sheet.size == (4 * 32, 8 * 32)
    before = picture.read_bytes()
    Previews(previewed.out)(exported(previewed.parts, previewed.state.averaged()), 4)
    assert picture.read_bytes() == before  # fixed seeds, so that pictures of different steps can be compared


def test_it_learns(tiny_config, tmp_path):
    """It learns one batch by heart."""
    tiny_config.model.dropout, tiny_config.train.lr, tiny_config.train.max_steps = 0.0, 1e-2, 30
    tiny_config.train.decay = 0.0
    run = Run(tiny_config, tmp_path)
    batch = run.parts.batch(0)
    run.parts.batches.draw = lambda *_: batch
    losses = [progress.loss for progress in finish(run)]
    assert losses[-1] < 0.4 * losses[0]


def test_model_is_the_averaged_network_and_loads(tiny_config, tmp_path):
    tiny_config.train.max_steps = 3
    run = Run(tiny_config, tmp_path)
    finish(run)
    pipe = load_pipeline(tmp_path / "model")
    weights = list(pipe.unet.parameters())
    for ours, averaged, raw in zip(weights, run.state.ema.shadow_params, run.state.network.parameters(), strict=True):
        assert torch.equal(ours, averaged)
        assert not torch.equal(ours, raw)
    images = pipe("gold", num_inference_steps=2, output_type="np", return_dict=False)[0]
    assert images.shape == (1, 32, 32, 1)
    assert pipe.unet.config.schedule == tiny_config.diffusion.schedule


def test_the_exported_average_is_the_one_of_the_formula(tiny_config, tmp_path):
    """diffusers warms its decay up as (1 + n) / (10 + n), below the ceiling of 0.8 for all of these steps."""
    run = Run(tiny_config, tmp_path)
    expected = [p.detach().clone() for p in run.state.network.parameters()]
    for progress in run.steps():
        n = progress.step - 1
        decay = (1 + n) / (10 + n) if n else 0.0
        for average, weight in zip(expected, run.state.network.parameters(), strict=True):
            average.mul_(decay).add_(weight.detach(), alpha=1 - decay)
    for average, ours in zip(expected, run.state.ema.shadow_params, strict=True):
        assert_close(ours, average)


def test_run_folder_holds_what_it_promises(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("glyffuser.train.previews.STEPS", 2)
    tiny_config.train.preview_every, tiny_config.train.tensorboard, tiny_config.train.log_every = 7, True, 4
    run = Run(tiny_config, tmp_path)
    finish(run)
    assert {p.name for p in tmp_path.iterdir()} == {
        *(".lock", "config.toml", "metrics.jsonl", "scores.jsonl", "samples", "checkpoints", "model", "tensorboard"),
    }
    assert [p.name for p in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000005", "step-00000008"]
    assert [line["step"] for line in log(tmp_path)] == [4, 8]
    assert sorted(p.name for p in (tmp_path / "model").iterdir()) == [
        *("model_index.json", "scheduler", "text_encoder", "unet"),
    ]

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = {p.parent for p in tmp_path.rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars("loss")] == [4, 8]
    assert_close([event.value for event in events.Scalars("lr")], [line["lr"] for line in log(tmp_path)])


def test_tensorboard_shows_no_step_twice(tiny_config, tmp_path):
    tiny_config.train.tensorboard, tiny_config.train.max_steps = True, 8
    steps = Run(tiny_config, tmp_path).steps()
    while next(steps).step < 7:
        pass
    steps.close()  # like a kill: its last checkpoint is of step 5
    finish(Run(tiny_config, tmp_path))

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, 9))


def test_checkpoints_are_written_and_forgotten(tiny_config, tmp_path):
    tiny_config.train.checkpoint_every, tiny_config.train.keep_checkpoints = 2, 3
    finish(Run(tiny_config, tmp_path))
    kept = [p.name for p in list_checkpoints(tmp_path / "checkpoints")]
    assert kept == ["step-00000004", "step-00000006", "step-00000008"]


def test_what_a_kill_left_of_old_checkpoints_goes_when_the_run_is_over(tiny_config, tmp_path):
    tiny_config.train.max_steps, tiny_config.train.checkpoint_every, tiny_config.train.keep_checkpoints = 9, 3, 3
    finish(Run(tiny_config, tmp_path))
    tiny_config.train.keep_checkpoints = 2  # as if killed between writing the last one and removing the oldest
    finish(Run(tiny_config, tmp_path))
    assert [path.name for path in list_checkpoints(tmp_path / "checkpoints")] == ["step-00000006", "step-00000009"]


def test_a_step_in_parts_is_the_same_step(tiny_config, tmp_path):
    override(tiny_config, ["train.mixed_precision=no", "model.dropout=0.0", "train.max_steps=4"])
    whole = Run(tiny_config, tmp_path / "whole")
    finish(whole)
    parted = Run(override(deepcopy(tiny_config), ["train.accumulate=4"]), tmp_path / "parts")
    assert len(parted.parts.batch(0).x0) == 2
    finish(parted)
    for name in ("loss", "grad_norm"):
        seen, expected = ([line[name] for line in log(run.out)] for run in (parted, whole))
        assert seen == pytest.approx(expected, rel=1e-4), name


def test_another_batch_size_goes_on_where_the_last_glyph_was(tiny_config, tmp_path):
    finish(Run(tiny_config, tmp_path), stop_at=3)
    again = Run(override(tiny_config, ["train.batch_size=16"]), tmp_path)
    assert (again.state.step, again.state.seen) == (3, 24)
    assert next(again.steps()).step == 4
    assert again.state.seen == 40
    state = tmp_path / "checkpoints" / "step-00000003" / "state.json"
    facts = json.loads(state.read_text())
    del facts["seen"]  # as in older checkpoints
    state.write_text(json.dumps(facts))
    (state.parent / "SHA256SUMS").unlink()
    assert Run(tiny_config, tmp_path).state.seen == 3 * 16


def test_a_step_that_cannot_be_shared_evenly_is_refused(tiny_config, tmp_path):
    with pytest.raises(UserError, match=r"8 glyphs cannot be shared evenly by 3 parts; try --set train.batch_size=9"):
        Run(override(tiny_config, ["train.accumulate=3"]), tmp_path)
    with pytest.raises(UserError, match=r"by 4 processes in 3 parts each; try --set train.batch_size=12"):
        check_shares(tiny_config, 4)


def test_a_network_that_takes_radicals_learns_them_and_withholds_them_by_default(tiny_config, tmp_path):
    tiny_config.train.max_steps = 4
    run = Run(told(tiny_config), tmp_path)
    finish(run)
    pipe = load_pipeline(tmp_path / "model")
    radical = pipe.condition(["a river", ""], 2).radical
    assert radical is not None
    assert radical.tolist() == [0, 0, 0, 0]
    assert run.state.network.class_embedding.weight[85].abs().sum() > 0  # all glyphs of the data set have this one


def test_a_tower_is_fitted_once_and_goes_with_the_run_and_the_model(tiny_config, tmp_path):
    whole, parts = Run(towered(tiny_config), tmp_path / "whole"), Run(towered(tiny_config), tmp_path / "parts")
    assert not (tmp_path / "whole" / "tower").exists()  # before its first step, a run writes nothing
    finish(whole)
    finish(parts, stop_at=5)
    tiny_config.text.tower_steps = 1  # a newly fitted tower would now differ
    (tmp_path / "parts" / "config.toml").write_text(dump_config(tiny_config))
    again = Run(tiny_config, tmp_path / "parts")
    finish(again)
    assert_same(again, whole)
    pipe = load_pipeline(tmp_path / "parts" / "model")
    cond, of_run = pipe.condition(["a river", "the sea"]), whole.parts.tower
    assert cond.pooled is not None
    assert of_run is not None
    assert_close(cond.pooled, of_run(cond.states, cond.mask))
    assert not torch.equal(cond.pooled[0], cond.pooled[1])


@pytest.mark.parametrize(("width", "taken"), [(8, True), (6, False)])
def test_a_run_that_starts_from_another_takes_its_tower_where_that_fits(tiny_config, tmp_path, width, taken):
    tiny_config.text.tower, tiny_config.text.tower_steps, tiny_config.train.max_steps = 8, 5, 1
    first = Run(tiny_config, tmp_path / "first")
    finish(first)
    tiny_config.train.init, tiny_config.text.tower = str(tmp_path / "first"), width
    tiny_config.text.tower_steps = 1  # a newly fitted tower would now differ
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # with another width, the layers that read it start afresh
        now = Run(tiny_config, tmp_path / "next").parts.tower
    assert first.parts.tower is not None
    assert now is not None
    assert torch.equal(first.parts.tower.to_radical.bias, now.to_radical.bias) == taken


@pytest.mark.parametrize("name", ["its folder", "bundled"])
def test_a_run_can_start_from_the_weights_of_another(tiny_config, tiny_model, tmp_path, monkeypatch, name):
    monkeypatch.setattr("glyffuser.config.settings.BUNDLED", tiny_model)
    config = told(tiny_config)
    config.train.init = name if name == "bundled" else str(tiny_model)
    with pytest.warns(UserWarning, match="1 of .* start anew, for example class_embedding"):
        run = Run(config, tmp_path / "next")
    before, now = load_pipeline(tiny_model).unet.state_dict(), run.state.network.state_dict()
    assert all(torch.equal(now[name], weight) for name, weight in before.items())
    assert all(
        torch.equal(a, b) for a, b in zip(run.state.ema.shadow_params, run.state.network.parameters(), strict=True)
    )
    other = deepcopy(config)
    other.model.block_out_channels, other.model.attention_head_dim = (24,), 8
    other.model.num_class_embeds = 0
    other.model.patch_size = 8
    with pytest.raises(UserError, match="weights fit those"):
        Run(other, tmp_path / "other")
