"""Chapter 3, words: a prompt as tokens and an array of numbers, and how neighbours change what a token means."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glyffuser.guide import style
from glyffuser.guide.drawn import Still
from glyffuser.guide.inputs import Inputs
from glyffuser.text.encoder import TextEncoder

WORD = "element"
CONTEXTS = ("element", "chemical element", "heating element")
ANCHORS = ("metal", "heater")  # what the word is compared with


@dataclass(frozen=True)
class Encoded:
    """A text's tokens (n), their states (n, d), and which of them (n,) belong to the word in question."""

    text: str
    tokens: list[str]
    states: torch.Tensor
    of_word: np.ndarray


def encoded(encoder: TextEncoder, text: str, word: str) -> Encoded:
    """Encode a text; the tokens of `word` are found by the place of its letters."""
    found = encoder.tokenizer(text, return_offsets_mapping=True)
    start = text.find(word)
    inside = [start <= a and b <= start + len(word) and b > a for a, b in found["offset_mapping"]]
    states, _ = encoder.encode([text])
    return Encoded(text, encoder.tokenizer.convert_ids_to_tokens(found["input_ids"]), states[0], np.array(inside))


def likeness(encoder: TextEncoder, texts: list[Encoded], anchors: tuple[str, ...]) -> np.ndarray:
    """Cosine similarity of each text's word with each anchor word read alone: (texts, anchors)."""
    words = torch.stack([e.states[e.of_word].mean(0) for e in texts])
    alone = [encoded(encoder, anchor, anchor) for anchor in anchors]
    points = torch.stack([e.states[e.of_word].mean(0) for e in alone])
    return F.cosine_similarity(words[:, None], points[None], dim=-1).numpy()


@style.styled
def figure_tokens(texts: list[Encoded], like: np.ndarray, anchors: tuple[str, ...] = ANCHORS) -> Figure:
    """Token states of the last two texts as heat maps, and where their shared word stands between two anchors."""
    fig = style.figure(height=7.4, width=8.0)
    shown = texts[1:]
    rows = [len(e.tokens) for e in shown]
    above, below = fig.subfigures(2, 1, squeeze=False, height_ratios=[0.42 * sum(rows) + 1.0, 4.2], hspace=0.05).ravel()
    axes = above.subplots(len(shown), 1, gridspec_kw={"height_ratios": rows, "hspace": 0.1})
    limit = 2.5 * float(torch.cat([e.states for e in shown]).std())
    for ax, e, colour in zip(axes, shown, (style.ACCENT, style.COOL), strict=True):
        _heat(ax, e, colour, limit)
    _plane(below.subplots(), texts, like, anchors)
    return fig


def _heat(ax: Axes, e: Encoded, colour: str, limit: float) -> None:
    n, d = e.states.shape
    ax.imshow(e.states.numpy(), aspect="auto", cmap=style.SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")
    for edge in range(1, n):
        ax.axhline(edge - 0.5, color=style.PAPER, linewidth=2)
    style.bare(ax)
    ax.set_yticks(range(n), [token.strip("▁Ġ") for token in e.tokens], fontsize=12)
    ax.tick_params(axis="y", length=0)
    for label, of_word in zip(ax.get_yticklabels(), e.of_word, strict=True):
        label.set_color(colour if of_word else style.MUTED)
    ax.set_title(f'"{e.text}": {n} tokens × {d} numbers', loc="left", color=colour)


def _plane(ax: Axes, texts: list[Encoded], like: np.ndarray, anchors: tuple[str, ...]) -> None:
    """The word in each context, by its likeness to the two anchors, with arrows from where it stands alone."""
    low, high = like.min(0), like.max(0)
    room = np.maximum(0.28 * (high - low), 0.02)
    start = like[0]
    ax.scatter(start[0], start[1], s=90, color=style.INK, zorder=3)
    ax.annotate(f"{WORD}, alone", start, xytext=(10, -24), textcoords="offset points", fontsize=12)
    for point, e, colour in zip(like[1:], texts[1:], (style.ACCENT, style.COOL), strict=True):
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 7, "shrinkB": 6}
        ax.annotate("", point, start, arrowprops=arrow)
        ax.scatter(point[0], point[1], s=90, color=colour, zorder=3)
        right = point[0] < low[0] + 0.7 * (high[0] - low[0])
        ax.annotate(
            f'"{e.text}"', point, xytext=(10 if right else -4, 14), textcoords="offset points", color=colour,
            fontsize=12, ha="left" if right else "right",
        )  # fmt: skip
    ax.set(xlim=(low[0] - room[0], high[0] + room[0]), ylim=(low[1] - room[1], high[1] + room[1]))
    ax.set_xlabel(f'how like "{anchors[0]}" the word {WORD} is (cosine similarity)')
    ax.set_ylabel(f'how like "{anchors[1]}"')
    ax.locator_params(nbins=4)


def tokens(inputs: Inputs) -> Still:
    """A prompt through the text encoder. Needs the model (for its text encoder)."""
    encoder = inputs.pipe.text_encoder
    texts = [encoded(encoder, text, WORD) for text in CONTEXTS]
    like = likeness(encoder, texts, ANCHORS)
    n, d = texts[1].states.shape
    chemical, heating = (
        f"{WORD} moves {'towards' if like[text, anchor] > like[0, anchor] else 'away from'} “{ANCHORS[anchor]}” "
        f"(likeness {like[0, anchor]:.2f} → {like[text, anchor]:.2f})"
        for text, anchor in ((1, 0), (2, 1))
    )
    return Still(
        figure_tokens(texts, like),
        alt=f"Two striped heat maps, one row per token; below, the word {WORD} as a dot, with arrows to where it moves "
        "in two phrases.",
        caption=f"The text encoder cuts a prompt into tokens and gives each {d} numbers that depend on all the "
        f"other tokens, so “{CONTEXTS[1]}” becomes an array of {n} × {d}. The same word gets different rows: next "
        f"to “chemical”, {chemical}; next to “heating”, {heating}. The drawing network reads these rows, not letters.",
    )
