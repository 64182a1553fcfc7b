"""Where a run stands: everything that a checkpoint holds and a step changes."""

import math
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from torch import nn

from glyffuser.base.errors import UserError
from glyffuser.config import named_model
from glyffuser.networks.conditioned import ConditionedNetwork
from glyffuser.train.adversarial import build_discriminator
from glyffuser.train.checkpoint import (
    Auxiliary,
    list_checkpoints,
    newest_facts,
    prune,
    resume,
    save_checkpoint,
    start_from,
)
from glyffuser.train.optimizer import build_optimizer
from glyffuser.train.parts import Parts


@dataclass
class State:
    """The weights, their averages and the optimiser; how far training has come, and how the loss has gone.

    `seen` is the number of glyphs that all steps have seen, repetitions included: the place in the endless data order
    where the next step begins, whatever the number of processes. `minutes` counts the whole run, including training
    before a restart. `mean_loss` is a running mean, NaN before the first step; `best_loss` is its lowest since the
    warm-up, infinite before. `beside` holds the networks that are trained beside a student, by name, each with an
    optimiser: "auxiliary" for one of "moments", and perhaps "discriminator". `scaler` is what scales losses in fp16,
    else None. `data` is a digest of what is learnt from, which must not change on the way.
    """

    network: ConditionedNetwork
    ema: EMAModel
    optimizer: torch.optim.Optimizer
    beside: dict[str, Auxiliary] = field(default_factory=dict)
    scaler: Any = None
    data: str = ""
    step: int = 0
    seen: int = 0
    minutes: float = 0.0
    mean_loss: float = math.nan
    best_loss: float = math.inf

    @classmethod
    def begin(cls, parts: Parts, checkpoints: Path | None = None) -> "State":
        """The state from which a run continues: that of its newest checkpoint, else the beginning. Writes nothing.

        It takes over `parts.network`: weights are loaded into that network, and steps change them there.
        """
        c, d = parts.config.train, parts.config.distil
        init = c.init or d.teacher
        if init and not (checkpoints and list_checkpoints(checkpoints)):
            start_from(parts.network, named_model(init))
        ema = EMAModel(parts.network.parameters(), decay=c.ema_decay, foreach=True)
        ema.to(parts.device)
        state = cls(parts.network, ema, build_optimizer(parts.network, c))
        state.scaler = parts.accelerator.scaler
        if parts.teacher is not None:
            networks: dict[str, nn.Module] = {}
            if d.method == "moments":  # it begins as the teacher, whatever the student begins as
                networks["auxiliary"] = deepcopy(parts.teacher.network).requires_grad_(True).train()
            if d.adversarial:
                networks["discriminator"] = build_discriminator().to(parts.device)
            state.beside = {name: Auxiliary(each, build_optimizer(each, c)) for name, each in networks.items()}
        if checkpoints:
            state.data = parts.batches.digest
            state.load(checkpoints, c.batch_size)
        return state

    def load(self, folder: Path, batch_size: int) -> bool:
        """Load the newest whole checkpoint in `folder`; False if there is none. UserError as in `resume`, and if it has
        learnt from other data.

        Older checkpoints do not say how many glyphs they have seen, nor of what data; every step is then taken to have
        had `batch_size` of the present ones.
        """
        try:
            found = resume(folder, self.network, self.ema, self.optimizer, self.beside)
        except UserError:
            self._check_data(newest_facts(folder), folder)  # other data may make another network, which none fits
            raise
        if found is None:
            return False
        facts = found[1]
        self._check_data(facts, folder)
        self.step, self.minutes, self.best_loss = (facts[k] for k in ("step", "minutes", "best_loss"))
        self.mean_loss = facts.get("mean_loss", math.nan)
        self.seen = facts.get("seen", self.step * batch_size)
        if self.scaler is not None and "scaler" in facts:
            self.scaler.load_state_dict(facts["scaler"])
        return True

    def _check_data(self, facts: dict[str, Any], folder: Path) -> None:
        """UserError if the facts of a checkpoint in `folder` say that it has learnt from other data."""
        if facts.get("data", self.data) != self.data:
            raise UserError(
                f"the data set has changed since the run in {folder.parent} began; build it again as it was, or choose "
                "another --out"
            )

    def save(self, folder: Path, keep: int) -> None:
        """Write a checkpoint in `folder` and delete all but the newest `keep`."""
        extra = {name: getattr(self, name) for name in ("seen", "minutes", "mean_loss", "best_loss")}
        extra |= {"data": self.data} if self.data else {}
        extra |= {"scaler": self.scaler.state_dict()} if self.scaler is not None else {}
        try:
            save_checkpoint(folder, self.step, self.network, self.ema, self.optimizer, extra, self.beside)
        except (OSError, SafetensorError) as error:  # a full disk, most likely
            raise UserError(
                f"cannot write a checkpoint in {folder} ({error}); the previous one is whole: mend this and start again"
            ) from error
        prune(folder, keep, self.step)

    def averaged(self) -> ConditionedNetwork:
        """A copy of the network with the averaged weights."""
        network = type(self.network).from_config(self.network.config).to(self.network.device).eval()
        self.ema.copy_to(network.parameters())
        return network
