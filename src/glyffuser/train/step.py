"""One optimiser step: noise a batch, ask the network, and move its weights and their averages."""

import torch

from glyffuser.diffusion.process import noised
from glyffuser.networks.conditioned import arguments
from glyffuser.train.batches import Batch
from glyffuser.train.setup import Parts
from glyffuser.train.state import State


class Stepper:
    """Takes steps with the network and optimiser of `state`, wrapped for device, precision and processes."""

    def __init__(self, parts: Parts, state: State):
        self.parts, self.state, c = parts, state, parts.config.train
        wrapped, self.optimizer = parts.accelerator.prepare(state.network, state.optimizer)
        self.network = torch.compile(wrapped) if c.compile else wrapped

    def __call__(self, batch: Batch, lr: float) -> tuple[float, float]:
        """One step at the learning rate `lr`; returns the loss, a mean over processes, and the gradient's norm."""
        accelerator, state = self.parts.accelerator, self.state
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        value = self.loss(batch)
        accelerator.backward(value)
        norm = accelerator.clip_grad_norm_(state.network.parameters(), self.parts.config.train.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        state.ema.step(state.network.parameters())
        return float(accelerator.reduce(value.detach(), "mean")), float(norm)

    def loss(self, batch: Batch) -> torch.Tensor:
        """The mean loss of a batch, a scalar with its graph."""
        process, weighting = self.parts.process, self.parts.config.diffusion.weighting
        sigma = process.schedule.sigma(batch.t)
        xt = noised(batch.x0, batch.eps, sigma, process.schedule)
        with self.parts.accelerator.autocast():
            prediction = self.network(xt, batch.t.to(xt), **arguments(batch.cond), return_dict=False)[0]
        return process.loss(prediction, batch.x0, batch.eps, sigma, weighting).mean()
