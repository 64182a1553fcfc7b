"""Training: what a whole optimiser step of each preset takes, as in `glyffuser train`, on made-up glyphs."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import torch
from accelerate import Accelerator

from glyffuser.base.devices import default_device
from glyffuser.base.memory import keep_freed_memory
from glyffuser.base.names import COMPANIONS
from glyffuser.bench.peaks import Peaks, measure_peaks, operations
from glyffuser.bench.table import Table, percent
from glyffuser.bench.timing import Clock, timed
from glyffuser.config import Config, preset
from glyffuser.data.components import MOST_PARTS
from glyffuser.diffusion.conditions import Condition, Small
from glyffuser.networks.build import build_companion, build_network
from glyffuser.train.batches import Batch
from glyffuser.train.crops import smaller
from glyffuser.train.parts import Parts
from glyffuser.train.setup import precision, process_of
from glyffuser.train.state import State
from glyffuser.train.step import build_stepper

ENCODED, TOKENS = (
    384,
    16,
)  # width of the token states of the usual encoder, and tokens per caption, about as many as occur
LONGEST = 3e12  # operations per step beyond which a preset's own batch is made smaller: some 15 s of one core
LATENT = (4, 16)  # channels and side of what the preset `autoencoder` makes of a glyph

COLUMNS = (
    *("preset", "M parameters", "batch", "glyphs/s", "spread", "ratio"),
    *("G operations/glyph", "G operations/s", "of convolution peak", "of matrix peak"),
)


def training(
    presets: Sequence[str],
    repeats: int,
    now: Clock,
    batch: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Table:
    """Glyphs per second, operations and their share of the peaks, one row per preset; ratios are to the first."""
    peaks = measure_peaks(now, default_device())
    table = Table("Training: one step, forward, backward, optimiser and averages", COLUMNS)
    first = 0.0
    for i, name in enumerate(presets):
        config = preset(name)
        config.train.batch_size = batch or affordable(config)
        step = whole_step(config)
        count, size = operations(step), config.train.batch_size
        times = timed(step, repeats, now, warm=0)  # counting has warmed it up
        speed, rate = size / times.median, count / times.median
        first = first or speed
        table.add(
            *(name, round(parameters(step) / 1e6, 1), size, speed, times.spread, speed / first, count / size / 1e9),
            *(rate / 1e9, percent(rate / peaks.convolution), percent(rate / peaks.matrix)),
        )
        progress(i + 1, len(presets))
    table.notes = [told(peaks), f"Captions of {TOKENS} tokens, already encoded; without previews and checkpoints."]
    return table


def told(peaks: Peaks) -> str:
    """The peaks as a sentence."""
    return (
        f"Peaks in {peaks.precision}, measured in the same run: convolutions {peaks.convolution / 1e9:.0f} G "
        f"operations/s, matrix products {peaks.matrix / 1e9:.0f}."
    )


class Step:
    """One optimiser step of a run, repeated on the same batch at its peak learning rate."""

    def __init__(self, config: Config):
        torch.manual_seed(0)
        process, cpu = process_of(config), default_device().type == "cpu"
        accelerator = Accelerator(mixed_precision=precision(config.train.mixed_precision), cpu=cpu)
        if cpu:
            keep_freed_memory()
        if config.model.kind in COMPANIONS:
            network = build_companion(**asdict(config.model), **process.to_config())
        else:
            sizes = {"in_channels": LATENT[0], "sample_size": LATENT[1]} if config.model.autoencoder else {}
            network = build_network(
                **asdict(config.model) | {"components": ""} | sizes,
                cross_attention_dim=ENCODED,
                pooled_dim=config.text.tower,
                styles=("sans",) if config.model.styled else (),
                **process.to_config(),
            )
        parts = Parts(config, accelerator, None, network.to(accelerator.device))
        self.state = State.begin(parts)
        self.batch, self.rate, self.stepper = made_up(config), config.train.lr, build_stepper(parts, self.state)

    def __call__(self) -> None:
        self.stepper([self.batch], self.rate)


def whole_step(config: Config) -> Step:
    """The step of a configuration, with a new network."""
    return Step(replace(config, train=replace(config.train, compile=False)))


def parameters(step: Step) -> int:
    """How many parameters its network has."""
    return sum(weight.numel() for weight in step.state.network.parameters())


def made_up(config: Config) -> Batch:
    """A batch of noise on the device, in the shapes that a run with these settings sees."""
    m, n, device = config.model, config.train.batch_size, default_device()
    channels, side = LATENT if m.autoencoder else (1, m.crop or m.sample_size)
    x0, eps = torch.randn(2, n, channels, side, side, device=device)
    t = process_of(config).schedule.sample_timesteps(n, config.diffusion.timesteps, torch.Generator().manual_seed(0))
    if m.kind == "autoencoder":
        return Batch(x0, eps, t, None)
    if m.kind == "upscaler":
        return Batch(x0, eps, t, Small(smaller(x0, m.sample_size // m.low_size), torch.zeros(n, device=device)))
    labels = torch.zeros(n, dtype=torch.long, device=device)
    cond = Condition(
        states=torch.randn(n, TOKENS, ENCODED, device=device).half(),
        mask=torch.ones(n, TOKENS, dtype=torch.bool, device=device),
        radical=labels if m.num_class_embeds else None,
        pooled=torch.randn(n, config.text.tower, device=device) if config.text.tower else None,
        parts=torch.zeros(n, MOST_PARTS, 2, dtype=torch.long, device=device) if m.components else None,
        style=labels if m.styled else None,
    )
    return Batch(x0, eps, t, cond)


def affordable(config: Config) -> int:
    """The batch size of a configuration, or as much of it as keeps a step below LONGEST operations."""
    one = replace(config, train=replace(config.train, batch_size=1))
    step = whole_step(one)
    glyph = operations(lambda: step.stepper.loss(step.batch).backward())
    return max(1, min(config.train.batch_size, int(LONGEST / glyph)))
