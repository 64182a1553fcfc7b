"""Chapter 2, the network: its plan as built, what each block costs, and how it is told the timestep."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from torch import Tensor, nn

from glyffuser.guide import style
from glyffuser.guide.drawn import Missing, Still
from glyffuser.guide.inputs import Inputs
from glyffuser.networks.layers import Attention, Downsample, Upsample, timestep_embedding
from glyffuser.networks.unet import Stage, UNet

TOKENS = 8  # of the prompt that operations are counted for


@dataclass(frozen=True)
class BlockFacts:
    """One block of the network.

    `part`: "time", "text" (with labels, styles and parts), "in", "down", "middle", "up" or "out"; `kind`: "stage",
    "halve", "double" or "other"; `size`: side of its grid, 0 where it has none; `operations`: multiplications and
    additions for one glyph and step.
    """

    name: str
    part: str
    kind: str
    channels: int
    size: int
    attends: bool
    parameters: int
    operations: int


@contextmanager
def counted(network: nn.Module) -> Iterator[dict[nn.Module, int]]:
    """Count, by hooks, every layer's multiply-adds within the context: module -> count for the whole batch."""
    counts: dict[nn.Module, int] = {}

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(module, nn.Linear):
            work = output.numel() * module.in_features
        elif isinstance(module, nn.Conv2d):
            work = output.numel() * module.weight[0].numel()
        elif isinstance(module, Attention):  # q k^T and the sum over values; its linear layers count themselves
            batch, n, channels = inputs[0].shape
            context = inputs[1] if len(inputs) > 1 and inputs[1] is not None else inputs[0]
            work = 2 * batch * n * context.shape[1] * channels
        else:
            return
        counts[module] = counts.get(module, 0) + work

    handles = [module.register_forward_hook(count) for module in network.modules()]
    try:
        yield counts
    finally:
        for handle in handles:
            handle.remove()


def block_facts(unet: UNet, tokens: int = TOKENS) -> list[BlockFacts]:
    """The network's blocks in the order of computation, with parameters and operations that sum to its totals.

    It runs a copy on the device "meta", which has shapes but no numbers, so that size costs nothing.
    """
    config = unet.config
    with torch.device("meta"):
        shapes = UNet.from_config(config)
        sample = torch.zeros(1, config.in_channels, config.sample_size, config.sample_size)
        text = torch.zeros(1, tokens, config.cross_attention_dim)
        pooled = torch.zeros(1, config.pooled_dim) if config.pooled_dim else None
    sizes: dict[nn.Module, int] = {}
    blocks = list(_blocks(shapes))

    def see(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        sizes[module] = output.shape[-1] if output.ndim == 4 else 0

    handles = [module.register_forward_hook(see) for _, _, modules in blocks for module in modules]
    with torch.no_grad(), counted(shapes) as counts:
        shapes(sample, 1.0, text, pooled_projections=pooled)
    for handle in handles:
        handle.remove()
    facts = []
    for name, part, modules in blocks:
        main = modules[-1]
        kinds = {Stage: "stage", Downsample: "halve", Upsample: "double"}
        facts.append(
            BlockFacts(
                name,
                part,
                kinds.get(type(main), "other"),
                _width(main),
                sizes.get(main, 0),  # tables of parts are not asked where none is told
                isinstance(main, Stage) and main.attention is not None,
                sum(p.numel() for module in modules for p in module.parameters()),
                2 * sum(counts.get(inner, 0) for module in modules for inner in module.modules()),
            )
        )
    return facts


def _blocks(unet: UNet) -> Iterator[tuple[str, str, list[nn.Module]]]:
    """(name, part, modules) of every block; each parameter of the network is in exactly one."""
    yield "time", "time", [unet.time_mlp]
    tables = (unet.class_embedding, unet.style_embedding, unet.part_embedding, unet.place_embedding)
    if told := [module for module in (*tables, unet.text_mlp) if module is not None]:
        yield "text", "text", told
    yield "in", "in", [unet.stem]
    for part in ("down", "middle", "up"):
        for i, module in enumerate(getattr(unet, part), 1):
            yield f"{part} {i}", part, [module]
    yield "out", "out", [unet.norm_out, *([] if unet.head is None else [unet.head]), unet.conv_out]


def _width(module: nn.Module) -> int:
    """The number of a block's output channels."""
    if isinstance(module, Stage):
        return module.block.conv1.out_channels
    if isinstance(module, Upsample):
        return module.conv.out_channels
    if isinstance(module, nn.Conv2d):
        return module.out_channels
    if isinstance(module, nn.Embedding):
        return module.embedding_dim
    return [inner.out_features for inner in module.modules() if isinstance(inner, nn.Linear)][-1]


@style.styled
def figure_unet(facts: list[BlockFacts], image_size: int, patch: int) -> Figure:
    """The plan of the network, and parameters and operations of each block below it."""
    fig = style.figure(height=8.0)
    plan, parameters, operations = fig.subplots(3, 1, gridspec_kw={"height_ratios": [4.6, 1.5, 1.5], "hspace": 0.05})
    main = [block for block in facts if block.part not in ("time", "text")]
    _plan(plan, main, image_size, patch)
    others = [block for block in facts if block.part in ("time", "text")]
    for ax, values, title in (
        (parameters, [block.parameters for block in main], "parameters"),
        (operations, [block.operations for block in main], "operations for one glyph and step"),
    ):
        colours = [_colour(block) for block in main]
        ax.bar(range(len(main)), values, color=colours, width=0.78)
        ax.set(xlim=(-0.8, len(main) - 0.2), xticks=[], yticks=[])
        ax.spines["left"].set_visible(False)
        attribute = "parameters" if title == "parameters" else "operations"
        total = sum(getattr(block, attribute) for block in facts)
        rest = sum(getattr(block, attribute) for block in others)
        ax.set_title(f"{title}: {_short(total)} in all, {_short(rest)} of them for time and prompt", loc="left", pad=4)
        for i, value in enumerate(values):
            if value >= 0.04 * max(values):
                points = min(8.5, 190 / len(main))
                ax.text(i, value, _short(value), ha="center", va="bottom", fontsize=points, color=style.MUTED)
        ax.set_ylim(0, 1.22 * max(values))
    return fig


def _colour(block: BlockFacts) -> str:
    return style.ACCENT if block.attends else (style.COOL if block.kind == "stage" else "#b9b2a8")


def _plan(ax: Axes, blocks: list[BlockFacts], image_size: int, patch: int) -> None:
    """The U: one box per block, in order from left to right; the coarser its grid, the lower, the wider, the taller."""
    sizes = sorted({block.size for block in blocks}, reverse=True)
    widest = max(block.channels for block in blocks if block.kind != "other")
    places = []
    for x, block in enumerate(blocks):
        y = -2.3 * sizes.index(block.size)
        height = 0.5 + 0.9 * min(1.0, block.channels / widest)
        ax.add_patch(
            FancyBboxPatch(
                (x - 0.36, y - height / 2), 0.72, height, boxstyle="round,pad=0,rounding_size=0.1",
                facecolor=_colour(block), linewidth=0, zorder=3,
            )
        )  # fmt: skip
        if block.kind == "stage":
            ax.plot([x], [y + height / 2 - 0.22], marker="o", markersize=6, color=style.WARM, zorder=4)
        if block.attends:
            ax.plot([x], [y - height / 2 + 0.22], marker="s", markersize=6, color=style.PAPER, zorder=4)
        places.append((x, y, height))
    for (x, y, _), (x_next, y_next, _) in pairwise(places):
        ax.plot([x, x_next], [y, y_next], color=style.MUTED, linewidth=1.2, zorder=1)
    _skips(ax, blocks, places)
    labels = {size: max(b.channels for b in blocks if b.size == size and b.kind == "stage") for size in sizes}
    for i, size in enumerate(sizes):
        text = f"{size} × {size} grid\n{labels[size]} channels"
        ax.text(-1.0, -2.3 * i, text, ha="right", va="center", fontsize=10.5, color=style.MUTED, linespacing=1.3)
    first, last = places[0], places[-1]
    whole = f"{image_size} × {image_size}\npicture"
    ax.annotate(f"{whole} {style.XT}", (0, first[1] + 0.4), (0, 2.0), ha="center", va="bottom", arrowprops=_arrow("->"))
    ax.annotate(whole + " out", (last[0], last[1] + 0.4), (last[0], 2.0), ha="center", va="bottom",
                arrowprops=_arrow("<-"))  # fmt: skip
    low = -2.3 * (len(sizes) - 1) - 1.5
    ax.set(xlim=(-4.2, len(blocks) + 0.4), ylim=(low, 3.2))
    _key(ax, len(blocks))
    style.bare(ax)


def _arrow(kind: str) -> dict:
    return {"arrowstyle": kind, "color": style.MUTED, "linewidth": 1.2, "shrinkA": 2, "shrinkB": 2}


def _skips(ax: Axes, blocks: list[BlockFacts], places: list[tuple[int, float, float]]) -> None:
    """The shortcuts: what each block on the way down hands to one on the way up; last in, first out."""
    stack = [i for i, block in enumerate(blocks) if block.part in ("in", "down")]
    for i, block in enumerate(blocks):
        if block.part == "up" and block.kind == "stage":
            x, y, height = places[stack.pop()]
            x_to = places[i][0]
            lift = 0.25 + 0.045 * (x_to - x)
            xs = np.linspace(0, 1, 30)
            arc = y + height / 2 + 4 * lift * xs * (1 - xs)
            ax.plot(x + (x_to - x) * xs, arc, color=style.LINE, linewidth=1.1, zorder=0)


def _key(ax: Axes, n: int) -> None:
    """What the marks mean, above the plan."""
    entries = [
        ("s", style.COOL, "residual block"),
        ("s", style.ACCENT, "with attention"),
        ("o", style.WARM, "the sum of time and text enters"),
        ("s", style.PAPER, "every word of the text enters"),
    ]
    for i, (marker, colour, text) in enumerate(entries):
        x, y = 2.3 + 0.30 * n * (i // 2), 2.75 - 0.5 * (i % 2)
        ax.plot([x], [y], marker=marker, markersize=8, color=colour, markeredgecolor=style.ACCENT if i == 3 else colour)
        ax.text(x + 0.4, y, text, va="center", fontsize=10.5)


def _short(number: int) -> str:
    """5,432,100 as 5.4 M."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}" if number < 100 * size else f"{number / size:.0f} {unit}"
    return str(number)


def unet(inputs: Inputs) -> Still:
    """The network as built. Needs the model."""
    network = inputs.pipe.unet
    if not isinstance(network, UNet):
        raise Missing(f"this model's network is a {type(network).__name__}, not a U-Net; its plan is not drawn yet")
    facts, config = block_facts(network), network.config
    grid = config.sample_size // config.patch_size
    radical = (
        " In this model the sum of time and text also includes the radical, as a list of numbers learnt for each of "
        "the 214."
        if config.num_class_embeds
        else ""
    )
    shares = 100 * sum(b.operations for b in facts if b.attends) / sum(b.operations for b in facts)
    return Still(
        figure_unet(facts, config.sample_size, config.patch_size),
        alt="A plan of the network in the shape of a U, from the picture in at the left to the picture out at the "
        "right, and bars with the parameters and operations of each block.",
        caption=f"The network of this model, drawn from its own settings. The picture is folded into a {grid} × {grid} "
        f"grid of {config.patch_size} × {config.patch_size} patches and goes down to coarser grids, where blocks see "
        "the whole glyph, and up again; grey arcs carry detail across. "
        f"In all, it has {sum(b.parameters for b in facts) / 1e6:.1f} million parameters and needs "
        f"{sum(b.operations for b in facts) / 1e9:.1f} billion operations for one glyph, one step and {TOKENS} tokens, "
        f"{shares:.0f} % of them in the blocks with attention." + radical,
    )


@style.styled
def figure_time_embedding(dim: int, T: int = 1000) -> Figure:
    """The sinusoidal embedding of timesteps 0 ... T-1, T x dim, as a heat map, and some of its rows as curves."""
    embedding = timestep_embedding(torch.arange(T), dim).numpy().T  # (dim, T)
    fig = style.figure(height=5.6, width=7.0)
    heat, curves = fig.subplots(2, 1, gridspec_kw={"height_ratios": [3, 1.5], "hspace": 0.06})
    mesh = heat.imshow(
        embedding, aspect="auto", cmap=style.SIGNED, vmin=-1, vmax=1, interpolation="nearest", origin="lower"
    )
    half = dim // 2
    heat.set(yticks=[half / 2, half + half / 2], xticks=[])
    heat.set_yticklabels([f"{half} cosines", f"{dim - half} sines"], rotation=90, va="center")
    heat.tick_params(length=0, pad=14)  # room for the marks
    bar = fig.colorbar(mesh, ax=heat, ticks=[-1, 0, 1], aspect=30, pad=0.015)
    bar.ax.set_yticklabels(["−1", "0", "+1"])
    bar.outline.set_visible(False)
    for part, colour in zip((0.28, 0.45, 0.7), style.CATEGORIES, strict=False):
        row = half + int(part * half)
        curves.plot(embedding[row], color=colour, linewidth=1.8)
        heat.plot([-0.006 * T], [row], marker=">", color=colour, clip_on=False, markersize=7)
    for ax in (heat, curves):
        ax.set_xlim(0, T - 1)
        for spine in ax.spines.values():
            spine.set_visible(False)
    curves.set(yticks=[-1, 0, 1], xticks=[0, T // 2, T], xlabel="timestep t")
    curves.set_yticklabels(["−1", "0", "+1"])
    return fig


def time_embedding(inputs: Inputs) -> Still:
    """The timestep embedding. Needs the model (for its width and number of timesteps)."""
    dim, T = inputs.pipe.unet.config.block_out_channels[0], inputs.pipe.schedule.T
    e = torch.nn.functional.normalize(timestep_embedding(torch.arange(T), dim), dim=1)
    near, far = float((e[1:] * e[:-1]).sum(1).mean()), float((e[: T // 2] * e[T - T // 2 :]).sum(1).mean())
    return Still(
        figure_time_embedding(dim, T),
        alt="Two heat maps of waves over the timesteps, cosines below and sines above, each from fast at its lower "
        "edge to slow; and three of the waves as curves.",
        caption=f"The network must know how much noise to expect. Each timestep becomes {dim} numbers, one column. "
        "Like the hands of many clocks, some turn fast and some slowly; together they tell all timesteps apart. "
        f"Neighbouring timesteps look alike (cosine similarity {near:.3f}), those {T // 2} apart less so ({far:.2f}).",
    )
