"""Training: one loop, a generator.

    folder = RunFolder("runs/mine", config)
    parts = setup(config, tower=folder.tower(), autoencoder=folder.autoencoder())  # those of a run that has begun
    state = State.begin(parts, folder.checkpoints)       # the newest checkpoint, or the beginning
    for progress in loop(parts, state, folder):
        ...

It yields a `Progress` after every optimiser step, so progress bars, tests and figures need no callbacks. The glyphs,
captions, timesteps and noise that a step sees are a function of the seed and of how many glyphs were seen before. So a
run that was stopped continues exactly as if it had not been; with another number of processes, it sees the same and
differs only in rounding, in dropout, and in what is drawn at random within a step: the latents of an autoencoder, and
the noise and levels of a student. Only the first process writes.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path
from glyffuser.train.checkpoint import prune
from glyffuser.train.export import exported
from glyffuser.train.folder import RunFolder
from glyffuser.train.optimizer import learning_rate, run_fraction
from glyffuser.train.parts import Parts
from glyffuser.train.previews import build_previews
from glyffuser.train.state import State
from glyffuser.train.step import build_stepper

WORSE = 4.0  # a running mean of the loss this many times its best means that the run has diverged
DRIFT = 1.5  # so does an error on preferred glyphs this many times the reference's


class Progress(NamedTuple):
    """What one optimiser step did. `minutes` counts the whole run, including training before a restart."""

    step: int
    loss: float
    grad_norm: float
    lr: float
    minutes: float
    glyphs_per_second: float
    done: float  # fraction of the run, 0 to 1


@dataclass
class Stop:
    """Asks a loop to end after the current step; a signal handler may set `requested`."""

    requested: bool = False


class Diverged(UserError):
    """The loss is not finite, or far above what it was; the last checkpoint is good."""


def loop(parts: Parts, state: State, folder: RunFolder, stop: Stop | None = None) -> Iterator[Progress]:
    """Train to the end, yielding after every step. Writes log lines, previews, checkpoints and finally model/.

    Ends after max_steps, max_minutes, or the step in which a stop was requested, always with a checkpoint and a model.
    Closing the generator instead, or an exception that passes through it, is like a kill: the folder keeps its last
    checkpoint. Raises Diverged for a loss that is not finite or runs away.
    """
    main, stop = parts.accelerator.is_main_process, stop or Stop()
    try:
        if main:
            folder.open(state.step, parts.tower, parts.autoencoder)
        yield from _steps(parts, state, folder, stop)
    finally:
        if main:
            folder.close()


def _steps(parts: Parts, state: State, folder: RunFolder, stop: Stop) -> Iterator[Progress]:
    """The steps of `loop`, in an open folder."""
    c, main = parts.config.train, parts.accelerator.is_main_process
    stepper, previews = build_stepper(parts, state), build_previews(parts, folder.path)

    def preview() -> None:
        folder.plot({"step": state.step, **previews(exported(parts, state.averaged()), state.step)})

    if main and state.step and state.step % c.preview_every == 0 and not folder.scored(state.step):
        preview()  # a kill came between checkpoint and preview
    before, saved_at = time.perf_counter(), state.step
    while state.step < c.max_steps and not _out_of_time(parts, state) and not _stopped(parts, stop):
        lr = learning_rate(c, state.step, state.minutes)
        value, norm = stepper((parts.batch(state.seen, part) for part in range(c.accumulate)), lr)
        now = time.perf_counter()
        state.step, state.seen = state.step + 1, state.seen + c.batch_size
        state.minutes += (now - before) / 60
        _watch(parts, state, value, norm, stepper.facts.get("drift", 0.0))
        speed = c.batch_size / (now - before)
        done = run_fraction(c, state.step, state.minutes)
        progress = Progress(state.step, value, norm, lr, state.minutes, speed, done)
        if main and state.step % c.log_every == 0:
            folder.log(progress._replace(loss=state.mean_loss)._asdict() | stepper.facts)
        yield progress
        if main and state.step % c.checkpoint_every == 0:
            state.save(folder.checkpoints, c.keep_checkpoints)
            saved_at = state.step
        if main and state.step % c.preview_every == 0:
            preview()
        # Checkpoints and previews count as time spent, but not against the speed.
        before = time.perf_counter()
        state.minutes += (before - now) / 60
    if main:
        if state.step > saved_at:
            state.save(folder.checkpoints, c.keep_checkpoints)
        else:
            prune(folder.checkpoints, c.keep_checkpoints, state.step)  # a kill may have kept the last save from this
        with atomic_path(folder.path / "model") as temporary:
            exported(parts, state.averaged()).save_pretrained(temporary)


def _watch(parts: Parts, state: State, value: float, norm: float, drift: float) -> None:
    """Raise Diverged before a run that has gone wrong can overwrite what was good."""
    c = parts.config.train
    state.mean_loss = value if math.isnan(state.mean_loss) else 0.98 * state.mean_loss + 0.02 * value
    state.best_loss = min(state.best_loss, state.mean_loss) if state.step > c.warmup_steps else math.inf
    # After a gradient that is not finite, the weights are not either; but in fp16 such steps are common, and skipped.
    lost = not math.isfinite(value) or not (math.isfinite(norm) or c.mixed_precision == "fp16")
    # A student begins where its teacher is, so its loss is lowest at first; that of pairs may fall to almost nothing.
    held = parts.teacher is not None or parts.reference is not None
    if lost or drift > DRIFT or (not held and state.mean_loss > WORSE * state.best_loss):
        raise Diverged(
            f"training diverged at step {state.step} (loss {value:.3g}); the last checkpoint is good: "
            f"start again with a lower learning rate, for example --set train.lr={c.lr / 2:g}"
            + (", or with a higher align.beta" if parts.reference else "")
        )


def _stopped(parts: Parts, stop: Stop) -> bool:
    """Whether any process was asked to stop: all must agree, or the others would wait forever."""
    accelerator = parts.accelerator
    if accelerator.num_processes == 1:
        return stop.requested
    flag = torch.tensor(float(stop.requested), device=parts.device)
    return bool(accelerator.reduce(flag, "sum") > 0)


def _out_of_time(parts: Parts, state: State) -> bool:
    accelerator, limit = parts.accelerator, parts.config.train.max_minutes
    if not limit:
        return False
    if accelerator.num_processes > 1:  # clocks differ, and the learning rate depends on them
        state.minutes = float(accelerator.reduce(torch.tensor(state.minutes, device=parts.device), "mean"))
    return state.minutes >= limit
