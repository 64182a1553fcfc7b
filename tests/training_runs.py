"""Training runs for tests: finished, stopped, compared."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glyffuser.config import Config
from glyffuser.train.checkpoint import flatten
from glyffuser.train.folder import RunFolder
from glyffuser.train.loop import Progress, Stop, loop
from glyffuser.train.parts import Parts
from glyffuser.train.setup import setup
from glyffuser.train.state import State


class Run:
    """A run in a folder, as the command sets it up: at its last checkpoint, or at its beginning."""

    def __init__(self, config: Config, out: Path):
        self.out, self.folder, self.stop = out, RunFolder(out, config), Stop()
        self.parts = setup(config, tower=self.folder.tower(), autoencoder=self.folder.autoencoder())
        self.state = State.begin(self.parts, self.folder.checkpoints)

    def steps(self) -> Iterator[Progress]:
        return loop(self.parts, self.state, self.folder, self.stop)


def finish(run: Run, stop_at: int | None = None) -> list[Progress]:
    """Train to the end, or ask for a stop at a step."""
    steps = []
    for progress in run.steps():
        steps.append(progress)
        run.stop.requested = progress.step == stop_at
    return steps


def tensors(state: State) -> dict[str, Tensor]:
    weights = {f"network.{name}": p for name, p in state.network.state_dict().items()}
    averaged = {f"ema.{i}": p for i, p in enumerate(state.ema.shadow_params)}
    found = weights | averaged | flatten(state.optimizer)
    for beside, (network, optimizer) in state.beside.items():
        found |= {f"{beside}.{name}": p for name, p in network.state_dict().items()}
        found |= {f"{beside} optimizer.{name}": p for name, p in flatten(optimizer).items()}
    return found


def assert_same(one: Run, other: Run) -> None:
    """Assert equality to the last bit: weights, averaged weights, optimiser, and the logs except for times."""
    first, second = tensors(one.state), tensors(other.state)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert log(one.out) == log(other.out)
    assert (one.state.step, one.state.mean_loss) == (other.state.step, other.state.mean_loss)
    assert one.state.best_loss == other.state.best_loss


def resumed_exactly(config: Config, out: Path, stop_at: int = 6) -> tuple[Run, Run]:
    """A run in one piece (out/whole) and one stopped and resumed (out/stopped), asserted equal to the last bit."""
    whole = Run(config, out / "whole")
    finish(whole)
    finish(Run(config, out / "stopped"), stop_at)
    resumed = Run(config, out / "stopped")
    finish(resumed)
    assert_same(whole, resumed)
    return whole, resumed


def log(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in ("step", "loss", "grad_norm", "lr")} for line in lines]


def glyphs(parts: Parts, step: int) -> list[int]:
    """The numbers of the data set's glyphs that are in a step, or in this process's share of it."""
    pictures = ((parts.batch(step * parts.config.train.batch_size).x0[:, 0] + 1) * 127.5).round().to(torch.uint8)
    return [int((parts.batches.images == picture).all(dim=(1, 2)).nonzero().item()) for picture in pictures]


def told(config: Config) -> Config:
    config.model.num_class_embeds, config.data.drop_radical = 215, 0.25
    return config


def towered(config: Config) -> Config:
    config.text.tower, config.text.tower_steps, config.data.composition = 8, 20, 0.2
    return config


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder: path -> time of the last change in ns, and content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
    }
