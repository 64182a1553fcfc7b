"""Chapter 2, training: the loss of a run, and the same prompts and seeds at every step with a saved sheet."""

import json
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from glyffuser.guide import style
from glyffuser.guide.drawn import Missing, Still
from glyffuser.guide.inputs import Inputs
from glyffuser.train.previews import PROMPTS as PREVIEWS
from glyffuser.train.previews import read_previews

COLUMNS = 8  # how many of the kept steps are shown, first and last included
PROMPTS = ("gold", "a kind of fish", "illness", "bamboo basket")


def read_losses(run: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Steps and losses (N,) of a run's log (for a repeated step, its last entry), and the total minutes."""
    rows: dict[int, dict] = {}
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            rows[int(row["step"])] = row
        except (ValueError, KeyError, TypeError):  # a line cut off when the run was killed
            continue
    if not rows:
        raise Missing(f"{run}/metrics.jsonl has no log line yet; train longer")
    ordered = [rows[step] for step in sorted(rows)]
    return (
        np.array([row["step"] for row in ordered]),
        np.array([row["loss"] for row in ordered], float),
        float(ordered[-1].get("minutes", 0.0)),
    )


def read_samples(run: Path) -> dict[int, np.ndarray]:
    """Step -> its sheet of samples, uint8 (prompts, seeds, H, W); Missing if the run kept none."""
    sheets = read_previews(run)
    if not sheets:
        raise Missing(f"{run}/samples has no sheets yet; train at least train.preview_every steps")
    return sheets


def smoothed(values: np.ndarray, width: int = 15) -> np.ndarray:
    """A running median, (N,) -> (N,)."""
    padded = np.pad(values, width // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


def prompt_difference(sheet: np.ndarray) -> float:
    """Share of pixels in which glyphs of two prompts from the same seed differ; sheet: (prompts, seeds, H, W)."""
    dark = sheet < 128
    pairs = [(a, b) for a in range(len(dark)) for b in range(a)]
    return float(np.mean([(dark[a] != dark[b]).mean() for a, b in pairs]))


@style.styled
def figure_training(steps: np.ndarray, losses: np.ndarray, sheets: dict[int, np.ndarray]) -> Figure:
    """The loss against the step, and below it the first seed of PROMPTS at some of the kept steps."""
    kept = sorted(sheets)
    kept = [kept[i] for i in np.unique(np.linspace(0, len(kept) - 1, COLUMNS).round().astype(int))]
    fig = style.figure(height=2.7 + 0.96 * len(PROMPTS), width=7.6)
    above, below = fig.subfigures(2, 1, squeeze=False, height_ratios=[2.7, 0.96 * len(PROMPTS)], hspace=0.03).ravel()
    ax = above.subplots()
    ax.plot(steps, losses, color=style.LINE, linewidth=1)
    ax.plot(steps, smoothed(losses), color=style.INK)
    ticks = [t for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5) if losses.min() * 0.9 < t < losses.max() * 1.1]
    ax.set(yscale="log", xlim=(0, steps[-1]), ylabel="loss (log scale)", yticks=ticks)
    ax.set_yticklabels([f"{t:g}" for t in ticks])
    ax.minorticks_off()
    marks = [0, kept[len(kept) // 2], kept[-1]]
    ax.set_xticks(marks, [f"{step:,}" for step in marks])
    ax.set_xlabel("step of training", labelpad=0)
    for step in kept:
        ax.axvline(step, color=style.ACCENT, linewidth=1, alpha=0.5, zorder=0)
    rows = [preview.text for preview in PREVIEWS]  # of a sheet
    axes = below.subplots(len(PROMPTS), len(kept), squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    for column, step in enumerate(kept):
        axes[0, column].set_title(f"{step:,}", color=style.ACCENT)
        for row, prompt in enumerate(PROMPTS):
            style.show_glyph(axes[row, column], sheets[step][rows.index(prompt), 0], frame=None)
    for row, prompt in enumerate(PROMPTS):
        axes[row, 0].set_ylabel(textwrap.fill(prompt, 9), fontsize=10.5)
    return fig


def training(inputs: Inputs) -> Still:
    """How the model learnt. Needs a run folder with its log and its sheets of samples."""
    steps, losses, minutes = read_losses(inputs.run)
    sheets = read_samples(inputs.run)
    first, last = float(smoothed(losses)[0]), float(smoothed(losses)[-1])
    early, late = (100 * prompt_difference(sheets[step]) for step in (min(sheets), max(sheets)))
    order = ": strokes come first, what the prompt asks for later" if early < late else ""
    return Still(
        figure_training(steps, losses, sheets),
        alt="A curve of the loss, falling steeply and then slowly; below it, columns of glyphs drawn in training, "
        "blots at first and glyphs in the end.",
        caption=f"The log of {inputs.run.name}: {steps[-1]:,} steps in {minutes:.0f} minutes. The loss, the squared "
        f"error of the network's guess averaged over glyphs and noise levels, fell from {first:.2f} to {last:.2f}. "
        "Below, the same prompts from the same noise at the steps marked in red. At step "
        f"{min(sheets):,} the glyphs of two prompts differ in {early:.0f} % of their pixels, at step {max(sheets):,} "
        f"in {late:.0f} %{order}.",
    )
