"""Chapter 2, the way out of noise: what the network guesses, glyphs appearing, and how many steps they need."""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from glyffuser.base.films import rhythm
from glyffuser.base.noise import seeded
from glyffuser.base.pictures import grey, sheet, to_grey
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.process import noised, to_eps
from glyffuser.generate.draw import BATCH, Tick, draw, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.guide import style
from glyffuser.guide.drawn import Animation, Still
from glyffuser.guide.frames import GAP, SheetFrame
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.sampling import Moment, moments_of

CHAR = "锂"
SHOWN = (0.02, 0.2, 0.4, 0.6, 0.8, 0.95)  # of T: timesteps of the pictures of `prediction`
CURVE = np.linspace(0.01, 0.995, 20)  # of T: timesteps of its curves
STEPS = (1, 2, 3, 5, 10, 20, 50, 120, 1000)
STEPS_QUICK = (1, 2, 3, 5, 10, 20, 50)
DETERMINISTIC = "dpm++2m"  # adds no fresh noise, so that glyphs drawn in few and in many steps can be compared
STEPS_PROMPTS = ("gold", "a kind of fish", "illness")
DENOISE_PROMPTS = (
    *("gold", "a kind of fish", "tree", "illness", "water", "bamboo basket", "silk", "horse"),
    *("fire", "a kind of bird", "to speak", "mountain", "grass", "insect", "stone", "hand"),
)


def predict(
    pipe: GlyffuserPipeline, x0: Tensor, eps: Tensor, t: float, cond: Condition
) -> tuple[Tensor, Tensor, Tensor]:
    """(xt, predicted noise, predicted clean image), all like x0 (B, 1, H, W), at timestep t."""
    schedule = pipe.schedule
    sigma = schedule.sigma(torch.tensor(t, dtype=torch.float64))
    xt = noised(x0, eps, sigma.expand(len(x0)), schedule)
    guess = pipe.denoiser()(xt / float(schedule.alpha(sigma)), sigma, cond)
    return xt, to_eps(guess, xt, sigma.expand(len(x0)), schedule), guess


def prediction_errors(
    pipe: GlyffuserPipeline, x0: Tensor, texts: list[str], seed: int, tick: Tick = quiet
) -> tuple[np.ndarray, np.ndarray]:
    """Root-mean-square error of predicted noise and predicted clean image at each of CURVE, over glyphs x0."""
    eps = torch.randn(x0.shape, generator=seeded(seed, 1))
    cond = pipe.condition(texts)
    errors = []
    for i, part in enumerate(CURVE):
        _, noise, clean = predict(pipe, x0, eps, part * pipe.schedule.T, cond)
        errors.append([float((a - b).square().mean().sqrt()) for a, b in ((noise, eps), (clean, x0))])
        tick(i + 1, len(CURVE))
    return tuple(np.array(errors).T)


@style.styled
def figure_prediction(
    pipe: GlyffuserPipeline, x0: Tensor, text: str, errors: tuple[np.ndarray, np.ndarray], seed: int = 0
) -> Figure:
    """One glyph x0 (1, 1, H, W) noised; predicted noise and clean image; `errors` of both against the timestep."""
    T, cond = pipe.schedule.T, pipe.condition([text])
    eps = torch.randn(x0.shape, generator=seeded(seed, 0))
    fig = style.figure(height=7.6)
    above, below = fig.subfigures(2, 1, squeeze=False, height_ratios=[4.75, 2.6], hspace=0.04).ravel()
    axes = above.subplots(3, len(SHOWN), gridspec_kw={"wspace": 0.05, "hspace": 0.04})
    names = (f"{style.XT}, what it sees", f"the noise in it, {style.EPS}", f"the glyph in it, {style.X0}")
    colours = (style.INK, style.COOL, style.ACCENT)
    for column, part in enumerate(SHOWN):
        xt, noise, clean = predict(pipe, x0, eps, part * T, cond)
        for row, picture in enumerate((xt / 1.3, noise / 2.2, clean)):
            style.show_glyph(axes[row, column], picture[0, 0].numpy())
        axes[0, column].set_title(f"t = {part * T:.0f}")
    for row, (name, colour) in enumerate(zip(names, colours, strict=True)):
        axes[row, 0].set_ylabel(name, color=colour, fontsize=11, labelpad=8)
    ax = below.subplots()
    for values, colour, name, at in zip(errors, colours[1:], ("noise", "glyph"), (3, -5), strict=True):
        ax.plot(CURVE * T, values, color=colour)
        ax.annotate(
            f"error of the {name}", (CURVE[at] * T, values[at]), xytext=(8 if at > 0 else -8, 4),
            textcoords="offset points", color=colour, ha="left" if at > 0 else "right", va="bottom", fontsize=12,
        )  # fmt: skip
    ax.set(xlim=(0, T), xlabel="timestep t", xticks=[0, T // 2, T], yscale="log", yticks=[0.01, 0.1, 1, 10])
    ax.set_yticklabels(["0.01", "0.1", "1", "10"])
    ax.minorticks_off()
    ax.set_ylabel("error (root mean square)")
    return fig


def prediction(inputs: Inputs) -> Still:
    """What the network predicts at several timesteps. Needs the data set and the model."""
    row, n = inputs.rows.get(CHAR, 0), inputs.count(BATCH, 4)
    rows = np.random.default_rng(inputs.seed).choice(len(inputs.data), min(n, len(inputs.data)), replace=False)
    texts = [inputs.data.definitions[r] for r in rows]
    errors = prediction_errors(inputs.pipe, inputs.x0(rows), texts, inputs.seed, inputs.tick)
    early, late = ((round(CURVE[i] * inputs.pipe.schedule.T), *(e[i] for e in errors)) for i in (1, -2))
    return Still(
        figure_prediction(inputs.pipe, inputs.x0(row), inputs.data.definitions[row], errors, inputs.seed),
        alt="A glyph under more and more noise; below each picture, the noise and the clean glyph that the network "
        "sees in it; at the bottom, curves of the two errors over the timesteps.",
        caption="Shown a noised glyph and its definition, the network says which part is noise and which is glyph; "
        f"either answer gives the other. With little noise the glyph is easy (error {early[2]:.2f} at t = {early[0]}, "
        f"on a scale from −1 to +1) and the noise hard ({early[1]:.2f}); with much noise it is the other way round "
        f"({late[2]:.2f} and {late[1]:.2f} at t = {late[0]}): the best it can do then is average all glyphs that fit, "
        f"hence the blur. The curves are for {len(rows)} glyphs of the data set.",
    )


def figure_denoise(seen: Sequence[Moment], columns: int = 4) -> list[Image.Image]:
    """Frames of a batch, one per moment: xt on the left, the clean images predicted from it on the right."""
    first = sheet(grey(seen[0].x0), columns, GAP)
    titles = [(f"what there is, {style.XT}", style.INK), (f"what the network sees in it, {style.X0}", style.ACCENT)]
    frame = SheetFrame(titles, first.shape)
    return [frame.frame([sheet(grey(s.xt), columns, GAP), sheet(to_grey(s.x0), columns, GAP)]) for s in seen]


def denoise(inputs: Inputs) -> Animation:
    """Sixteen glyphs out of noise. Needs the model."""
    n, steps = len(DENOISE_PROMPTS), inputs.count(60, 12)
    seen = list(moments_of(inputs.pipe, DENOISE_PROMPTS, steps, seed=inputs.seed, tick=inputs.tick))
    frames = figure_denoise(seen)
    order = rhythm(len(frames), hold=12)
    # The glyphs are settled once hardly any pixels of the guess change sides any more.
    final = seen[-1].x0 > 0
    unsettled = [i for i, s in enumerate(seen) if ((s.x0 > 0) != final).float().mean() >= 0.02]
    settled = unsettled[-1] + 1 if unsettled else 0
    return Animation(
        [frames[i] for i in order],
        alt=f"{n} squares of noise on the left slowly turn into glyphs; on the right a blur sharpens into the same "
        "glyphs much earlier.",
        caption=f"{n} glyphs, each with its own prompt ({', '.join(DENOISE_PROMPTS[:4])}, …), in {steps} steps of "
        f"the sampler {inputs.pipe.sampler_name}. Left, the noised pictures; right, the clean "
        f"pictures that the network sees in them. From step {settled} of {steps} (t = {seen[settled].t:.0f}) on, "
        "fewer than 2 % of the pixels on the right still have to cross from one side of grey to the other.",
        labels=[f"step {i} of {steps}, t = {seen[i].t:.0f}" for i in order],
        fps=10,
    )


def drawn_in(
    pipe: GlyffuserPipeline, prompts: Sequence[str], counts: Sequence[int], seed: int, tick: Tick = quiet
) -> np.ndarray:
    """The same prompts and seeds, drawn in each number of steps: uint8 (len(counts), P, H, W)."""
    total, done, sheets = sum(counts), 0, []
    for count in counts:

        def so_far(i: int, of: int, done: int = done) -> None:
            tick(done + i, total)

        sheets.append(draw(pipe, prompts, Request(steps=count, sampler=DETERMINISTIC, seed=seed), tick=so_far))
        done += count
    return np.stack(sheets)


def changed(sheets: np.ndarray) -> np.ndarray:
    """Share of pixels on the other side of grey from the last sheet: (S, P, H, W) -> (S,)."""
    dark = sheets < 128
    return (dark != dark[-1:]).mean(axis=(1, 2, 3))


@style.styled
def figure_steps(sheets: np.ndarray, counts: Sequence[int], prompts: Sequence[str]) -> Figure:
    """Glyphs uint8 (S, P, H, W), a column for each of `counts`, a row for each prompt; below, what still differs."""
    fig = style.figure(height=0.92 * len(prompts) + 1.5)
    ratios = [1.0] * len(prompts) + [0.9]
    axes = fig.subplots(
        len(prompts) + 1, len(counts), gridspec_kw={"height_ratios": ratios, "wspace": 0.03, "hspace": 0.03}
    )
    different = changed(sheets)
    for column, count in enumerate(counts):
        for row in range(len(prompts)):
            style.show_glyph(axes[row, column], sheets[column, row], frame=None)
        axes[0, column].set_title(f"{count:,}" + (" step" if count == 1 else ""), fontsize=12)
        bar = axes[-1, column]
        bar.bar([0], [different[column]], color=style.ACCENT, width=0.5)
        bar.text(0, different[column], f"{100 * different[column]:.0f} %", ha="center", va="bottom", fontsize=10)
        bar.set(ylim=(0, max(different.max(), 1e-6) * 1.35), xlim=(-1, 1))
        style.bare(bar)
    for row, prompt in enumerate(prompts):
        axes[row, 0].set_ylabel(prompt, fontsize=10.5)
    axes[-1, 0].set_ylabel("pixels that\ndiffer", fontsize=10.5)
    return fig


def steps(inputs: Inputs) -> Still:
    """The same seeds in more and more steps. Needs the model."""
    counts = [c for c in (STEPS_QUICK if inputs.quick else STEPS) if c <= inputs.pipe.schedule.T]
    sheets = drawn_in(inputs.pipe, STEPS_PROMPTS, counts, inputs.seed, inputs.tick)
    different = changed(sheets)
    far = [c for c, d in zip(counts, different, strict=True) if d >= 0.05]
    near = next((c for c in counts if not far or c > far[-1]), counts[-1])
    told = (
        f"From {near} steps on, fewer than 5 % differ; more steps cost time and change little."
        if near < counts[-1]
        else f"At {far[-1]} steps, {100 * different[-2]:.0f} % still differ."
    )
    return Still(
        figure_steps(sheets, counts, STEPS_PROMPTS),
        alt=f"Columns of the same glyphs drawn in {counts[0]} to {counts[-1]} steps: first a blur, then broken "
        "strokes, then glyphs that hardly change.",
        caption=f"The same noise and prompts in more and more steps ({DETERMINISTIC}, which adds no fresh "
        "noise). In one step the network can only give the average of all glyphs that fit the "
        f"prompt. Bars: the share of pixels that lie on the other side of grey at "
        f"{counts[-1]:,} steps. {told}",
    )
