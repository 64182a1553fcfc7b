"""One optimiser step: noise a batch, ask the network, and move its weights and their averages.

With several processes, each has the whole network and takes its share of the step's glyphs; gradients are averaged over
all of them (DistributedDataParallel, by accelerate) before they are used. So every process clips the same gradient and
gets the same matrices from Muon, which shares out the work on them, and the averaged weights are the same everywhere,
and those of one process but for rounding and what docs/SCALING.md names.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack

import torch
from torch import Tensor

from glyffuser.diffusion.process import noised
from glyffuser.networks.autoencoder import Autoencoder, autoencoder_loss
from glyffuser.networks.conditioned import arguments
from glyffuser.train.adversarial import FASTER, discriminator_loss, pulled
from glyffuser.train.align import Reference, preference
from glyffuser.train.batches import Batch
from glyffuser.train.distil import Teacher, guidance_loss, leaps, moments
from glyffuser.train.parts import Parts
from glyffuser.train.state import State


class Stepper:
    """Takes steps with the network and optimiser of `state`, wrapped for device, precision and processes."""

    def __init__(self, parts: Parts, state: State):
        self.parts, self.state, c = parts, state, parts.config.train
        self.facts: dict[str, float] = {}  # of the last step, for the log, besides the loss
        self.wrapped, self.optimizer = parts.accelerator.prepare(state.network, state.optimizer)
        self.network = torch.compile(self.wrapped) if c.compile else self.wrapped

    def __call__(self, batches: Iterable[Batch], lr: float) -> tuple[float, float]:
        """Take one step at the learning rate `lr` from `train.accumulate` batches of equal length, drawn as they are
        needed; return the loss, a mean over batches and processes, and the gradient's norm.
        """
        values = []
        for part, batch in enumerate(batches, start=1):
            with self.apart(part, self.wrapped):
                values.append(self.pull(self.loss(batch)))
        norm = self.move(self.state.network, self.optimizer, lr)
        self.state.ema.step(self.state.network.parameters())
        return self.mean(values), norm

    def apart(self, part: int, *networks: torch.nn.Module) -> ExitStack:
        """A context for part 1, 2 ... of a step: until the last part, gradients stay with their process."""
        stack = ExitStack()
        if part < self.parts.config.train.accumulate:
            for network in networks:
                stack.enter_context(self.parts.accelerator.no_sync(network))
        return stack

    def pull(self, value: Tensor) -> Tensor:
        """Add the gradient of a loss, one of `train.accumulate` that a step averages; return its share of the mean."""
        value = value / self.parts.config.train.accumulate
        self.parts.accelerator.backward(value)
        return value.detach()

    def mean(self, values: list[Tensor]) -> float:
        """The loss of a step, a mean over processes, from the shares that `pull` returned."""
        return float(self.parts.accelerator.reduce(torch.stack(values).sum(), "mean"))

    def loss(self, batch: Batch) -> Tensor:
        """The mean loss of a batch, a scalar with its graph."""
        process = self.parts.process
        xt, sigma = self.noised(batch)
        with self.parts.accelerator.autocast():
            prediction = self.network(xt, batch.t.to(xt), **arguments(batch.cond), return_dict=False)[0]
        return process.loss(prediction, batch.x0, batch.eps, sigma, self.parts.config.diffusion.weighting).mean()

    def noised(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The noised glyphs (B, C, H, W) of a batch, and their noise levels (B,)."""
        schedule = self.parts.process.schedule
        sigma = schedule.sigma(batch.t)
        return noised(batch.x0, batch.eps, sigma, schedule), sigma

    def move(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, lr: float) -> float:
        """Step down the gradient that `pull` has added up, at the learning rate `lr`; return its norm."""
        for group in optimizer.param_groups:
            group["lr"] = lr
        self.parts.accelerator.unscale_gradients(optimizer)  # of this one only: another may not have moved yet
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), self.parts.config.train.grad_clip)
        optimizer.step()
        optimizer.zero_grad()
        return float(norm)


class AutoencoderStepper(Stepper):
    """Steps of an autoencoder, which sees no noised glyphs."""

    def loss(self, batch: Batch) -> Tensor:
        """The mean of `autoencoder_loss` over a batch."""
        with self.parts.accelerator.autocast():
            made = self.network(batch.x0)
        return autoencoder_loss(made, batch.x0).mean()


class GuidanceStepper(Stepper):
    """Steps of a student that learns the guided predictions of a teacher."""

    def __init__(self, parts: Parts, state: State, teacher: Teacher):
        super().__init__(parts, state)
        self.teacher = teacher

    def loss(self, batch: Batch) -> Tensor:
        """The loss of ordinary training, with the teacher's expectation in place of the glyph."""
        xt, sigma = self.noised(batch)
        process, weighting = self.parts.process, self.parts.config.diffusion.weighting
        with self.parts.accelerator.autocast():
            return guidance_loss(self.network, self.teacher, process, xt, sigma, batch.cond, weighting).mean()


class PairStepper(Stepper):
    """Steps of a network that learns from pairs. Its facts are `accuracy`, the share of the last batch's pairs with a
    positive margin, and `drift`: see `train/align.py: Preference`.
    """

    def __init__(self, parts: Parts, state: State, reference: Reference):
        super().__init__(parts, state)
        self.reference = reference.network

    def loss(self, batch: Batch) -> Tensor:
        """The mean loss of the pairs of a batch."""
        parts, c = self.parts, self.parts.config
        with parts.accelerator.autocast():
            found = preference(self.network, self.reference, parts.process, batch, c.diffusion.weighting)
        told = torch.stack([(found.margin > 0).to(found.margin).mean(), found.drift]).detach()
        accuracy, drift = parts.accelerator.reduce(told, "mean").tolist()
        self.facts = {"accuracy": accuracy, "drift": drift}
        return found.loss(c.align.beta).mean()


class FewStepper(Stepper):
    """Steps of a student that learns to draw in few steps, and of the networks that are trained beside it.

    With a discriminator, its facts are `discriminator`, that network's loss: 2 log 2 if it cannot tell real from drawn.
    """

    logged = "student"  # whose loss is that of a step

    def __init__(self, parts: Parts, state: State, teacher: Teacher):
        super().__init__(parts, state)
        self.teacher = teacher
        self.beside = {name: parts.accelerator.prepare(*each) for name, each in state.beside.items()}

    def __call__(self, batches: Iterable[Batch], lr: float) -> tuple[float, float]:
        """Take one step of all networks; return the loss that is logged and the norm of the student's gradient."""
        state, values = self.state, defaultdict(list)
        for part, batch in enumerate(batches, start=1):
            with self.apart(part, self.wrapped, *(network for network, _ in self.beside.values())):
                for name, value in self.losses(batch).items():
                    values[name].append(self.pull(value))
        for name, (network, optimizer) in self.beside.items():
            self.move(network, optimizer, lr * (FASTER if name == "discriminator" else 1.0))
        if "discriminator" in values:
            self.facts = {"discriminator": self.mean(values["discriminator"])}
        norm = self.move(state.network, self.optimizer, lr)
        state.ema.step(state.network.parameters())
        return self.mean(values[self.logged]), norm

    def loss(self, batch: Batch) -> Tensor:
        """The sum of all losses of a batch: what a step holds in memory at once."""
        return torch.stack([*self.losses(batch).values()]).sum()

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The mean losses of the student and, by name, of the networks beside it."""
        raise NotImplementedError

    def watched(self, x0: Tensor, pull: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator's pull at a student's clean images x0, in proportion to the teacher's `pull`, all (B, C, H,
        W); and its own mean loss, on these and on as many real glyphs.
        """
        bare = self.state.beside["discriminator"].network  # not wrapped: no process waits for its gradient
        further = pulled(bare, x0, self.parts.config.distil.adversarial * pull.norm())
        return further, discriminator_loss(self.beside["discriminator"][0], x0, real).mean()


class ConsistencyStepper(FewStepper):
    """Steps of a student that learns to leap to the end of its teacher's path."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The mean distance between where the student's leaps land and where the teacher's paths end; and, if there is
        one, the mean loss of the discriminator, whose pull on the student adds to its gradient, not to the value.
        """
        parts, c = self.parts, self.parts.config.distil
        process, cond = parts.process, batch.cond
        sigma = process.schedule.sigma(batch.t)
        with parts.accelerator.autocast():
            made = leaps(self.network, self.teacher, process, batch.eps, sigma, cond, c.steps, c.path_steps)
            value = made.losses().mean()
            if not c.adversarial:
                return {"student": value}
            further, judging = self.watched(made.x0, made.pull(), batch.x0[made.rows])
        added = ((made.x0 - made.x0.detach()) * further).flatten(1).sum(dim=1).mean()  # zero, with that gradient
        return {"student": value + added, "discriminator": judging}


class MomentStepper(FewStepper):
    """Steps of a student whose drawings are to agree with its teacher on average; an auxiliary network learns that."""

    logged = "auxiliary"

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The mean losses of the student, of the auxiliary network and, if there is one, of the discriminator."""
        parts, c = self.parts, self.parts.config
        process, cond = parts.process, batch.cond
        xt, sigma = self.noised(batch)
        told = (process, xt, sigma, cond, c.distil.steps, c.diffusion.weighting)
        with parts.accelerator.autocast():
            made = moments(self.network, self.beside["auxiliary"][0], self.teacher, *told)
            if not c.distil.adversarial:
                return {"student": made.student().mean(), "auxiliary": made.watching.mean()}
            further, judging = self.watched(made.x0, made.pull, batch.x0)
        return {
            "student": made.student(further).mean(),
            "auxiliary": made.watching.mean(),
            "discriminator": judging,
        }


STEPPERS: dict[str, Callable[[Parts, State, Teacher], Stepper]] = {  # one per name of DISTILLATIONS
    "guidance": GuidanceStepper,
    "consistency": ConsistencyStepper,
    "moments": MomentStepper,
}


def build_stepper(parts: Parts, state: State) -> Stepper:
    """The stepper of a run, by what it trains and what that learns from."""
    if isinstance(parts.network, Autoencoder):
        return AutoencoderStepper(parts, state)
    if parts.reference is not None:
        return PairStepper(parts, state, parts.reference)
    if parts.teacher is None:
        return Stepper(parts, state)
    return STEPPERS[parts.config.distil.method](parts, state, parts.teacher)
