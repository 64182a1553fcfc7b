"""Training runs for tests: finished, stopped, compared."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glyffuser.config import Config
from glyffuser.train.checkpoint import flatten
from glyffuser.train.loop import Progress, Trainer


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


def told(config: Config) -> Config:
    config.model.num_class_embeds, config.data.drop_radical = 215, 0.25
    return config
