"""Alignment: the loss against numbers worked out by hand, its direction, and runs that stop and resume."""

import dataclasses
import math
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.commands.align import Align
from glyffuser.config import Config, dump_config, override
from glyffuser.data.dataset import load_dataset
from glyffuser.data.pairs import Pair, read_pairs, write_pairs
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import Process
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pairs import PairSource
from glyffuser.generate.request import Request, Usual
from glyffuser.train.align import Preference, digest_of, preference
from glyffuser.train.batches import Batch
from glyffuser.train.loop import Diverged
from glyffuser.train.step import build_stepper
from training_runs import Run, assert_same, finish

NOTHING = Condition(torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool))


class Scale(nn.Module):
    """A network that expects the clean image to be xt times a number."""

    def __init__(self, a: float):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))

    def forward(self, xt: Tensor, t: Tensor, return_dict: bool = True, **told: object) -> tuple[Tensor]:
        return (self.a * xt,)


def test_the_loss_is_that_of_equation_14():
    """One pixel at flow time t = 0.5: xt = (x0 + eps) / 2, and the velocity weight is 1 / t^2 = 4.

    Preferred x0 = 1, other x0 = -1, eps = 0.6 for both: xt = 0.8 and -0.2. The network (a = 0.5) errs by (0.4 - 1)^2
    and (-0.1 + 1)^2, 0.36 and 0.81; the reference (a = 1) by (0.8 - 1)^2 and (-0.2 + 1)^2, 0.04 and 0.64. Times 4, the
    margin is 4 ((0.04 - 0.36) - (0.64 - 0.81)) = -0.6, and with beta = 2 the loss log(1 + exp(1.2)).
    """
    process, network, reference = Process(Schedule("flow", shift=1.0), "sample"), Scale(0.5), Scale(1.0)
    x0, eps = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1), torch.full((2, 1, 1, 1), 0.6)
    half = process.schedule.timestep(torch.ones(1, dtype=torch.float64))  # sigma = t / (1 - t) = 1
    found = preference(network, reference, process, Batch(x0, eps, half.expand(2), NOTHING.repeat(2)), "velocity")
    assert_close(found.errors, 4 * torch.tensor([[0.36], [0.81]]))
    assert_close(found.margin, torch.tensor([-0.6]))
    assert_close(found.loss(2.0), torch.tensor([math.log1p(math.exp(1.2))]))
    assert_close(float(found.drift.detach()), 0.36 / 0.04)
    found.loss(2.0).sum().backward()
    # d margin / da = -8 (0.4 - 1) 0.8 + 8 (-0.1 + 1) (-0.2) = 2.4; d loss / d margin = -2 / (1 + exp(-1.2))
    assert_close(network.a.grad, torch.tensor(-2 / (1 + math.exp(-1.2)) * 2.4))
    assert reference.a.grad is None


@pytest.fixture(scope="module")
def pairs(tiny_data, tiny_model, tmp_path_factory) -> Path:
    """20 pairs of a preferred, real character and what the untrained model draws, and two in which both are bad."""
    pipe, real = load_pipeline(tiny_model), load_dataset(tiny_data, "train").images
    source, made = PairSource(pipe, ["water", "a deep river", "rain"], Request(steps=2)), []
    from glyffuser.data.schema import png

    for number in range(22):
        pair = source.draw(number)
        if number in (4, 9):
            made.append(source.chosen(pair, "bad"))
        elif number % 2:
            made.append(source.chosen(replace(pair, left=png(real[number])), "left"))
        else:
            made.append(source.chosen(replace(pair, right=png(real[number])), "right"))
    path = tmp_path_factory.mktemp("pairs") / "pairs.parquet"
    write_pairs(path, made)
    return path


@pytest.fixture
def aligned(tiny_model, pairs) -> Config:
    """The settings for eight steps from the tiny model, as the command makes them."""
    config, _ = Align(model=str(tiny_model), pairs=pairs, out=Path("nowhere")).settings()
    steps = ["train.max_steps=8", "train.warmup_steps=3", "train.checkpoint_every=5", "train.preview_every=100"]
    return override(config, [*steps, "train.batch_size=4", "train.log_every=1", "train.lr=1e-3", "train.decay=0"])


def test_it_begins_at_log_2_exactly(aligned, tmp_path):
    run = Run(aligned, tmp_path)
    stepper = build_stepper(run.parts, run.state)
    assert float(stepper.loss(run.parts.batch(0))) == float(torch.tensor(2.0).log())
    assert stepper.facts == {"accuracy": 0.0, "drift": 1.0}


def test_after_some_steps_preferred_glyphs_are_denoised_better_than_others(aligned, tmp_path):
    run = Run(aligned, tmp_path)
    assert run.parts.batches.examine(run.state.network, run.parts.reference.network)["won"] == 0.0  # no margin yet
    before = {name: weight.clone() for name, weight in run.parts.reference.network.state_dict().items()}
    finish(run)
    batch = run.parts.batch(1000)
    with torch.no_grad():
        found = preference(
            run.state.network, run.parts.reference.network, run.parts.process, batch, aligned.diffusion.weighting
        )
    lead = found.reference - found.errors
    assert float(lead[0].mean()) > float(lead[1].mean())
    assert float(found.loss(aligned.align.beta).mean()) < math.log(2)
    assert run.parts.batches.examine(run.state.network, run.parts.reference.network)["won"] == 1.0
    assert all(torch.equal(weight, before[name]) for name, weight in run.parts.reference.network.state_dict().items())


def test_a_run_that_was_stopped_goes_on_exactly(aligned, tmp_path, tiny_model):
    whole = Run(aligned, tmp_path / "whole")
    first = whole.state.network.state_dict()
    own = load_pipeline(tiny_model)
    assert [name for name, weight in own.unet.state_dict().items() if not torch.equal(weight, first[name])] == []
    finish(whole)
    finish(Run(aligned, tmp_path / "parts"), stop_at=6)
    resumed = Run(aligned, tmp_path / "parts")
    assert resumed.state.step == 6
    finish(resumed)
    assert_same(whole, resumed)
    assert load_pipeline(tmp_path / "parts").usual == own.usual


def test_a_model_keeps_the_way_in_which_it_is_sampled(aligned, tmp_path, tiny_model):
    pipe = load_pipeline(tiny_model)
    pipe.scheduler.register_to_config(steps=4, guidance=1.0, sampler="ddpm", eta=None)
    pipe.save_pretrained(tmp_path / "student")
    aligned.align.reference, aligned.train.max_steps = str(tmp_path / "student"), 1
    finish(Run(aligned, tmp_path / "run"))
    made = load_pipeline(tmp_path / "run")
    assert made.usual == Usual(4, 1.0, "ddpm")


def test_pairs_without_a_preference_are_left_out_and_every_tenth_is_held_out(aligned, tmp_path, pairs):
    batches = Run(aligned, tmp_path).parts.batches
    used = [pair for pair in read_pairs(pairs) if pair.pair not in (4, 9)]
    assert (batches.images.numpy() == np.stack([pair.preferred() for pair in used])).all()
    assert batches.held_out.tolist() == [9, 19]
    seen = torch.cat([batches.draw(4 * step, 4).x0[:4] for step in range(20)])
    held = batches.images[batches.held_out, 0].float() / 127.5 - 1
    assert not any(torch.equal(glyph[0], other) for glyph in seen for other in held)
    batch = batches.draw(0, 4)
    assert torch.equal(batch.eps[:4], batch.eps[4:])
    assert torch.equal(batch.t[:4], batch.t[4:])


def test_what_is_learnt_is_told_with_the_meaning_of_its_pair(aligned, tmp_path, pairs):
    parts = Run(aligned, tmp_path).parts
    used = [pair for pair in read_pairs(pairs) if pair.choice != "bad"]
    told = load_pipeline(aligned.align.reference).condition([used[5].prompt])
    length = told.mask.shape[1]
    assert_close(parts.batches.cond.states[5:6, :length], told.states, rtol=1e-4, atol=1e-4)
    assert not parts.batches.cond.mask[5, length:].any()


def test_pairs_that_changed_are_not_gone_on_with(aligned, tmp_path, pairs):
    changed = read_pairs(pairs)
    changed[0] = replace(changed[0], choice="left")
    aligned.align.pairs = str(tmp_path / "pairs.parquet")
    write_pairs(tmp_path / "pairs.parquet", changed)
    with pytest.raises(UserError, match="has changed since this run began"):
        Run(aligned, tmp_path / "run")


def test_only_what_was_preferred_decides_the_digest(pairs):
    first = read_pairs(pairs)
    without = [pair for pair in first if pair.choice != "bad"]
    assert digest_of(first) == digest_of(without) != digest_of(without[1:])


def refused(config: Config, path: Path, made: list[Pair], reason: str) -> None:
    config.align.pairs, config.align.digest = str(path), ""
    write_pairs(path, made)
    with pytest.raises(UserError, match=reason):
        Run(config, path.parent / "run")


def test_pairs_that_cannot_be_learnt_from_are_refused(aligned, tmp_path, pairs):
    found = read_pairs(pairs)
    bad = [replace(pair, choice="bad") for pair in found]
    refused(aligned, tmp_path / "few.parquet", found[:3], "has 3 pairs .* less than one batch")
    refused(aligned, tmp_path / "bad.parquet", bad, "has 0 pairs")
    from glyffuser.data.schema import png

    small = png(np.zeros((16, 16), np.uint8))
    small_pairs = [replace(pair, left=small, right=small) for pair in found]
    refused(aligned, tmp_path / "small.parquet", small_pairs, "16 pixels, .* 32")
    refused(aligned, tmp_path / "one.parquet", [*found, small_pairs[7]], "of pair 7 in .* 16 pixels, .* leave that")


def test_a_student_is_not_aligned_while_it_learns(aligned, tmp_path, tiny_model):
    aligned.distil.teacher = str(tiny_model)
    with pytest.raises(UserError, match=r"leave out distil\.teacher"):
        Run(aligned, tmp_path)


def test_a_run_that_loses_what_was_preferred_stops(aligned, tmp_path):
    override(aligned, ["train.lr=1.0", "train.warmup_steps=1", "train.max_steps=40", "train.checkpoint_every=1000"])
    with pytest.raises(Diverged, match=r"higher align\.beta"):
        finish(Run(aligned, tmp_path))


def test_drift_shows_where_a_margin_hides_it():
    """Both errors have doubled, the other one's by more: the pair is won, but the preferred glyph is lost."""
    found = Preference(torch.tensor([[2.0], [4.0]]), torch.tensor([[1.0], [2.0]]))
    assert float(found.margin) == 1.0
    assert float(found.drift) == 2.0


def test_the_settings_alone_describe_the_run(tiny_model, pairs, tmp_path):
    out = tmp_path / "run"
    command = Align(model=str(tiny_model), pairs=pairs, out=out, beta=50.0, set=("train.batch_size=4",))
    config, _ = command.settings()
    assert (config.align.beta, config.align.digest) == (50.0, digest_of(read_pairs(pairs)))
    assert config.model.sample_size == load_pipeline(tiny_model).size
    out.mkdir()
    (out / "config.toml").write_text(dump_config(config))
    again, _ = dataclasses.replace(command, beta=None, set=()).settings()  # a run that has begun keeps its settings
    assert again == config


def test_pairs_of_another_model_are_pointed_out(tiny_model, pairs, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Align(model=str(tiny_model), pairs=pairs, out=tmp_path).settings()
    write_pairs(tmp_path / "other.parquet", [replace(pair, model="f" * 16) for pair in read_pairs(pairs)])
    with pytest.warns(UserWarning, match="drawn by another model"):
        Align(model=str(tiny_model), pairs=tmp_path / "other.parquet", out=tmp_path).settings()
