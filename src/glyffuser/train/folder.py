"""The run folder: config.toml, metrics.jsonl, scores.jsonl, tower/, autoencoder/, samples/, checkpoints/, model/."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glyffuser.base.errors import UserError, in_one_line
from glyffuser.base.files import atomic_path, output_folder, remove_leftovers, write_text
from glyffuser.base.locks import take_lock
from glyffuser.base.weights import BROKEN, load_network
from glyffuser.config import Config, dump_config, load_config
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.build import load_companion
from glyffuser.text.tower import TextTower
from glyffuser.train.checkpoint import trim_log

LOCK = ".lock"  # its first line is the id of the process that is training there


class RunFolder:
    """The folder that a run is written to. Nothing is written, not even the folder made, before `claim` or `open`.

    Args:
        path: the folder. If it already holds a run, `config` may change only its `train` settings, save the optimiser,
            whose state is that of its kind; else UserError.
        config: every setting of the run.
    """

    def __init__(self, path: str | Path, config: Config):
        self.path, self.config = Path(path), config
        self.checkpoints = self.path / "checkpoints"
        self._writer: Any = None
        self._lock: int | None = None
        self._agree()

    def claim(self) -> None:
        """Lock other processes out of the folder until `close`, or until this process dies. Only its writer does so.

        UserError if another process is training there. On a file system without locks, nothing is locked.
        """
        if self._lock is not None:
            return
        path = output_folder(self.path) / LOCK
        path.touch()
        try:
            self._lock = take_lock(path)
        except OSError:
            return
        if self._lock is None:
            pid = path.read_text(encoding="utf-8", errors="replace").strip()
            raise UserError(f"another process ({pid}) is training in {self.path}; wait for it, or choose another --out")
        path.write_text(f"{os.getpid()}\n", encoding="utf-8")

    def open(self, step: int, tower: TextTower | None = None, autoencoder: Autoencoder | None = None) -> None:
        """Make the folder ready for a run that continues after `step`: write its settings, clear leftovers away."""
        self.claim()
        for name, part in (("tower", tower), ("autoencoder", autoencoder)):
            if part is not None and not (self.path / name).exists():
                with atomic_path(self.path / name) as temporary:
                    part.save_pretrained(temporary)
        write_text(self.path / "config.toml", dump_config(self.config))
        for log in ("metrics.jsonl", "scores.jsonl"):
            trim_log(self.path / log, step)
        for folder in (self.path, self.checkpoints, self.path / "samples"):
            remove_leftovers(folder)
        if self.config.train.tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            # What a killed run logged beyond its last checkpoint is about to come again.
            self._writer = SummaryWriter(str(self.path / "tensorboard"), purge_step=step + 1)

    def tower(self) -> TextTower | None:
        """The tower that the run began with; None if it has not begun, or has none."""
        folder = self.path / "tower"
        if not folder.exists():
            return None
        try:
            return load_network(TextTower, folder).requires_grad_(False)
        except BROKEN as error:
            raise UserError(
                f"cannot load the tower in {folder} ({in_one_line(error)}); choose another --out"
            ) from error

    def autoencoder(self) -> Autoencoder | None:
        """The autoencoder that the run began with; None if it has not begun, or has none."""
        folder = self.path / "autoencoder"
        return load_companion(folder, Autoencoder) if folder.exists() else None

    def log(self, facts: dict[str, float]) -> None:
        """Add a line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(facts) + "\n")
        self.plot(facts)

    def scored(self, step: int) -> bool:
        """Whether the preview of a step is there; its line of scores.jsonl is written last."""
        path = self.path / "scores.jsonl"
        return path.exists() and any(json.loads(line)["step"] == step for line in path.read_text("utf-8").splitlines())

    def plot(self, facts: dict[str, float]) -> None:
        """Send the facts of a step to TensorBoard, if that is asked for."""
        if self._writer is not None:
            for name in facts.keys() - {"step"}:
                self._writer.add_scalar(name, facts[name], facts["step"])
            self._writer.flush()

    def close(self) -> None:
        """Close what `open` opened, and let other processes in."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _agree(self) -> None:
        path = self.path / "config.toml"
        if not path.exists():
            return
        before = load_config(path)
        for section in ("data", "text", "model", "diffusion", "distil", "align", "train"):
            old, new = asdict(getattr(before, section)), asdict(getattr(self.config, section))
            fixed: Iterable[str] = ["optimizer"] if section == "train" else new
            if changed := [k for k in fixed if new[k] != old[k]]:
                k = changed[0]
                raise UserError(
                    f"{self.path} holds a run with {section}.{k} = {old[k]!r}, not {new[k]!r}; choose another --out, "
                    f"or continue it as it is with `glyffuser train --out {self.path}`"
                )
