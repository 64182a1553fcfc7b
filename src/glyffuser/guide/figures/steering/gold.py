"""Chapter 3, "Gold": a radical appears in sixteen glyphs, found and marked by a network that reads glyphs."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from glyffuser.base.films import rhythm
from glyffuser.base.pictures import grey, sheet, to_grey
from glyffuser.guide import style
from glyffuser.guide.drawn import Animation
from glyffuser.guide.figures.steering.guidance import GOLD, METAL
from glyffuser.guide.frames import GAP, SheetFrame
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.sampling import moments_of
from glyffuser.judge.recogniser import SIZE, Recogniser

GLYPHS = 16
WINDOW, STRIDE = 20, 11  # pixels of the recogniser's 64: the patch of paper that hides a part, and how far it moves
MARKS = 8  # how often during the animation the radical is looked for; the marks stay in between
FOUND = 0.5  # probability from which the radical counts as read


def occlusion(recogniser: Recogniser, images: np.ndarray, radical: int) -> tuple[np.ndarray, np.ndarray]:
    """Where a radical is: how far its log-probability falls when a part is hidden (Zeiler and Fergus 2014, 4.2).

    images: uint8 (N, H, W). Returns its probability (N,), and the fall at each place (N, 64, 64): zero where it rises,
    and in glyphs in which the radical is not read.
    """
    small = F.interpolate(torch.from_numpy(images)[:, None].float(), (SIZE, SIZE), mode="area").round().byte()[:, 0]
    base = recogniser.read(small).radical[:, radical - 1]
    fall, count = torch.zeros(small.shape), torch.zeros(SIZE, SIZE)
    has = base.exp() >= FOUND
    starts = range(0, SIZE - WINDOW + 1, STRIDE)
    for place in [(slice(top, top + WINDOW), slice(left, left + WINDOW)) for top in starts for left in starts]:
        hidden = small[has]
        hidden[:, *place] = 255
        if len(hidden):
            fall[has, *place] += (base[has] - recogniser.read(hidden).radical[:, radical - 1]).clamp(min=0)[
                :, None, None
            ]
        count[place] += 1
    return base.exp().numpy(), (fall / count.clamp(min=1)).numpy()


def marked(images: np.ndarray, probability: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """Glyphs uint8 (N, H, W) in colour (N, H, W, 3): if they have the radical, ink is red where hiding it hurts."""
    size = images.shape[-1]
    smooth: Tensor = F.interpolate(torch.from_numpy(fall)[:, None], (size, size), mode="bilinear")[:, 0]
    peak = smooth.flatten(1).max(dim=1).values.clamp(min=1e-6)
    weight = ((smooth / peak[:, None, None] - 0.25) / 0.15).clamp(0, 1).numpy()  # a soft edge at a third of the peak
    weight *= (probability >= FOUND)[:, None, None]
    ink = 1 - images[..., None] / 255.0
    red = np.array([int(style.ACCENT[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    colour = weight[..., None] * red  # black where there is no mark
    return ((1 - ink * (1 - colour)) * 255).round().astype(np.uint8)


def colour_sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """As `sheet`, for pictures in colour (N, H, W, 3)."""
    return np.stack([sheet(images[..., channel], columns, GAP) for channel in range(3)], axis=-1)


def figure_gold(
    noisy: list[np.ndarray], clean: list[np.ndarray], recogniser: Recogniser, radical: int = METAL
) -> tuple[list[Image.Image], list[int]]:
    """Frames of the noised glyphs and what the network sees, the radical marked red; and how many it was read in.

    noisy, clean: uint8 (N, H, W) for each moment.
    """
    titles = [(f"what there is, {style.XT}", style.INK), (f"what the network sees in it, {style.X0}", style.ACCENT)]
    columns = int(np.ceil(len(noisy[0]) ** 0.5))
    frame = SheetFrame(titles, sheet(noisy[0], columns, GAP).shape, note=True)
    every = max(1, len(clean) // MARKS)
    frames, counts = [], []
    for i, (xt, x0) in enumerate(zip(noisy, clean, strict=True)):
        read = recogniser.read(x0).radical[:, radical - 1].exp().numpy()
        if i % every == 0 or i == len(clean) - 1:
            _, fall = occlusion(recogniser, x0, radical)
        counts.append(int((read >= FOUND).sum()))
        foot = f"red: the metal radical, read in {counts[-1]} of {len(x0)} glyphs"
        sheets = [sheet(xt, columns, GAP), colour_sheet(marked(x0, read, fall), columns)]
        frames.append(frame.frame(sheets, foot))
    return frames, counts


def gold(inputs: Inputs) -> Animation:
    """Sixteen glyphs for "Gold". Needs the model and the recogniser."""
    recogniser = inputs.recogniser
    steps = inputs.count(120, 16)
    seen = list(moments_of(inputs.pipe, [GOLD] * GLYPHS, steps, seed=inputs.seed, tick=inputs.tick))
    frames, counts = figure_gold([grey(s.xt) for s in seen], [to_grey(s.x0) for s in seen], recogniser)
    order = rhythm(len(frames), hold=inputs.count(24, 8))
    most = next(i for i, count in enumerate(counts) if count >= 0.8 * counts[-1])
    early = f" At step {most} (t = {seen[most].t:.0f}), {counts[most]} already had it." if counts[-1] else ""
    return Animation(
        [frames[i] for i in order],
        alt=f"Sixteen fields of noise turn into glyphs; in {counts[-1]} of them the metal radical is drawn in red.",
        caption=f"“{GOLD}”, {GLYPHS} glyphs, {steps} steps. A second network, the recogniser, was trained to read the "
        "radicals of real glyphs. It reads the metal radical (金, 釒, 钅; number 167 of the traditional 214) in "
        f"{counts[-1]} of {GLYPHS}; red is the ink that it needs to do so: hide that, and the reading fails." + early,
        labels=[f"step {i} of {steps}, t = {seen[i].t:.0f}, radical in {counts[i]} of {GLYPHS}" for i in order],
        fps=12,
    )
