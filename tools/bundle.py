"""Make a run's model the bundled one: `python tools/bundle.py runs/words`.

Networks are stored in bfloat16, which halves them; `load_pipeline` opens them in float32. The run's log and previews go
along. The card, README.md in the same folder, is written by hand.
"""

import argparse
import shutil
from pathlib import Path

import torch

from glyffuser.base.files import atomic_path
from glyffuser.base.weights import weights_hash
from glyffuser.config import BUNDLED
from glyffuser.generate.load import load_pipeline

KEPT = "README.md"


def bundle(run: Path, out: Path) -> str:
    """Write the model of a run folder into `out`, at once; returns the hash of its denoising network."""
    pipe = load_pipeline(run).to(torch.bfloat16)
    with atomic_path(out) as temporary:
        pipe.save_pretrained(temporary)
        shutil.copyfile(run / "metrics.jsonl", temporary / "metrics.jsonl")
        shutil.copytree(run / "samples", temporary / "samples")
        shutil.copyfile(out / KEPT, temporary / KEPT)
    return weights_hash(load_pipeline(out).unet)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="the bundled model's folder")
    asked = parser.parse_args()
    print(f"{asked.out}: {bundle(asked.run, asked.out)}")
