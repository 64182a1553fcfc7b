"""What a run will take, measured without starting it: size, work, memory, speed, and when it will end."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from glyffuser.config import TrainConfig
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.conditioned import ConditionedNetwork, arguments
from glyffuser.train.batches import Batch
from glyffuser.train.parts import Parts
from glyffuser.train.state import State
from glyffuser.train.step import build_stepper

TIMED = 4  # steps, after one to warm up


@dataclass(frozen=True)
class Memory:
    """Bytes that training takes on the device, besides the data set.

    `weights` counts all networks: beside a student, its teacher and what is trained with it; beside a network that
    learns from pairs, its reference. `optimizer` counts the moments of all networks that are trained. `step` is what a
    step adds at most: what its forward pass keeps for the backward pass, and all gradients.
    """

    weights: int
    averages: int
    optimizer: int
    step: int


@dataclass(frozen=True)
class End:
    """Where a run ends if every step takes as long as now: steps, minutes and passes over the data, each counted from
    the beginning of the run; how many of the minutes are left; and which setting ends it.
    """

    steps: int
    minutes: float
    passes: float
    minutes_left: float
    by: str


@dataclass(frozen=True)
class Forecast:
    """What a run takes. `multiply_adds` counts those of one pass of one glyph through the network; a training step
    takes about three times as many per glyph, and a denoising step with guidance twice as many.
    """

    parameters: int
    multiply_adds: int
    memory: Memory
    seconds_a_step: float
    glyphs_per_second: float
    end: End


def forecast(parts: Parts, state: State) -> Forecast:
    """Take a few steps from `state`, which is of no use afterwards, and measure them. Writes nothing.

    Checkpoints and previews, which also take time, are not counted.
    """
    c = parts.config.train
    stepper, batch = build_stepper(parts, state), parts.batch(state.seen)
    parameters = list(state.network.parameters())
    times = []
    for _ in range(1 + TIMED):
        start = time.perf_counter()
        stepper([batch] * c.accumulate, 0.0)  # returns a number, so the device has finished
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times[1:])
    trained: list[tuple[nn.Module, torch.optim.Optimizer]] = [(state.network, state.optimizer), *state.beside.values()]
    frozen = [part.network for part in (parts.teacher, parts.reference) if part is not None]
    moving = [parameter for network, _ in trained for parameter in network.parameters()]
    held = [*moving, *(parameter for network in frozen for parameter in network.parameters())]
    slots = [part for _, optimizer in trained for each in optimizer.state.values() for part in each.values()]
    memory = Memory(
        weights=size(held),
        averages=size(state.ema.shadow_params),
        optimizer=size(part for part in slots if isinstance(part, Tensor)),
        step=kept(lambda: stepper.loss(batch), held) + size(moving),
    )
    return Forecast(
        parameters=sum(p.numel() for p in parameters),
        multiply_adds=multiply_adds(state.network, batch),
        memory=memory,
        seconds_a_step=seconds,
        glyphs_per_second=c.batch_size / seconds,
        end=end(c, state.step, state.minutes, seconds, c.batch_size / len(parts.batches)),
    )


def end(c: TrainConfig, step: int, minutes: float, seconds: float, passes_a_step: float) -> End:
    """Where a run ends that has reached `step` after `minutes` and takes `seconds` per step from now on."""
    left, by = max(0, c.max_steps - step), "train.max_steps"
    if c.max_minutes:
        in_time = max(0.0, (c.max_minutes - minutes) * 60 / seconds)  # may be infinite
        if in_time < left:
            left, by = round(in_time), "train.max_minutes"
    minutes_left = left * seconds / 60
    return End(step + left, minutes + minutes_left, (step + left) * passes_a_step, minutes_left, by)


def multiply_adds(network: ConditionedNetwork | Autoencoder, batch: Batch) -> int:
    """Multiply-adds of matrix products and convolutions in one pass through the network, per glyph."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:  # it counts two operations for each
        if isinstance(network, Autoencoder):  # it is told nothing
            network(batch.x0)
        else:
            network(batch.x0, batch.t.to(batch.x0), **arguments(batch.cond), return_dict=False)
    return counter.get_total_flops() // 2 // len(batch.x0)


def kept(forward: Callable[[], Tensor], besides: Iterable[Tensor]) -> int:
    """Bytes that a forward pass keeps for its backward pass, not counting the tensors `besides`."""
    there = {tensor.untyped_storage().data_ptr() for tensor in besides}
    bytes_at: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            bytes_at[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        result = forward()  # held while bytes are counted, or another tensor could take a place that was freed
    del result
    return sum(bytes_at.values())


def size(tensors: Iterable[Tensor]) -> int:
    """Bytes of tensors."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
