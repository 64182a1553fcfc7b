"""The run folder: config.toml, metrics.jsonl, scores.jsonl, tower/, autoencoder/, samples/, checkpoints/, model/."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path, output_folder, remove_leftovers, write_text
from glyffuser.config import Config, dump_config, load_config
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.build import load_companion
from glyffuser.text.tower import TextTower
from glyffuser.train.checkpoint import trim_log


class RunFolder:
    """Where a run is written. Nothing is, nor is the folder made, before `open`.

    Args:
        path: the folder. If it already holds a run, `config` may change `train` but nothing else: UserError.
        config: every setting of the run.
    """

    def __init__(self, path: str | Path, config: Config):
        self.path, self.config = Path(path), config
        self.checkpoints = self.path / "checkpoints"
        self._writer: Any = None
        self._agree()

    def open(self, step: int, tower: TextTower | None = None, autoencoder: Autoencoder | None = None) -> None:
        """Make the folder ready for a run that goes on after `step`: its settings stand there, leftovers do not."""
        output_folder(self.path)
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

            self._writer = SummaryWriter(str(self.path / "tensorboard"))

    def tower(self) -> TextTower | None:
        """The tower that the run began with; None before its beginning, or where it has none."""
        folder = self.path / "tower"
        return TextTower.from_pretrained(folder).requires_grad_(False) if folder.exists() else None

    def autoencoder(self) -> Autoencoder | None:
        """The autoencoder that the run began with; None before its beginning, or where it has none."""
        folder = self.path / "autoencoder"
        return load_companion(folder, Autoencoder) if folder.exists() else None

    def log(self, facts: dict[str, float]) -> None:
        """One more line of metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(facts) + "\n")
        self.plot(facts)

    def plot(self, facts: dict[str, float]) -> None:
        """The facts of a step for TensorBoard, where that is asked for."""
        if self._writer is not None:
            for name in facts.keys() - {"step"}:
                self._writer.add_scalar(name, facts[name], facts["step"])
            self._writer.flush()

    def close(self) -> None:
        """Close what `open` opened."""
        if self._writer is not None:
            self._writer.close()

    def _agree(self) -> None:
        path = self.path / "config.toml"
        if not path.exists():
            return
        before = load_config(path)
        for section in ("data", "text", "model", "diffusion", "distil", "align"):
            old, new = asdict(getattr(before, section)), asdict(getattr(self.config, section))
            changed = [k for k in new if new[k] != old[k]]
            if changed:
                k = changed[0]
                raise UserError(
                    f"{self.path} holds a run with {section}.{k} = {old[k]!r}, not {new[k]!r}; choose another --out, "
                    f"or continue it with --config {path}"
                )
