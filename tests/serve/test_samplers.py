"""The explorer's samplers in TypeScript, compared with Python's by a file of numbers that both read.

python tests/serve/test_samplers.py     rewrites the file
"""

import json
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import classifier_free
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.diffusion.schedules import Schedule

WEB = Path(__file__).parents[2] / "web"
FILE = WEB / "test" / "samplers.json"
NAMES = ("dpm++2m-sde", "ddpm", "ddim", "euler")
STEPS, SIZE, SPREAD, MEANS, GUIDANCE, INTERVAL, ETA = 12, 6, 0.6, (-0.5, 0.7), 2.0, (0.3, 20.0), 3.0


def gaussian(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
    """The denoiser of Gaussian data, whose mean the condition names: "states" (B, 1, 1)."""
    assert cond is not None
    s2, mean = SPREAD**2, cond.states[:, :, None]
    return ((s2 * x + sigma**2 * mean) / (s2 + sigma**2)).to(x.dtype)


def numbers() -> dict[str, Any]:
    """Noise, noise levels, and what each sampler makes of them."""
    source = torch.Generator().manual_seed(0)
    start = torch.randn(SIZE, generator=source)
    noise = torch.randn(STEPS, SIZE, generator=source)
    sigmas = Schedule("flow", shift=3.0).sigmas(STEPS)
    negative, cond = (Condition(torch.full((1, 1, 1), m), torch.ones(1, 1, dtype=torch.bool)) for m in MEANS)
    guided = classifier_free(gaussian, GUIDANCE, negative, INTERVAL)
    results = {}
    for name in NAMES:
        fresh, draw = iter(noise), partial(SAMPLERS[name], eta=ETA) if name == "dpm++2m-sde" else SAMPLERS[name]
        x = (sigmas[0] * start).float().reshape(1, 1, 1, SIZE)
        steps = list(draw(guided, x, sigmas, cond, lambda x, *_, fresh=fresh: next(fresh).reshape(x.shape)))
        results[name] = steps[-1].x.flatten().tolist()
    told = {"start": start.tolist(), "noise": noise.tolist(), "sigmas": sigmas.tolist(), "spread": SPREAD}
    return told | {"eta": ETA, "means": MEANS, "guidance": GUIDANCE, "interval": INTERVAL, "results": results}


def test_the_file_holds_what_the_samplers_give():
    kept, now = json.loads(FILE.read_text(encoding="utf-8")), numbers()
    for name in ("start", "noise", "sigmas"):
        assert torch.allclose(torch.tensor(kept[name]), torch.tensor(now[name]), atol=1e-5, rtol=1e-5)
    for name, value in kept["results"].items():
        assert torch.allclose(torch.tensor(value), torch.tensor(now["results"][name]), atol=1e-4)
    assert kept["results"].keys() == now["results"].keys()


@pytest.mark.skipif(shutil.which("npx") is None or not (WEB / "node_modules").is_dir(), reason="no node, or no npm ci")
def test_typescript_agrees():
    done = subprocess.run(["npx", "vitest", "run"], cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


if __name__ == "__main__":
    FILE.write_text(json.dumps(numbers()) + "\n", encoding="utf-8")
