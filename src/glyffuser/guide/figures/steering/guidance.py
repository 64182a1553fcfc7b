"""Chapter 3, steering: what a prompt does in one step, and how hard guidance pulls."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from glyffuser.base.noise import noise_source, seeded
from glyffuser.base.pictures import sheet
from glyffuser.config import GUIDANCE
from glyffuser.data.dataset import GlyphData
from glyffuser.generate.draw import BATCH, draw
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.guide import style
from glyffuser.guide.drawn import Missing, Slider, Sliders, Still
from glyffuser.guide.inputs import Inputs
from glyffuser.judge.prompts import Prompt
from glyffuser.judge.recogniser import Reading

GOLD, METAL = "Gold", 167  # the prompt, and the number of the Kangxi radical 金
SHOWN = 2  # starting noises in `single-step`
GUIDED = Prompt("a bird of prey", (196, 172))  # the old and the short-tailed bird
SCALES = (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 9.0, 12.0, 15.0)
SCALES_QUICK = (1.0, GUIDANCE, 8.0, 15.0)


def first_guesses(pipe: GlyffuserPipeline, prompt: str, n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Noise, and the clean image that the first step sees in it without and with the prompt: (n, 1, H, W) each."""
    size = pipe.unet.config.sample_size
    noise = noise_source([seeded(seed, k) for k in range(n)], n)(torch.empty(n, 1, size, size))
    sigma = torch.tensor(pipe.schedule.sigma_max(), dtype=torch.float64)
    D = pipe.denoiser()
    without, told = (D(float(sigma) * noise, sigma, pipe.condition([text], n)) for text in ("", prompt))
    return noise, without, told


def radical_template(data: GlyphData, radical: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean of all glyphs and mean of those with a radical, float (H, W) in [-1, 1]; Missing if none has it."""
    chosen = data.radicals == radical
    if not chosen.any():
        raise Missing(f"the data set has no glyph with radical {radical}; build one with more characters")
    every = data.images.mean(axis=0, dtype=np.float64)
    return every / 127.5 - 1, data.images[chosen].mean(axis=0, dtype=np.float64) / 127.5 - 1


@style.styled
def figure_single_step(
    noise: np.ndarray,
    without: np.ndarray,
    told: np.ndarray,
    every: np.ndarray,
    metal: np.ndarray,
    names: tuple[str, ...] = (),
    prompt: str = GOLD,
) -> Figure:
    """One step from the same noise without and with a prompt, and the difference; the same from the data's means.

    noise, without, told: (S, H, W) in [-1, 1], a row each; every, metal: means of all glyphs and of the metal ones.
    """
    rows = len(noise) + 1
    fig = style.figure(height=1.96 * rows + 0.3, width=8.0)
    axes = fig.subplots(rows, 4, gridspec_kw={"wspace": 0.05, "hspace": 0.05})
    titles = ("the noise", "one step, no prompt", f'one step, "{prompt}"', "what the prompt changed")
    for ax, title in zip(axes[0], titles, strict=True):
        ax.set_title(title, color=style.ACCENT if prompt in title else style.INK)
    for row in range(rows - 1):
        style.show_glyph(axes[row, 0], noise[row] / 2.2)
        _compare(axes[row], without[row], told[row])
    axes[-1, 0].axis("off")
    words = "what the data say:\nthe mean of all glyphs,\nof those with 金 釒 钅,\nand the difference"
    axes[-1, 0].text(0.95, 0.5, words, transform=axes[-1, 0].transAxes, ha="right", va="center", linespacing=1.5)
    _compare(axes[-1], every, metal)
    return fig


def _compare(row: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    """Two pictures and their difference; red where ink was added, blue where it was taken away."""
    style.show_glyph(row[1], before)
    style.show_glyph(row[2], after)
    row[3].imshow(before - after, cmap=style.SIGNED, vmin=-1, vmax=1)
    style.bare(row[3], style.LINE)


def single_step(inputs: Inputs) -> Still:
    """One step with and without "Gold". Needs the data set and the model."""
    n = inputs.count(BATCH, 4)
    noise, without, told = (part[:, 0].numpy() for part in first_guesses(inputs.pipe, GOLD, n, inputs.seed))
    every, metal = radical_template(inputs.data, METAL)
    alike = likenesses(without - told, every - metal)
    return Still(
        figure_single_step(noise[:SHOWN], without[:SHOWN], told[:SHOWN], every, metal),
        alt="Rows of noise, a grey blur, the blur that a prompt makes of it, and the difference in red and blue; "
        "below, the same from averages of real glyphs.",
        caption="From pure noise the best guess is an average: without a prompt, of all glyphs; with “Gold”, of all "
        "glyphs that could be meant (red: ink added, blue: ink removed). The last row shows what the data say: the "
        "glyphs with the metal radical against all. The change that the word makes correlates with this difference at "
        f"{signed(alike)} (mean over {n} noises; lowest {signed([min(alike)])}).",
    )


def signed(values: list[float]) -> str:
    """The mean, with two decimals and a true minus sign."""
    return f"{np.mean(values):.2f}".replace("-", "−")


def likenesses(changes: np.ndarray, template: np.ndarray) -> list[float]:
    """The correlation of each change (N, H, W) with a template of any size."""
    wanted = torch.from_numpy(template)[None, None]
    fitted = torch.nn.functional.interpolate(wanted, changes.shape[-2:], mode="area")[0, 0].numpy()
    return [correlation(change, fitted) for change in changes]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two pictures; 0 where one does not vary, as when a network ignores its prompt."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0


@dataclass(frozen=True)
class Guided:
    """Glyphs uint8 (G, N, H, W) under each guidance scale (G), and two measures (G,) of them.

    `fidelity`: mean probability that the recogniser gives to a fitting radical; `variety`: mean distance between
    two glyphs in its features, as a share of that at the first scale.
    """

    scales: tuple[float, ...]
    glyphs: np.ndarray
    fidelity: np.ndarray
    variety: np.ndarray


def measured(
    scales: tuple[float, ...], glyphs: np.ndarray, readings: list[Reading], radicals: tuple[int, ...]
) -> Guided:
    """Fidelity and variety from what the recogniser read, one Reading per scale."""
    wanted = [radical - 1 for radical in radicals]
    fidelity = [float(r.radical[:, wanted].exp().sum(1).mean()) for r in readings]
    spread = np.array([float(torch.pdist(r.features).mean()) for r in readings])
    return Guided(scales, glyphs, np.array(fidelity), spread / max(spread[0], 1e-9))


@style.styled
def figure_guidance(guided: Guided, at: int, prompt: str) -> Figure:
    """The glyphs at scale number `at`, and its place on the curves of fidelity and variety."""
    fig = style.figure(height=5.2)
    grid = fig.add_gridspec(2, 2, width_ratios=[5.0, 3.6], hspace=0.12, wspace=0.06)
    sheet_ax = fig.add_subplot(grid[:, 0])
    images = guided.glyphs[at]
    style.show_glyph(sheet_ax, sheet(images, int(np.ceil(np.sqrt(len(images)))), images.shape[1] // 12), frame=None)
    sheet_ax.set_title(f'"{prompt}", guidance {guided.scales[at]:g}', fontsize=13, color=style.ACCENT)
    curves = (("fidelity: the radical fits", guided.fidelity), ("variety: how unlike each other", guided.variety))
    for i, (title, values) in enumerate(curves):
        ax = fig.add_subplot(grid[i, 1])
        _curve(ax, guided.scales, values, at)
        ax.set_title(title, loc="left")
        if i:
            ax.set_xlabel("guidance scale")
        else:
            ax.set_xticklabels([])
    return fig


def _curve(ax: Axes, scales: tuple[float, ...], values: np.ndarray, at: int) -> None:
    ax.plot(scales, values, color=style.COOL, linewidth=1.8, zorder=1)
    ax.scatter(scales, values, s=14, color=style.COOL, zorder=2)
    ax.scatter([scales[at]], [values[at]], s=90, color=style.ACCENT, zorder=3)
    ax.set_title(f"{100 * values[at]:.0f} %", loc="right", color=style.ACCENT, fontsize=14)
    ax.set(xlim=(0, max(scales) + 1.2), ylim=(0, 1.12 * max(1.0, values.max())), yticks=[0, 0.5, 1])
    ax.set_yticklabels(["0 %", "50 %", "100 %"])
    ax.set_xticks([1, 4, 8, 12, 15])


def guidance(inputs: Inputs) -> Sliders:
    """One prompt and the same seeds under guidance 1 to 15. Needs the data set, the model and the recogniser."""
    recogniser, pipe = inputs.recogniser, inputs.pipe
    scales = SCALES_QUICK if inputs.quick else SCALES
    n, steps = inputs.count(16, 9), inputs.count(20, 8)
    sheets = []
    for i, scale in enumerate(scales):
        inputs.tick(i, len(scales))
        sheets.append(draw(pipe, [GUIDED.text] * n, Request(steps=steps, guidance=scale, seed=inputs.seed)))
    guided = measured(scales, np.stack(sheets), [recogniser.read(images) for images in sheets], GUIDED.radicals)
    fidelity, variety = 100 * guided.fidelity, 100 * guided.variety
    usual = scales.index(GUIDANCE)
    ink = [100 * (1 - images.mean() / 255) for images in (sheets[0], sheets[-1], inputs.data.images)]
    return Sliders(
        [Slider("guidance", "guidance scale", [f"{scale:g}" for scale in scales], start=usual)],
        {(i,): style.to_image(figure_guidance(guided, i, GUIDED.text)) for i in range(len(scales))},
        alt=f"{n} glyphs for one prompt, and two curves over the guidance scale: fidelity and variety.",
        caption=f"The same {n} noises, steered harder and harder (1: guidance off). Fidelity, the probability that the "
        f"recogniser gives to a fitting radical, goes from {fidelity[0]:.0f} % to {fidelity[usual]:.0f} % at "
        f"{GUIDANCE:g} and {fidelity[-1]:.0f} % at {scales[-1]:g}; its highest value, {fidelity.max():.0f} %, is at "
        f"{scales[int(fidelity.argmax())]:g}. Variety, how much the glyphs differ from one another, goes from 100 % to "
        f"{variety[usual]:.0f} % and {variety[-1]:.0f} %. Ink goes from {ink[0]:.0f} % of the paper to {ink[1]:.0f} %; "
        f"real glyphs have {ink[2]:.0f} %.",
    )
