"""Training and sampling speed of network variants, as a table; ratios are to the first row, within one run.

    python benchmarks/throughput.py [--steps 5] [--batch 64]

Run it alone on the machine; other work makes the numbers worse, though hardly the ratios. For whole presets, and what
they make of the machine, see `glyffuser bench training`.
"""

import argparse
from dataclasses import asdict

import torch
import torch.nn.functional as F

from glyffuser.base.memory import keep_freed_memory
from glyffuser.bench.timing import Clock, clock, timed
from glyffuser.config import ModelConfig
from glyffuser.diffusion.process import Process
from glyffuser.networks import layers
from glyffuser.networks.build import build_network
from glyffuser.train.optimizer import Muon, split_parameters

# The prototype's network, then one change at a time, then the `cpu` preset.
PROTOTYPE = {
    "block_out_channels": (96, 160),
    "attention_levels": (True, True),
    "attention_head_dim": 32,
    "mlp_ratio": 0.0,
}
COARSE = {**PROTOTYPE, "attention_levels": (False, True)}
WIDE = {"block_out_channels": (128, 256), "attention_levels": (False, True), "attention_head_dim": 64, "mlp_ratio": 2.0}
VARIANTS: list[tuple[str, dict, dict]] = [
    ("prototype, fused attention", PROTOTYPE, {"fused": True}),
    ("plain attention", PROTOTYPE, {}),
    ("plain attention, channels last", PROTOTYPE, {"channels_last": True}),
    ("attention at the coarse level only", COARSE, {}),
    ("the same in float32", COARSE, {"dtype": torch.float32}),
    ("wider: 128/256, MLP", WIDE, {}),
    ("each pixel normalised", {**WIDE, "norm_groups": 0}, {}),
    # Memory once kept stays kept, so these come last.
    ("freed memory kept", {**WIDE, "norm_groups": 0}, {"keep": True}),
    ("cpu preset: and Muon for AdamW", {**WIDE, "norm_groups": 0}, {"keep": True, "muon": True}),
]


def fused_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """torch's own kernel, in place of `plain_attention`."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def measure(
    config: dict,
    batch: int,
    repeats: int,
    now: Clock,
    fused: bool = False,
    channels_last: bool = False,
    dtype: torch.dtype = torch.bfloat16,
    keep: bool = False,
    muon: bool = False,
) -> tuple[float, float, float]:
    """Parameters (millions), glyphs trained per second, glyphs denoised per second."""
    torch.manual_seed(0)
    plain = layers.plain_attention
    layers.plain_attention = fused_attention if fused else plain
    network = build_network(**asdict(ModelConfig()) | config, **Process().to_config(), cross_attention_dim=384)
    if channels_last:
        network.to(memory_format=torch.channels_last)
    if keep:
        keep_freed_memory()
    optimizer: torch.optim.Optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    if muon:
        optimizer = Muon(*split_parameters(network), lr=1e-4)
    x, t = torch.randn(batch, 1, 128, 128), torch.rand(batch) * 1000
    states, mask = torch.randn(batch, 16, 384), torch.ones(batch, 16, dtype=torch.bool)

    def forward() -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            return network(x, t, states, mask, return_dict=False)[0]

    def train() -> None:
        (forward().float() - x).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    def denoise() -> None:
        with torch.no_grad():
            forward()

    result = [batch / timed(work, repeats, now, warm=2).median for work in (train, denoise)]
    layers.plain_attention = plain
    return sum(p.numel() for p in network.parameters()) / 1e6, result[0], result[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5, help="timed steps a row")
    parser.add_argument("--batch", type=int, default=64, help="glyphs a step")
    parser.add_argument("--processor-time", action="store_true", help="as in `glyffuser bench`")
    arguments = parser.parse_args()
    now = clock(arguments.processor_time)
    print(f"{'network':36} {'M param':>8} {'train/s':>8} {'ratio':>6} {'denoise/s':>10}")
    first = None
    for name, config, how in VARIANTS:
        millions, train, denoise = measure(config, arguments.batch, arguments.steps, now, **how)
        first = first or train
        print(f"{name:36} {millions:8.1f} {train:8.1f} {train / first:6.2f} {denoise:10.1f}", flush=True)


if __name__ == "__main__":
    main()
