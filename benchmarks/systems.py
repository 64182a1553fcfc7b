"""The systems of the family, each trained for the same time and evaluated, to see what each buys.

    glyffuser dataset build
    glyffuser dataset build --size 32 --out data/glyphs-32.parquet   # for the cascade; for styles: docs/TRAINING.md
    python benchmarks/systems.py [--minutes 20] [--out runs/systems] [--only transformer]

Each row is a run of `glyffuser train`, from the same seed as the others; it resumes where it was left. The autoencoder
and the upscaler that the latent model and the cascade need are trained beforehand for as many minutes, not counted.
Where machines or their load differ between rows, `--minutes 0 --set train.max_steps=N --only ROW` trains N steps: as
many as `glyffuser bench training` says a row makes in the time. Glyphs have 128 pixels: latents are decoded, and the
cascade's small glyphs enlarged. The evaluation is that of `glyffuser evaluate --quick --per-prompt 2 --definitions 420
--steps 16`, on glyphs drawn from the text alone, none selected.

hits: share with a radical that was asked for; exist: share that is already a character; seconds: for 16 glyphs.
Reports go to <out>/<row>/evaluation, and <out>/table.jsonl keeps the rows. `--picture FILE` trains and measures
nothing: it draws one glyph per prompt with the model of each row that has one, all from the same seeds, none selected.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from trials import Scorer, train

from glyffuser.base.pictures import sheet
from glyffuser.config import DATA, STEPS, override, preset
from glyffuser.evaluate.artist import QUICK
from glyffuser.generate.cascade import enlarge, load_upscalers
from glyffuser.generate.draw import draw
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Request
from glyffuser.guide.style import DPI, MUTED, bare, figure, styled

# Each row: the preset, what is changed in it, and the companion that it needs.
ROWS: dict[str, tuple[str, list[str], str]] = {
    "unet": ("cpu", [], ""),
    "transformer": ("transformer", [], ""),
    "latent": ("latent", [], "autoencoder"),
    "cascade": ("cascade", [], "upscale128"),
    "styles": ("styles", [], ""),
    "unconditional": ("unconditional", [], ""),
    "attention alone": ("cpu", ["model.text_route=attention", "text.tower=0"], ""),
    "vector alone": ("cpu", ["model.text_route=pooled"], ""),
    "parts told": ("cpu", ["model.components=500"], ""),
    "finer head": ("cpu", ["model.detail=32"], ""),
}
STYLE = "sans"  # for a model that knows several: the one of the evaluation's real glyphs
SETTINGS = dataclasses.replace(QUICK, per_prompt=2, definitions=420, steps=STEPS)
PICTURED = ("gold", "a kind of fish", "illness, disease", "bamboo basket", "fire", "to speak", "a horse", "grass")
GAP = 12  # pixels between the glyphs of the picture
COLUMNS = ("parameters", "steps", "hits %", "paraphr. %", "flagged %", "exist %", "coverage %", "Fréchet", "seconds")


def folder_of(out: Path, row: str) -> Path:
    """The run folder of a row."""
    return out / row.replace(" ", "-")


def drawn(out: Path, row: str) -> np.ndarray:
    """A glyph of a row's model for each prompt of the picture, uint8 (N, 128, 128)."""
    base, _, companion = ROWS[row]
    pipe = load_pipeline(folder_of(out, row))
    texts = [""] * len(PICTURED) if pipe.unconditional else list(PICTURED)
    images = draw(pipe, texts, Request(steps=STEPS, style=STYLE if base == "styles" else None))
    return enlarge(load_upscalers([out / companion]), images) if companion == "upscale128" else images


@styled
def picture(rows: dict[str, np.ndarray]) -> Figure:
    """The glyphs (N, H, W) of each row, under their prompts."""
    made = figure(1.04 * len(rows) + 0.3)
    for ax, (row, images) in zip(made.subplots(len(rows), 1, squeeze=False)[:, 0], rows.items(), strict=True):
        ax.imshow(sheet(images, len(images), GAP), cmap="gray", vmin=0, vmax=255)
        bare(ax)
        ax.set_ylabel(row.replace(" alone", "\nalone"), rotation=0, ha="right", va="center", fontsize=10)
    side = images.shape[-1]
    for k, prompt in enumerate(PICTURED):
        made.axes[0].text(k * (side + GAP) + side / 2, -14, prompt, ha="center", color=MUTED, fontsize=9)
    return made


def main() -> None:
    """Print the table, or save the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20, help="of training, a row")
    parser.add_argument("--out", type=Path, default=Path("runs/systems"))
    parser.add_argument("--set", action="append", default=[], help="section.key=value, for every row")
    parser.add_argument("--only", nargs="+", default=list(ROWS), choices=list(ROWS), help="these rows")
    parser.add_argument("--picture", type=Path, help="draw what the rows that are trained draw, and end")
    options = parser.parse_args()
    if options.picture:
        trained = [row for row in options.only if (folder_of(options.out, row) / "model").is_dir()]
        if not trained:
            parser.error(f"{options.out} holds no trained row; run without --picture first")
        picture({row: drawn(options.out, row) for row in trained}).savefig(options.picture, dpi=DPI)
        return
    scorer = Scorer(str(DATA), SETTINGS)
    limit = f"train.max_minutes={options.minutes}"
    print(f"{'system':16}" + "".join(f" {column:>11}" for column in COLUMNS), flush=True)
    for name in options.only:
        base, changes, companion = ROWS[name]
        folder = options.out / companion
        if companion:
            train(override(preset(companion), [limit, *options.set]), folder)
        told = [f"model.autoencoder={folder}"] if companion == "autoencoder" else []
        run = folder_of(options.out, name)
        steps, _ = train(override(preset(base), [limit, *changes, *told, *options.set]), run)
        found = scorer(run, [folder] if companion == "upscale128" else [], STYLE if base == "styles" else None)
        fake = found["distribution"]["generated"]
        million = sum(p.numel() for p in load_pipeline(run).unet.parameters()) / 1e6
        shares = [
            *(found["meaning"]["rate"], found["meaning"]["paraphrases"]["rate"], found["plausibility"]["flagged"]),
            *(found["novelty"]["rate"], fake["coverage"]),
        ]
        line = f"{name:16} {million:10.1f}M {steps:11}" + "".join(f" {100 * share:11.1f}" for share in shares)
        line += f" {fake['frechet']:11.1f} {found['seconds_for_16_glyphs']:11.2f}"
        print(line, flush=True)
        with (options.out / "table.jsonl").open("a") as file:
            file.write(json.dumps({"system": name, "minutes": options.minutes, "line": line}) + "\n")


if __name__ == "__main__":
    main()
