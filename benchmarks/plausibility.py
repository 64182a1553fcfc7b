"""Does the plausibility network notice flaws of a kind that it was never shown?

    python benchmarks/plausibility.py [--data data/glyphs.parquet] [--steps 800] [--kinds erase add ...]

One row per kind: area under the curve and flagged share, for the bundled network, which was shown all kinds, and for
one that was shown only the others, briefly. Measured on the test split. About seven minutes per kind on one core.
"""

import argparse
from pathlib import Path

from glyffuser.config import DATA
from glyffuser.data.dataset import load_dataset
from glyffuser.judge.flaws import FLAWS
from glyffuser.judge.judges import load_judges
from glyffuser.judge.plausibility import PlausibilitySettings
from glyffuser.judge.training import measure_plausibility, train_form


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=800, help="of 64 glyphs, for each network")
    parser.add_argument("--kinds", nargs="+", default=list(FLAWS), choices=list(FLAWS))
    options = parser.parse_args()
    training, test = load_dataset(options.data, "train"), load_dataset(options.data, "test")
    known = measure_plausibility(load_judges().plausibility, test.images, options.kinds)
    print(f"{'kind':10s} {'shown':>8s} {'never shown':>12s}   flagged: {'shown':>8s} {'never shown':>12s}")
    for kind in options.kinds:
        others = tuple(other for other in FLAWS if other != kind)
        network = train_form(training, PlausibilitySettings(kinds=others, steps=options.steps), lambda done, text: None)
        blind = measure_plausibility(network, test.images, [kind])
        print(
            f"{kind:10s} {known[kind]['auc']:8.3f} {blind[kind]['auc']:12.3f}            "
            f"{known[kind]['flagged']:8.2f} {blind[kind]['flagged']:12.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
