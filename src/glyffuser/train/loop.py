"""Training: one loop, a generator.

`Trainer` gathers what a run needs; `Trainer.run()` yields a `Progress` after every optimiser step, so progress bars,
tests and figures need no callbacks. Which glyphs, captions, timesteps and noise a step sees is a function of
(seed, step, process) alone; hence a run that was stopped goes on exactly as if it had not been.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError

from glyffuser.base.devices import bfloat16_is_fast, default_device
from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path, output_folder, remove_leftovers, write_text
from glyffuser.base.memory import keep_freed_memory
from glyffuser.config import Config, dump_config, load_config
from glyffuser.data.captions import build_captions
from glyffuser.data.dataset import GlyphData, load_dataset
from glyffuser.diffusion.process import Process, noised
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.schedulers import GlyffuserScheduler
from glyffuser.networks.unet import UNet, arguments
from glyffuser.text.cache import encode_cached
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.prior import RadicalPrior, train_prior
from glyffuser.train.batches import Batch, Batches
from glyffuser.train.checkpoint import list_checkpoints, prune, resume, save_checkpoint, start_from, trim_log
from glyffuser.train.optimizer import build_optimizer, learning_rate, run_fraction
from glyffuser.train.previews import Previews

WORSE = 4.0  # a loss so many times its best running mean means that the run has diverged


class Progress(NamedTuple):
    """What one optimiser step did. `minutes` counts the whole run, also what was trained before a restart."""

    step: int
    loss: float
    grad_norm: float
    lr: float
    minutes: float
    glyphs_per_second: float
    done: float  # fraction of the run, 0 to 1


class Diverged(UserError):
    """The loss is not finite, or far above what it was; the last checkpoint is good."""


def precision(wanted: str) -> str:
    """The precision to train in: bfloat16 becomes "no", float32, where it is emulated, and many times slower."""
    return "no" if wanted == "bf16" and not bfloat16_is_fast(default_device()) else wanted


class Trainer:
    """One training run in a folder: builds everything, or takes it up where the folder's last checkpoint left it.

    Args:
        config: every setting. It is written to `out`/config.toml.
        out: the run folder. If it already holds a run, `config` may change `train` but nothing else: UserError.
        progress: called as progress(done, total) while captions are encoded.
    """

    def __init__(self, config: Config, out: str | Path, progress: Callable[[int, int], None] | None = None):
        self.config, self.out = config, output_folder(out)
        self._agree_with_folder()
        c = config.train
        cpu = default_device().type == "cpu"
        if cpu and c.mixed_precision == "fp16":
            raise UserError("train.mixed_precision = fp16 needs a GPU; use bf16 or no")
        self.accelerator = Accelerator(
            mixed_precision=precision(c.mixed_precision),
            cpu=cpu,
            log_with="tensorboard" if c.tensorboard else None,
            project_dir=self.out,
        )
        self.device = self.accelerator.device
        if cpu:
            keep_freed_memory()
        torch.manual_seed(c.seed)
        self.encoder = TextEncoder(config.text.encoder, config.text.max_length, config.text.download)
        data = load_dataset(Path(config.data.path), split="train")
        self._check_data(data)
        captions = build_captions(data.definitions, data.senses)
        with self.accelerator.main_process_first():
            cache = Path(config.data.path).parent / "text"
            texts = encode_cached(self.encoder, captions.texts, cache, progress).to(self.device)
        d = config.diffusion
        self.process = Process(Schedule(d.schedule, d.T, d.shift), d.prediction_type)
        self.batches = Batches(config, data, captions, texts, self.process.schedule, self.device)
        self.prior = self._load_prior() if config.model.num_class_embeds else None
        self.network = UNet(
            **asdict(config.model),
            cross_attention_dim=self.encoder.dim,
            **self.process.to_config(),
        ).to(self.device)
        if c.init and not list_checkpoints(self.out / "checkpoints"):
            start_from(self.network, Path(c.init))
        self.ema = EMAModel(self.network.parameters(), decay=c.ema_decay, foreach=True)
        self.ema.to(self.device)
        self.optimizer = build_optimizer(self.network, c)
        self.step, self.minutes, self.mean_loss, self.best_loss = 0, 0.0, math.nan, math.inf
        found = resume(self.out / "checkpoints", self.network, self.ema, self.optimizer)
        if found:
            self.step, self.minutes, self.best_loss = (found[1][k] for k in ("step", "minutes", "best_loss"))
            self.mean_loss = found[1].get("mean_loss", math.nan)
        self.stop_requested = False
        self.previews = Previews(self.out)
        self.wrapped, self.stepper = self.accelerator.prepare(self.network, self.optimizer)
        self.compiled = torch.compile(self.wrapped) if c.compile else self.wrapped
        if self.accelerator.is_main_process:
            write_text(self.out / "config.toml", dump_config(config))
            for log in ("metrics.jsonl", "scores.jsonl"):
                trim_log(self.out / log, self.step)
            for folder in (self.out, self.out / "checkpoints", self.out / "samples"):
                remove_leftovers(folder)
        if c.tensorboard:
            self.accelerator.init_trackers("tensorboard")

    def run(self) -> Iterator[Progress]:
        """Train to the end, yielding after every step. Writes log lines, previews, checkpoints and at last model/.

        Ends after max_steps, max_minutes or `self.stop_requested`. Raises Diverged for a loss that is NaN or runs away.
        """
        c = self.config.train
        before, saved_at = time.perf_counter(), self.step
        while self.step < c.max_steps and not self._out_of_time() and not self._stop():
            lr = learning_rate(c, self.step, self.minutes)
            value, norm = self._update(self.batch(self.step), lr)
            self.step += 1
            now = time.perf_counter()
            self.minutes += (now - before) / 60
            speed = c.batch_size * self.accelerator.num_processes / (now - before)
            before = now
            self._watch(value, norm)
            progress = Progress(self.step, value, norm, lr, self.minutes, speed, self._done())
            if self.step % c.log_every == 0:
                self._log(progress._replace(loss=self.mean_loss))
            yield progress
            if self.step % c.checkpoint_every == 0:
                self.save()
                saved_at = self.step
            if self.step % c.preview_every == 0:
                self.preview()
            # Checkpoints and previews count as time spent, but not against the speed.
            self.minutes += (time.perf_counter() - before) / 60
            before = time.perf_counter()
        if self.step > saved_at:
            self.save()
        self.export()
        if c.tensorboard:
            self.accelerator.end_training()

    def batch(self, step: int) -> Batch:
        """The examples of a step for this process."""
        return self.batches.draw(step, self.accelerator.process_index, self.accelerator.num_processes)

    def _update(self, batch: Batch, lr: float) -> tuple[float, float]:
        """One optimiser step; returns loss and gradient norm."""
        schedule = self.process.schedule
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        sigma = schedule.sigma(batch.t)
        xt = noised(batch.x0, batch.eps, sigma, schedule)
        with self.accelerator.autocast():
            prediction = self.compiled(xt, batch.t.to(xt), **arguments(batch.cond), return_dict=False)[0]
        value = self.process.loss(prediction, batch.x0, batch.eps, sigma, self.config.diffusion.weighting).mean()
        self.accelerator.backward(value)
        norm = self.accelerator.clip_grad_norm_(self.network.parameters(), self.config.train.grad_clip)
        self.stepper.step()
        self.stepper.zero_grad()
        self.ema.step(self.network.parameters())
        return float(self.accelerator.reduce(value.detach(), "mean")), float(norm)

    def save(self) -> None:
        """Write a checkpoint and forget all but the newest few."""
        if not self.accelerator.is_main_process:
            return
        folder = self.out / "checkpoints"
        extra = {"minutes": self.minutes, "mean_loss": self.mean_loss, "best_loss": self.best_loss}
        try:
            save_checkpoint(folder, self.step, self.network, self.ema, self.optimizer, extra)
        except (OSError, SafetensorError) as error:  # a full disk, most likely
            raise UserError(
                f"cannot write a checkpoint in {folder} ({error}); the one before is whole: mend this and start again"
            ) from error
        prune(folder, self.config.train.keep_checkpoints, self.step)

    def pipeline(self) -> GlyffuserPipeline:
        """A pipeline around a copy of the network with the averaged weights."""
        averaged = UNet.from_config(self.network.config).to(self.device).eval()
        self.ema.copy_to(averaged.parameters())
        scheduler = GlyffuserScheduler.for_schedule(self.process.schedule)
        pipe = GlyffuserPipeline(averaged, self.encoder, scheduler, self.prior).to(self.device)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    def preview(self) -> None:
        """Write a grid of samples, and log its scores."""
        if self.accelerator.is_main_process:
            scores = self.previews(self.pipeline(), self.step)
            self.accelerator.log(scores, step=self.step)

    def export(self) -> None:
        """Write model/: the averaged weights in diffusers' layout, loadable by `--model`."""
        if not self.accelerator.is_main_process:
            return
        with atomic_path(self.out / "model") as temporary:
            self.pipeline().save_pretrained(temporary)

    def _load_prior(self) -> RadicalPrior:
        """The prior in the run folder; at the first start it is fitted, which takes some seconds."""
        folder = self.out / "prior"
        with self.accelerator.main_process_first():
            if not folder.exists():
                b, fingerprint = self.batches, self.encoder.fingerprint()
                prior = train_prior(b.captions, b.texts, b.radicals, fingerprint, self.config.train.seed)
                with atomic_path(folder) as temporary:
                    prior.save_pretrained(temporary)
            return RadicalPrior.from_pretrained(folder).to(self.device)

    def _log(self, progress: Progress) -> None:
        if self.accelerator.is_main_process:
            with (self.out / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(progress._asdict()) + "\n")
        self.accelerator.log(progress._asdict(), step=progress.step)

    def _watch(self, value: float, norm: float) -> None:
        """Stop before a run that has gone wrong can overwrite what was good."""
        c = self.config.train
        self.mean_loss = value if math.isnan(self.mean_loss) else 0.98 * self.mean_loss + 0.02 * value
        self.best_loss = min(self.best_loss, self.mean_loss) if self.step > c.warmup_steps else math.inf
        # After a gradient that is not finite neither are the weights; but in fp16 such steps are common, and skipped.
        lost = not math.isfinite(value) or not (math.isfinite(norm) or c.mixed_precision == "fp16")
        if lost or self.mean_loss > WORSE * self.best_loss:
            raise Diverged(
                f"training diverged at step {self.step} (loss {value:.3g}); the last checkpoint is good: "
                f"start again with a lower learning rate, for example --set train.lr={c.lr / 2:g}"
            )

    def _stop(self) -> bool:
        """Whether any process was asked to stop: all must agree, or the others would wait for ever."""
        if self.accelerator.num_processes == 1:
            return self.stop_requested
        flag = torch.tensor(float(self.stop_requested), device=self.device)
        return bool(self.accelerator.reduce(flag, "sum") > 0)

    def _out_of_time(self) -> bool:
        limit = self.config.train.max_minutes
        if not limit:
            return False
        if self.accelerator.num_processes > 1:  # clocks differ, and the learning rate hangs on them
            minutes = torch.tensor(self.minutes, device=self.device)
            self.minutes = float(self.accelerator.reduce(minutes, "mean"))
        return self.minutes >= limit

    def _done(self) -> float:
        return run_fraction(self.config.train, self.step, self.minutes)

    def _check_data(self, data: GlyphData) -> None:
        size, wanted = data.images.shape[1], self.config.model.sample_size
        if size != wanted:
            raise UserError(
                f"{self.config.data.path} holds {size}-pixel glyphs, the model wants {wanted}; build the data set with "
                f"--size {wanted}, or --set model.sample_size={size}"
            )
        if len(data.images) < self.config.train.batch_size:
            raise UserError(f"{self.config.data.path} has {len(data.images)} training glyphs, less than one batch")

    def _agree_with_folder(self) -> None:
        path = self.out / "config.toml"
        if not path.exists():
            return
        before = load_config(path)
        for section in ("data", "text", "model", "diffusion"):
            old, new = asdict(getattr(before, section)), asdict(getattr(self.config, section))
            changed = [k for k in new if new[k] != old[k]]
            if changed:
                k = changed[0]
                raise UserError(
                    f"{self.out} holds a run with {section}.{k} = {old[k]!r}, not {new[k]!r}; choose another --out, "
                    f"or continue it with --config {path}"
                )
