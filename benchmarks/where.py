"""Where the time of one training step goes, by kind of work; shares of one profiled step.

    python benchmarks/where.py [--preset cpu] [--batch 64]

The glyphs are made up and the captions already encoded, as in `glyffuser bench training`, so drawing the batch is not
included. Work of the optimiser, the averages and attention is known by where it was called, the rest by its name. The
profiler goes by the clock, so it needs a core to itself: other work is counted with whatever it interrupts.
"""

import argparse
from collections import Counter
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from glyffuser.bench.table import Table, percent
from glyffuser.bench.training import Step, affordable, whole_step
from glyffuser.config import preset
from glyffuser.networks import layers

# Whatever is called inside one of these belongs to it; in backward passes, the node tells.
PLACES = {"Optimizer.step": "optimiser", "averages": "averages", "attention": "attention", "clipping": "clipping"}
BACKWARD = {"BmmBackward0": "attention", "SoftmaxBackward0": "attention"}  # nothing but attention uses these
NAMES = {
    "convolution": ("convolution",),
    "linear layers": ("addmm", "::mm"),
    "norms and activations": ("layer_norm", "group_norm", "silu", "gelu"),
    "joining skips": ("::cat",),
    "copies and casts": ("copy_",),
}


def kind(event: Any) -> str:
    """The kind of work of a profiled event."""
    at = event
    while at is not None:
        for place, name in {**PLACES, **BACKWARD}.items():
            if place in at.name:
                return name
        at = at.cpu_parent
    found = (name for name, words in NAMES.items() if any(word in event.name for word in words))
    return next(found, "everything else")


def marked(step: Step) -> None:
    """Make the parts of a step that no operation names visible to the profiler."""
    plain, average = layers.plain_attention, step.state.ema.step

    def attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        with record_function("attention"):
            return plain(q, k, v, mask)

    def averages(*arguments: Any) -> None:
        with record_function("averages"):
            average(*arguments)

    layers.plain_attention = attention
    step.state.ema.step = averages


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="cpu")
    parser.add_argument("--batch", type=int, help="glyphs; default: the preset's own, or fewer as in the benchmark")
    options = parser.parse_args()
    config = preset(options.preset)
    config.train.batch_size = options.batch or affordable(config)
    step = whole_step(config)
    marked(step)
    step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        step()
    spent: Counter[str] = Counter()
    for event in profiled.events():
        spent[kind(event)] += event.self_cpu_time_total
    title = f"One step of {options.preset}, {config.train.batch_size} glyphs, {torch.get_num_threads()} threads"
    table = Table(title, ("work", "share"))
    for name, time in spent.most_common():
        table.add(name, percent(time / spent.total()))
    print("\n".join(table.lines()))


if __name__ == "__main__":
    main()
