"""Which loss teaches the contrastive model more, CLIP's softmax or SigLIP's sigmoid, and do descriptions of parts help?

    python benchmarks/contrastive.py [--data data/glyphs.parquet] [--steps 1500]

Two rows per model: retrieval within the test split, text to glyph and glyph to text, after the same number of steps
from the same seed; seconds are of processor time. It takes about five minutes on one core.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from glyffuser.config import DATA
from glyffuser.data.dataset import load_dataset
from glyffuser.judge.contrastive import ContrastiveSettings, captions_of, measure_contrastive, train_contrastive
from glyffuser.judge.judges import BUNDLED_JUDGES, load_recogniser
from glyffuser.judge.training import read_pairs
from glyffuser.text.cache import encode_cached
from glyffuser.text.encoder import TextEncoder

SETTINGS = ContrastiveSettings()
MODELS = {
    "softmax": SETTINGS,
    "sigmoid": replace(SETTINGS, loss="sigmoid"),
    "softmax, no parts": replace(SETTINGS, kinds=SETTINGS.kinds[:3]),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--steps", type=int, default=SETTINGS.steps)
    options = parser.parse_args()
    data, test, encoder = load_dataset(options.data, "train"), load_dataset(options.data, "test"), TextEncoder()
    recogniser, captions = load_recogniser(BUNDLED_JUDGES), captions_of(data)
    texts = encode_cached(encoder, captions.texts, options.data.parent / "text")
    pairs = read_pairs(data, recogniser.read(data.images).features, captions, texts, recogniser, encoder)
    print(f"{'model':18s} {'way':14s} {'at 1':>6s} {'at 5':>6s} {'at 10':>6s} {'median rank':>12s} {'seconds':>8s}")
    for name, settings in MODELS.items():
        start = time.process_time()
        *_, (network, _, _) = train_contrastive(pairs, replace(settings, steps=options.steps))
        seconds = time.process_time() - start
        for way, found in measure_contrastive(network, recogniser, test, encoder).items():
            shares = " ".join(f"{found[f'at {k}']:6.3f}" for k in (1, 5, 10))
            print(f"{name:18s} {way:14s} {shares} {found['median rank']:12.0f} {seconds:8.0f}", flush=True)


if __name__ == "__main__":
    main()
