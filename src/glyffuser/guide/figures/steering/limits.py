"""Chapter 3, what it cannot do: the same things named, named but drawn in few steps, and described in other words."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from glyffuser.config import STEPS
from glyffuser.generate.draw import draw
from glyffuser.generate.request import Request
from glyffuser.guide import style
from glyffuser.guide.drawn import Still
from glyffuser.guide.figures.steering.gold import FOUND, colour_sheet, marked, occlusion
from glyffuser.guide.inputs import Inputs
from glyffuser.judge.prompts import PARAPHRASES, PROMPTS, Prompt

RADICALS = (167, 195, 75, 104, 187)  # metal, fish, tree, illness, horse
EACH = 4  # glyphs for a text
FEW = 4  # steps


class Way(NamedTuple):
    """A way to ask: its title, the text for each thing, and the steps to draw in."""

    title: str
    texts: list[str]
    steps: int


class Row(NamedTuple):
    """What was drawn for one text: its glyphs in colour (EACH, H, W, 3), and in how many its radical is read."""

    text: str
    glyphs: np.ndarray
    found: int


def first(prompts: Iterable[Prompt]) -> list[str]:
    """The first prompt for each of RADICALS."""
    texts = {radical: prompt.text for prompt in reversed([*prompts]) for radical in prompt.radicals}
    return [texts[radical] for radical in RADICALS]


def ways(inputs: Inputs) -> list[Way]:
    """The three ways to ask for the same things."""
    steps = inputs.count(STEPS, 10)
    names, riddles = first(PROMPTS), first(PARAPHRASES)
    return [
        Way(f"named, {steps} steps", names, steps),
        Way(f"named, {FEW} steps", names, FEW),
        Way(f"described, {steps} steps", riddles, steps),
    ]


@style.styled
def figure_limits(asked: Sequence[Way], drawn: Sequence[Sequence[Row]]) -> Figure:
    """One column for each way to ask, one row for each thing; the radical marked red where it is read."""
    fig = style.figure(height=5.6)
    axes = fig.subplots(len(drawn[0]), len(asked), squeeze=False, gridspec_kw={"wspace": 0.04})
    for column, (way, rows) in enumerate(zip(asked, drawn, strict=True)):
        for i, row in enumerate(rows):
            ax = axes[i, column]
            ax.imshow(colour_sheet(row.glyphs, len(row.glyphs)))
            style.bare(ax)
            ax.set_title(row.text, loc="left", fontsize=9.5, color=style.MUTED, pad=3)
        title = f"{way.title}: {sum(row.found for row in rows)} of {sum(len(row.glyphs) for row in rows)}"
        axes[0, column].text(
            0, 1.42, title, transform=axes[0, column].transAxes, fontsize=11, color=style.INK, fontweight="bold"
        )
    return fig


def limits(inputs: Inputs) -> Still:
    """Five things, asked for in three ways. Needs the model and the recogniser."""
    asked, drawn = ways(inputs), []
    total = sum(way.steps for way in asked)
    for number, way in enumerate(asked):
        before = sum(earlier.steps for earlier in asked[:number])

        def tick(done: int, of: int, before: int = before, way: Way = way) -> None:
            inputs.progress((before + way.steps * done / of) / total)

        texts = [text for text in way.texts for _ in range(EACH)]
        images = draw(inputs.pipe, texts, Request(steps=way.steps, seed=inputs.seed), tick=tick)
        rows = []
        for i, (text, radical) in enumerate(zip(way.texts, RADICALS, strict=True)):
            glyphs = images[i * EACH : (i + 1) * EACH]
            probability, fall = occlusion(inputs.recogniser, glyphs, radical)
            rows.append(Row(text, marked(glyphs, probability, fall), int((probability >= FOUND).sum())))
        drawn.append(rows)
    named, few, riddles = (sum(row.found for row in rows) for rows in drawn)
    of = EACH * len(RADICALS)
    return Still(
        figure_limits(asked, drawn),
        alt="Five things, each asked for in three ways: by name, by name in four steps, and by a riddle; the radical "
        f"is red where it is read: in {named}, {few} and {riddles} of {of} glyphs.",
        caption=f"Left, things asked for by name: the recogniser reads the right radical, marked red, in {named} of "
        f"{of} glyphs. In the middle, the same prompts and the same noise in only {FEW} steps: {few} of {of}, and look "
        f"at the strokes. On the right, the same things in words that name none of them: {riddles} of {of}. Both "
        "are the first for each radical in the lists that glyffuser evaluate uses.",
    )
