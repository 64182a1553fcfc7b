"""`glyffuser distil`: train a student that draws with fewer evaluations of the network."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction, arg

from glyffuser.base.names import DISTILLATIONS
from glyffuser.commands.shared import Flag, open_pipeline
from glyffuser.commands.train import adjusted, begun, run
from glyffuser.config import DATA, STUDENTS, Config, preset, set_field


@dataclass
class Distil:
    """Train a student of a model: one that needs no guidance, or one that draws in few steps.

    Example: glyffuser distil --model runs/mine --method guidance --out runs/folded
             glyffuser distil --model runs/mine --method consistency --steps 4 --out runs/fast

    The student starts from its teacher's weights. Ctrl-C stops it cleanly; the same --out resumes it exactly.
    """

    model: str = "bundled"
    """The teacher: a model folder or run folder; default: the bundled model."""
    method: Annotated[str, arg(help=f"One of {', '.join(DISTILLATIONS)}.")] = DISTILLATIONS[0]
    steps: int | None = None
    """Steps in which a student of "consistency" or "moments" is to draw; default: 4."""
    guidance: float | None = None
    """Scale of the teacher's guidance; default: the teacher's own choice."""
    adversarial: float | None = None
    """Let a discriminator, which sees real glyphs, pull on a student of "moments": a share of the teacher's pull."""
    data: Annotated[Path | None, arg(help=f"The data set; default: {DATA}.")] = None
    out: Path | None = None
    """The run folder; default: runs/<method>."""
    max_minutes: float | None = None
    """Stop after this many minutes in all."""
    max_steps: int | None = None
    """Stop after this many optimiser steps in all."""
    set: UseAppendAction[tuple[str, ...]] = ()
    """Override one setting as section.key=value, for example train.lr=1e-4; may be repeated."""
    dry_run: Flag = False
    """Train nothing and write nothing: report what the run would take and when it would end."""
    json: Flag = False
    """Print the last state as JSON."""

    def run(self) -> None:
        run(*self.settings(), self.dry_run, self.json)

    def settings(self) -> tuple[Config, Path]:
        """The complete configuration and the run folder; a run that has begun keeps its own."""
        out = self.out or Path("runs") / self.method
        return adjusted(begun(out, self.begin), self.set, self.data, self.max_minutes, self.max_steps), out

    def begin(self) -> Config:
        """The configuration of a new student."""
        config = preset("cpu")
        set_field(config, "distil.method", self.method)
        pipe = open_pipeline(self.model)
        from glyffuser.config import named_model
        from glyffuser.train.distil import student_config

        student_config(pipe, config)
        for key, value in STUDENTS[self.method].items():
            set_field(config, key, value)
        set_field(config, "distil.teacher", str(named_model(self.model).resolve()))
        set_field(config, "distil.guidance", pipe.usual.guidance if self.guidance is None else self.guidance)
        for name, value in (("steps", self.steps), ("adversarial", self.adversarial)):
            if value is not None:
                set_field(config, f"distil.{name}", value)
        return config
