"""`glyffuser align`: train a model to draw what was preferred."""

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import UseAppendAction

from glyffuser.commands.shared import Flag, need_extra, open_pipeline
from glyffuser.commands.train import adjusted, begun, run
from glyffuser.config import ALIGNED, Config, named_model, preset, set_field


@dataclass
class Align:
    """Train a model to draw what was preferred, from pairs that `glyffuser label` wrote.

    Example: glyffuser align --model runs/mine --pairs pairs.parquet --out runs/aligned

    It starts from the weights of --model and is held to that model. Ctrl-C stops it cleanly; the same --out resumes it
    exactly.
    """

    model: str = "bundled"
    """What to align: a model folder or run folder; default: the bundled model."""
    pairs: Path = Path("pairs.parquet")
    """The pairs; those with both glyphs bad are left out."""
    beta: float | None = None
    """How strongly the model is held to what it was: the higher, the less it moves; default: 1000."""
    out: Path = Path("runs/aligned")
    """The run folder."""
    max_minutes: float | None = None
    """Stop after this many minutes in all."""
    max_steps: int | None = None
    """Stop after this many optimiser steps in all."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """Override one setting as section.key=value, for example train.lr=1e-5; may be repeated."""
    dry_run: Flag = False
    """Train nothing and write nothing: report what the run would take and when it would end."""
    json: Flag = False
    """Print the last state as JSON."""

    def run(self) -> None:
        need_extra("data", "pyarrow")
        run(*self.settings(), self.dry_run, self.json)

    def settings(self) -> tuple[Config, Path]:
        """The complete configuration and the run folder; a run that has begun keeps its own."""
        config = begun(self.out, self.begin)
        return adjusted(config, self.set, None, self.max_minutes, self.max_steps), self.out

    def begin(self) -> Config:
        """The configuration of a new run."""
        config = preset("cpu")
        pipe = open_pipeline(self.model)
        from glyffuser.data.pairs import read_pairs
        from glyffuser.train.align import digest_of, warn_of_others
        from glyffuser.train.distil import student_config

        pairs = read_pairs(self.pairs)
        warn_of_others(pairs, pipe)
        student_config(pipe, config)
        for key, value in ALIGNED.items():
            set_field(config, key, value)
        set_field(config, "align.reference", str(named_model(self.model).resolve()))
        set_field(config, "align.pairs", str(self.pairs.resolve()))
        set_field(config, "align.digest", digest_of(pairs))
        if self.beta is not None:
            set_field(config, "align.beta", self.beta)
        return config
