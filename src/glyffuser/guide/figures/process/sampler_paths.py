"""Chapter 2, samplers: the paths of ODE and SDE samplers, on a toy whose denoiser is exact, and on glyphs."""

import numpy as np
import torch
from matplotlib.axes import Axes
from PIL import Image
from torch import Tensor

from glyffuser.base.films import rhythm
from glyffuser.base.noise import seeded
from glyffuser.base.pictures import grey
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.diffusion.schedules import Schedule
from glyffuser.generate.draw import Tick, quiet
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.guide import style
from glyffuser.guide.drawn import Animation
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.mixtures import Mixture, ink_mixture
from glyffuser.guide.sampling import start_of, steps_of

TOY_CHAR = "火"
PROMPTS = ("fire", "a kind of bird")
POINTS = 260  # dots that a sampler moves over the toy
TRAILS = 4  # how many of these leave a trail
SCALE = 1.8  # of the toy, so that it is about as wide as the noise it comes from
REACH = 2.4  # of the toy's axes
SHOWN = ("ddpm", "ddim", "euler", "heun", "dpm++2m", "dpm++2m-sde")  # of SAMPLERS: each kind once
STOCHASTIC = ("ddpm", "dpm++2m-sde")  # add fresh noise between steps


def toy_paths(toy: Mixture, schedule: Schedule, sampler: str, steps: int, n: int, seed: int) -> Tensor:
    """xt of n points at every step of a sampler with the toy's exact denoiser: (steps + 1, n, 2).

    All samplers start from the same noise. xt, and not the sampler's own x, since it hardly grows or shrinks.
    """
    sigmas = schedule.sigmas(steps)
    eps = torch.randn(n, 2, dtype=torch.float64, generator=seeded(seed, 0))
    x = sigmas[0] * eps
    fresh = seeded(seed, 1)

    def noise(like: Tensor, now: Tensor, then: Tensor) -> Tensor:
        return torch.randn(like.shape, dtype=like.dtype, generator=fresh)

    path = [float(schedule.alpha(sigmas[0])) * x]
    for step in SAMPLERS[sampler](toy.denoise, x, sigmas, None, noise):
        path.append(float(schedule.alpha(step.sigma)) * step.x)
    return torch.stack(path)


def roughness(path: Tensor) -> float:
    """Path length over the straight-line distance, median over points: (S, n, 2) -> 1 or more."""
    length = (path[1:] - path[:-1]).norm(dim=-1).sum(0)
    return float((length / (path[-1] - path[0]).norm(dim=-1).clamp(min=1e-9)).median())


def glyph_paths(
    pipe: GlyffuserPipeline, prompts: tuple[str, ...], steps: int, seed: int, tick: Tick = quiet
) -> dict[str, np.ndarray]:
    """xt of one glyph per prompt, same seeds, at every step of each of SHOWN: name -> uint8 (steps + 1, P, H, W)."""
    made = {}
    for k, name in enumerate(SHOWN):
        seen = [grey(start_of(pipe, len(prompts), seed))]
        for step in steps_of(pipe, prompts, steps, sampler=name, seed=seed):
            seen.append(grey(step.xt))
            tick(k * steps + step.i + 1, len(SHOWN) * steps)
        made[name] = np.stack(seen)
    return made


@style.styled
def figure_samplers(paths: dict[str, Tensor], glyphs: dict[str, np.ndarray]) -> list[Image.Image]:
    """Frames: for each sampler its dots and trails on the toy, and its glyphs, both after the same number of steps.

    paths: (S + 1, n, 2) each; glyphs: uint8 (S + 1, P, H, W) each.
    """
    rows = -(-len(paths) // 2)
    fig = style.figure(height=2.87 * rows, width=8.0)
    axes = fig.subplots(rows, 2, squeeze=False, gridspec_kw={"hspace": 0.05, "wspace": 0.06}).T.ravel()
    ordered = sorted(paths, key=lambda name: name in STOCHASTIC)
    panels = [_Panel(ax, name, paths[name], glyphs[name]) for ax, name in zip(axes, ordered, strict=False)]
    for ax in axes[len(panels) :]:
        ax.axis("off")
    frames = []
    for i in range(len(next(iter(paths.values())))):
        for panel in panels:
            panel.show(i)
        if i == 0:
            fig.canvas.draw()  # lay out once
            fig.set_layout_engine("none")
        frames.append(style.to_image(fig, dpi=110))
    return frames


class _Panel:
    """One sampler: a title, the toy at the left, its glyphs at the right."""

    def __init__(self, ax: Axes, name: str, path: Tensor, glyphs: np.ndarray):
        self.path, self.glyphs = path.numpy(), glyphs
        jitters = name in STOCHASTIC
        colour = style.ACCENT if jitters else style.COOL
        style.bare(ax)
        ax.set_title(f"{name}: {'jitters (SDE)' if jitters else 'smooth (ODE)'}", color=colour, loc="left", fontsize=13)
        self.dots = ax.scatter([], [], s=5, color=style.INK, linewidths=0, alpha=0.55, zorder=2)
        width = 0.8 if jitters else 1.5  # a long path fills the panel
        self.trails = [ax.plot([], [], color=colour, linewidth=width, zorder=3)[0] for _ in range(TRAILS)]
        self.heads = ax.scatter([], [], s=22, color=colour, linewidths=0, zorder=4)
        side = 2 * REACH / len(glyphs[0])
        self.pictures = []
        for k in range(len(glyphs[0])):
            top = REACH - k * side
            extent = (REACH + 0.2, REACH + 0.05 + side, top - side + 0.15, top)
            self.pictures.append(ax.imshow(glyphs[0, k], cmap="gray", vmin=0, vmax=255, extent=extent, zorder=1))
        ax.set(xlim=(-REACH, REACH + 0.1 + side), ylim=(-REACH, REACH), aspect="equal")

    def show(self, i: int) -> None:
        """Show the state after i steps."""
        self.dots.set_offsets(self.path[i])
        self.heads.set_offsets(self.path[i, :TRAILS])
        for k, trail in enumerate(self.trails):
            trail.set_data(self.path[: i + 1, k, 0], self.path[: i + 1, k, 1])
        for picture, glyph in zip(self.pictures, self.glyphs[i], strict=True):
            picture.set_data(glyph)


def samplers(inputs: Inputs) -> Animation:
    """The samplers of SHOWN from the same seeds, on a toy and on glyphs. Needs the data set and the model."""
    steps = inputs.count(30, 10)
    row = inputs.rows.get(TOY_CHAR, 0)
    toy = ink_mixture(inputs.data.images[row], seed=inputs.seed, scale=SCALE)
    schedule = inputs.pipe.schedule
    paths = {name: toy_paths(toy, schedule, name, steps, POINTS, inputs.seed) for name in SHOWN}
    glyphs = glyph_paths(inputs.pipe, PROMPTS, steps, inputs.seed, inputs.tick)
    frames = figure_samplers(paths, glyphs)
    order = rhythm(len(frames), hold=10)
    rough = {name: roughness(path) for name, path in paths.items()}
    smooth = [rough[name] for name in rough if name not in STOCHASTIC]
    jittery = [rough[name] for name in rough if name in STOCHASTIC]
    return Animation(
        [frames[i] for i in order],
        alt=f"{len(paths)} panels, one per sampler: dots travel from a round cloud onto the strokes of a character, "
        "along smooth curves or jittery ones, while beside them two glyphs come out of noise.",
        caption=f"{len(paths)} samplers, {steps} steps, the same noise. Dots: a toy in two dimensions, points on the "
        f"ink of {inputs.data.chars[row]}, whose best denoiser is known exactly, so that only the sampler differs. "
        f"The {len(smooth)} ODE samplers (blue) follow smooth paths and nearly agree; the {len(jittery)} SDE samplers "
        f"(red) add fresh noise at every step and end elsewhere. ODE paths are {min(smooth):.1f} to "
        f"{max(smooth):.1f} times as long as the straight line, SDE paths {min(jittery):.1f} to {max(jittery):.1f} "
        f"times. Glyphs: “{PROMPTS[0]}” and “{PROMPTS[1]}”, guidance {inputs.pipe.usual.guidance:g}.",
        labels=[f"step {i} of {steps}" for i in order],
        fps=8,
    )
