"""Chapter 3, attention: which words each part of a glyph looks at, layer by layer."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from glyffuser.base.noise import seeded
from glyffuser.diffusion.process import noised
from glyffuser.generate.draw import Tick, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.guide import style
from glyffuser.guide.drawn import Missing, Still
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.sampling import steps_of
from glyffuser.networks.watching import text_attention

PROMPT = "bamboo basket for rice"
PART = 0.9  # of T: the timestep at which the network is watched, when much of the glyph is still open


@dataclass(frozen=True)
class Watched:
    """A drawn glyph (H, W) in [-1, 1], the words of its prompt, and where each layer attends to each word.

    `maps`: layer -> (words, h, w), summing to 1 over the words in every place; start and end marks are the last word.
    """

    glyph: np.ndarray
    words: list[str]
    maps: dict[str, np.ndarray]


def word_groups(pipe: GlyffuserPipeline, prompt: str) -> tuple[list[str], list[list[int]]]:
    """The prompt's words, then "(marks)", and the token indices of each; marks are what the tokenizer adds."""
    offsets = pipe.text_encoder.tokenizer(prompt, return_offsets_mapping=True)["offset_mapping"]
    words, groups, place = prompt.split(), [], 0
    for word in words:
        start = prompt.index(word, place)
        place = start + len(word)
        groups.append([i for i, (a, b) in enumerate(offsets) if start <= a and b <= place and b > a])
    taken = {i for group in groups for i in group}
    return [*words, "(marks)"], [*groups, [i for i in range(len(offsets)) if i not in taken]]


def watch(pipe: GlyffuserPipeline, prompt: str, steps: int, seed: int, tick: Tick = quiet) -> Watched:
    """Draw a glyph, noise it to PART of T, and see what the network attends to in that picture."""
    *_, last = steps_of(pipe, [prompt], steps, seed=seed, tick=tick)
    schedule, cond = pipe.schedule, pipe.condition([prompt])
    sigma = schedule.sigma(torch.tensor(PART * schedule.T, dtype=torch.float64))
    eps = torch.randn(last.x.shape, generator=seeded(seed, 1))
    xt = noised(last.x, eps, sigma.expand(1), schedule)
    with text_attention(pipe.unet) as maps:
        pipe.denoiser()(xt / float(schedule.alpha(sigma)), sigma, cond)
    if not maps:
        raise Missing("this model's network has no layer that attends to the text")
    words, groups = word_groups(pipe, prompt)
    by_word = {}
    for name, weights in maps.items():
        side = round(weights.shape[1] ** 0.5)
        grouped = torch.stack([weights[0][:, group].sum(-1) for group in groups])  # (words, N)
        by_word[name] = grouped.view(len(groups), side, side).float().numpy()
    return Watched(last.x[0, 0].numpy(), words, by_word)


@style.styled
def figure_attention(watched: Watched) -> Figure:
    """A row for each layer, a column for each word: over the glyph, the places that attend to the word."""
    words, layers = watched.words[:-1], list(watched.maps)  # the marks take the rest, and would drown the words
    fig = style.figure(height=1.5 * len(layers) + 0.4, width=1.5 * (len(words) + 1) + 0.4)
    axes = fig.subplots(len(layers), len(words) + 1, squeeze=False, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    size = watched.glyph.shape[0]
    for row, layer in enumerate(layers):
        maps = watched.maps[layer][:-1]
        top = max(maps.max(), 1e-6)
        style.show_glyph(axes[row, 0], watched.glyph)
        axes[row, 0].set_ylabel(_layer_name(layer), fontsize=10.5)
        for column, weights in enumerate(maps, 1):
            ax = axes[row, column]
            ax.imshow(weights, cmap=style.SEQUENTIAL, vmin=0, vmax=top, extent=(0, size, size, 0),
                      interpolation="bicubic")  # fmt: skip
            ink = np.zeros((*watched.glyph.shape, 4))
            ink[..., 3] = 0.28 * (1 - watched.glyph).clip(0, 2) / 2
            ax.imshow(ink, extent=(0, size, size, 0))
            style.bare(ax, style.LINE)
            share = ax.text(0.05, 0.05, f"{100 * weights.mean():.0f} %", transform=ax.transAxes, fontsize=10)
            share.set_path_effects([withStroke(linewidth=3, foreground=style.PAPER)])
    axes[0, 0].set_title("the glyph")
    for column, word in enumerate(words, 1):
        axes[0, column].set_title(word, color=style.ACCENT)
    return fig


def _layer_name(module: str) -> str:
    """ "down.3.attention" as "down 4": parts are counted from 1."""
    part, number = module.split(".")[:2]
    return f"{part} {int(number) + 1}"


def attention(inputs: Inputs) -> Still:
    """Which words each part of a glyph attends to. Needs the model."""
    watched = watch(inputs.pipe, PROMPT, inputs.count(30, 10), inputs.seed, inputs.tick)
    shares = np.mean([maps.mean(axis=(1, 2)) for maps in watched.maps.values()], axis=0)
    told = ", ".join(f"{word} {100 * share:.0f} %" for word, share in zip(watched.words[:-1], shares, strict=False))
    return Still(
        figure_attention(watched),
        alt="A grid of heat maps over a faint glyph, a column for each word of the prompt, a row for each layer.",
        caption=f"“{PROMPT}”. In {len(watched.maps)} layers, from first to last, each place in the glyph asks each "
        "word how much it matters there; darker means more (each row has its own scale). The number is the word's "
        f"share of all attention in that layer; on average {told}. The rest goes to the marks that begin and end a "
        "prompt, a place to look when no word is needed.",
    )
