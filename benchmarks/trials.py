"""What benchmarks/objectives.py and benchmarks/systems.py share: a run trained for some minutes, and its evaluation."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from glyffuser.config import Config
from glyffuser.data.dataset import load_dataset
from glyffuser.evaluate.artist import EvaluationSettings
from glyffuser.evaluate.measure import Measures, evaluate
from glyffuser.evaluate.report import write_report
from glyffuser.generate.cascade import load_upscalers
from glyffuser.generate.load import load_pipeline
from glyffuser.judge.judges import load_contrastive, load_judges, load_selector
from glyffuser.judge.novelty import known_ideographs
from glyffuser.text.tower import TextTower
from glyffuser.train.folder import RunFolder
from glyffuser.train.loop import Stop, loop
from glyffuser.train.setup import setup
from glyffuser.train.state import State


def train(config: Config, out: Path, tower: TextTower | None = None) -> tuple[int, float]:
    """Train a run to its end, resuming it if it was begun; returns steps and the last mean loss.

    `tower`: one already fitted with the same text and data settings, to save a new run the minute.
    """
    folder = RunFolder(out, config)
    parts = setup(config, tower=folder.tower() or tower)
    state = State.begin(parts, folder.checkpoints)
    for _ in loop(parts, state, folder, Stop()):
        pass
    return state.step, state.mean_loss


class Scorer:
    """Measures runs against one data set, which is loaded when first needed."""

    def __init__(self, data: str, settings: EvaluationSettings):
        self.data, self.settings = data, settings

    @cached_property
    def _loaded(self) -> tuple[Any, ...]:
        training, held_out = load_dataset(self.data, "train"), load_dataset(self.data, "test")
        known = known_ideographs(training, held_out)
        return Measures(load_judges(), load_selector(), known, load_contrastive()[0]), training, held_out

    def __call__(self, run: Path, upscalers: Sequence[Path] = (), style: str | None = None) -> dict[str, Any]:
        """Evaluate a run's model, in a style if it knows any; returns the numbers and writes the report to the run's
        folder `evaluation`.
        """
        pipe, (measures, training, held_out) = load_pipeline(run), self._loaded
        settings = dataclasses.replace(self.settings, guidance=pipe.usual.guidance, style=style)
        evaluation = evaluate(pipe, measures, training, held_out, settings, upscalers=load_upscalers(upscalers))
        write_report(evaluation, run / "evaluation")
        return evaluation.numbers
