"""What each sampler, and each spacing of few steps, is good for: glyphs by each at several numbers of steps, judged.

    python benchmarks/samplers.py [--model FOLDER] [--glyphs 160] [--steps 5 10 20 40] [--out FILE]

One table: the shares of glyphs with the right radical (hits), of those flagged as implausible, and of those that are
right and not flagged (sound), and network evaluations per glyph. Every row starts from the same noise. `--out
src/glyffuser/generate/samplers.json` makes it the table that `glyffuser sample --sampler list` shows; the file is
written after every row, and rows it already holds for the same model and number of glyphs are not drawn again.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from glyffuser.base.names import SPACINGS
from glyffuser.base.weights import weights_hash
from glyffuser.config import BUNDLED, SAMPLER
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.evaluate.meaning import prompt_hits
from glyffuser.generate.draw import BATCH, draw
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.measured import Row, Table, read_table
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import Judges, load_judges
from glyffuser.judge.prompts import PROMPTS, Prompt


def asked(glyphs: int) -> list[Prompt]:
    """The prompt of each glyph: all prompts, over and over; for fewer glyphs, some from the whole range."""
    stride = max(1, len(PROMPTS) // glyphs)
    return [PROMPTS[k * stride % len(PROMPTS)] for k in range(glyphs)]


def noisy(sampler: str) -> bool:
    """Whether a sampler draws fresh noise."""
    drawn = []

    def noise(x: Tensor, now: Tensor, then: Tensor) -> Tensor:
        drawn.append(now)
        return torch.zeros_like(x)

    list(
        SAMPLERS[sampler](
            lambda x, sigma, cond: x / 2, torch.ones(1, 1, 1, 1), torch.tensor([4, 2, 1, 0.0]), None, noise
        )
    )
    return bool(drawn)


def measure(pipe: GlyffuserPipeline, judges: Judges, request: Request, glyphs: int) -> Row:
    """Draw and judge one row."""
    prompts, calls = asked(glyphs), []
    handle = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    images = draw(pipe, [prompt.text for prompt in prompts], request)
    handle.remove()
    judged = judges(images)
    hits = prompt_hits(judged, 1, prompts)[:, 0].cpu()
    clean = ~judged.flagged.cpu()
    shares = [float(part.double().mean()) for part in (hits, ~clean, hits & clean)]
    sampler, steps = str(request.sampler), int(request.steps or 0)
    evaluations = len(calls) // -(-glyphs // BATCH)
    return Row(sampler, request.spacing, steps, evaluations, noisy(sampler), *shares)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--glyphs", type=int, default=160, help="glyphs a row")
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20, 40])
    parser.add_argument("--out", type=Path, help="where the table is written, and what it holds already")
    options = parser.parse_args()
    pipe, judges = load_pipeline(options.model), load_judges()
    told = [f"--glyphs {options.glyphs}", "--steps", *map(str, options.steps)]
    table = Table(" ".join(["python benchmarks/samplers.py", *told]), weights_hash(pipe.unet), options.glyphs, [])
    if options.out is not None and options.out.is_file():
        before = read_table(options.out)
        if (before.model, before.glyphs) == (table.model, table.glyphs):
            table.rows = [row for row in before.rows if row.steps in options.steps]
    ways = [(sampler, SPACINGS[0]) for sampler in SAMPLERS] + [(SAMPLER, spacing) for spacing in SPACINGS[1:]]
    print(f"{'sampler':16} {'spacing':10} {'steps':>5} {'calls':>5} {'hits %':>7} {'flagged %':>9} {'sound %':>8}")
    for steps in options.steps:
        for sampler, spacing in ways:
            row = next((r for r in table.rows if (r.sampler, r.spacing, r.steps) == (sampler, spacing, steps)), None)
            if row is None:
                request = Request(sampler=sampler, spacing=spacing, steps=steps)
                row = measure(pipe, judges, request, options.glyphs)
                table.rows.append(row)
                if options.out is not None:
                    table.save(options.out)
            shares = f"{100 * row.hits:7.1f} {100 * row.flagged:9.1f} {100 * row.sound:8.1f}"
            print(f"{sampler:16} {spacing:10} {steps:5} {row.evaluations:5} {shares}", flush=True)


if __name__ == "__main__":
    main()
