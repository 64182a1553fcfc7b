"""Fresh noise and guidance: what glyphs gain and lose if dpm++2m-sde replaces noise sooner or is guided otherwise.

    python benchmarks/eta.py [--model FOLDER] [--data data/glyphs.parquet] [--steps 10 20 40] [--eta 1 4 16]
        [--guidance 2 3] [--above 0.3 1] [--below inf] [--n 2]

One row for each number of steps, eta, guidance scale and range of noise levels in which it acts, all from the same
starting noise: `--n` glyphs for each prompt of the evaluation, and one for each of `--definitions` held-out
definitions. right: share with a radical that was asked for; flagged and flaw: share that is implausible, and the mean
score, higher = worse; variety: among the glyphs of a prompt; Fréchet and coverage: of the definitions' glyphs against
held-out characters; strokes: their mean number; exist: share that is already a character.

The selector reads glyphs here, not the judges: `glyffuser evaluate` scores what is chosen by this table.
The last rows are of real glyphs.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np

from glyffuser.config import BUNDLED, DATA, INTERVAL
from glyffuser.data.dataset import load_dataset
from glyffuser.evaluate.artist import DEFINITIONS
from glyffuser.evaluate.meaning import prompt_hits
from glyffuser.evaluate.metrics import frechet_distance, support, variety
from glyffuser.generate.draw import draw
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import Judged, load_selector
from glyffuser.judge.novelty import known_ideographs
from glyffuser.judge.prompts import PROMPTS

COLUMNS = ("right", "flagged", "flaw", "variety", "Fréchet", "coverage", "strokes", "exist", "seconds")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, nargs="+", default=[10, 20, 40])
    parser.add_argument("--eta", type=float, nargs="+", default=[1, 4, 16])
    parser.add_argument("--guidance", type=float, nargs="+", help="default: the model's own")
    parser.add_argument("--above", type=float, nargs="+", default=[INTERVAL[0]], help="noise levels")
    parser.add_argument("--below", type=float, nargs="+", default=[INTERVAL[1]], help="noise levels")
    parser.add_argument("--n", type=int, default=2, help="glyphs for each prompt, 2 or more")
    parser.add_argument("--definitions", type=int, default=420)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.n < 2:
        parser.error("--n must be 2 or more, for the variety of a prompt")
    pipe, selector = load_pipeline(options.model), load_selector()
    training, held_out = load_dataset(options.data, "train"), load_dataset(options.data, "test")
    ideographs, real = known_ideographs(training, held_out), selector(held_out.images)
    texts = [prompt.text for prompt in PROMPTS for _ in range(options.n)]
    definitions = held_out.definitions[: options.definitions]
    numbers = [*range(len(texts)), *range(DEFINITIONS, DEFINITIONS + len(definitions))]

    def far(glyphs: Judged) -> str:
        fake = glyphs.features
        return f"{frechet_distance(fake, real.features):9.0f} {100 * support(real.features, fake).coverage:9.1f}"

    def form(glyphs: Judged) -> str:
        return f"{100 * glyphs.flagged.float().mean():9.1f} {glyphs.flaws.mean():9.2f}"

    print("steps    eta  scale  above  below" + "".join(f"{name:>10s}" for name in COLUMNS))
    scales = options.guidance or [pipe.usual.guidance]
    for steps, eta, scale, low, high in product(options.steps, options.eta, scales, options.above, options.below):
        start = time.perf_counter()
        request = Request(steps=steps, eta=eta, guidance=scale, interval=(low, high), seed=options.seed)
        judged = selector(draw(pipe, [*texts, *definitions], request, numbers=numbers))
        seconds = time.perf_counter() - start
        asked, defined = judged.part(slice(len(texts))), judged.part(slice(len(texts), len(judged)))
        exist = np.mean([match.exists for match in ideographs.nearest(judged.images)])
        print(
            f"{steps:5d} {eta:6g} {scale:6g} {low:6g} {high:6g} "
            f"{100 * prompt_hits(asked, options.n).double().mean():9.1f} {form(judged)} "
            f"{variety(asked.features, options.n):9.1f} {far(defined)} {defined.strokes.mean():9.2f} "
            f"{100 * exist:9.1f} {seconds:9.0f}",
            flush=True,
        )
    others = ideographs.nearest(held_out.images, skip=held_out.codepoints.tolist())
    seen = selector(training.images[np.random.default_rng(0).permutation(len(training))[: len(definitions)]])
    exist = np.mean([match.exists for match in others])
    print(f"{'held out':>33s} {'':9s} {form(real)} {'':29s} {real.strokes.mean():9.2f} {100 * exist:9.1f}")
    print(f"{'training':>33s} {'':9s} {form(seen)} {'':9s} {far(seen)} {seen.strokes.mean():9.2f}")


if __name__ == "__main__":
    main()
