"""Bundle what a run trained: `python tools/bundle.py runs/words`, or the run of an upscaler or an autoencoder.

Networks are stored in bfloat16, which halves their size, and loaded in float32. The log and previews of a model's run
go along. The card, README.md in the same folder, is written by hand.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch

from glyffuser.base.files import atomic_path
from glyffuser.base.weights import weights_hash
from glyffuser.config import BUNDLED
from glyffuser.generate.load import load_pipeline
from glyffuser.networks.build import BESIDE, load_companion

KEPT = "README.md"


def bundle(run: Path, out: Path) -> str:
    """Write the model of a run folder into `out` in one go; returns the hash of its denoising network."""
    pipe = load_pipeline(run).to(torch.bfloat16)
    with atomic_path(out) as temporary:
        pipe.save_pretrained(temporary)
        shutil.copyfile(run / "metrics.jsonl", temporary / "metrics.jsonl")
        shutil.copytree(run / "samples", temporary / "samples")
        shutil.copyfile(out / KEPT, temporary / KEPT)
        for name in BESIDE:
            shutil.copytree(out / name, temporary / name)
        forget_places(temporary)
    return weights_hash(load_pipeline(out).unet)


def bundle_companion(run: Path, out: Path) -> str:
    """Write an upscaler or an autoencoder into its folder in `out`; returns its hash."""
    found = json.loads((run / "model" / "config.json").read_text())["_class_name"]
    name, kind = next((name, kind) for name, kind in BESIDE.items() if kind.__name__ == found)
    network = load_companion(run, kind).to(torch.bfloat16)
    with atomic_path(out / name) as temporary:
        network.save_pretrained(temporary)
        forget_places(temporary)
    return weights_hash(load_companion(out / name, kind))


def forget_places(folder: Path) -> None:
    """Remove from every configuration the path on this machine that diffusers says a network was loaded from."""
    for path in [*folder.rglob("config.json"), *folder.glob("model_index.json")]:
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--out", type=Path, default=BUNDLED, help="the bundled model's folder")
    asked = parser.parse_args()
    write = bundle_companion if (asked.run / "model" / "config.json").is_file() else bundle
    print(f"{asked.out}: {write(asked.run, asked.out)}")
