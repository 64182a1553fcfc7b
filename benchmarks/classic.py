"""The classic recipe against the preset `cpu`: glyphs per second in training and sampling, on this machine, in one run.

    python benchmarks/classic.py [--data data/glyphs.parquet] [--batch 1] [--repeats 3] [--steps 4]

The classic recipe is put together from diffusers' parts as in its published training notebooks: a UNet2DConditionModel
of 131 M parameters on plain pixels, which predicts the noise of DDPM's linear schedule, in float32, under AdamW; PNGs
are opened one by one, and texts are encoded within the step, by an encoder the size of T5-base (with random weights,
which cost the same). It draws with DPM-Solver++ in 20 steps with guidance; `--steps` of them are timed, for one glyph,
and the rest is extrapolated. Ours trains on glyphs of random pixels at its own batch size and draws with the bundled
model at default settings.
"""

import argparse
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from PIL import Image
from torch import Tensor
from transformers import T5Config, T5EncoderModel

from glyffuser.bench.table import Table
from glyffuser.bench.timing import Times, alternated, clock, timed
from glyffuser.bench.training import parameters, whole_step
from glyffuser.config import DATA, preset
from glyffuser.data.dataset import GlyphData, load_dataset
from glyffuser.generate.draw import BATCH, draw
from glyffuser.generate.load import load_pipeline
from glyffuser.text.encoder import TextEncoder

FILES = 64  # glyphs that are written as PNGs, to be opened again
GUIDANCE, STEPS = 7.5, 20
PROMPT = "a kind of fish"


def classic_network(width: int = 768) -> UNet2DConditionModel:
    """The network: four levels, attention to the text in the third; `width` is that of the token states."""
    return UNet2DConditionModel(
        sample_size=128,
        in_channels=1,
        out_channels=1,
        layers_per_block=2,
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownBlock2D", "DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        cross_attention_dim=width,
    )


class Texts:
    """Token states of texts, computed anew each time."""

    def __init__(self) -> None:
        self.tokenizer = TextEncoder().tokenizer  # not T5's, but with as many tokens per text
        sizes = T5Config(vocab_size=32_128, d_model=768, d_ff=3072, d_kv=64, num_layers=12, num_heads=12)
        self.encoder = T5EncoderModel(sizes).eval()

    def __call__(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """States (B, L, 768) and mask (B, L)."""
        tokens = self.tokenizer(texts, padding=True, truncation=True, max_length=96, return_tensors="pt")
        with torch.no_grad():
            states = self.encoder(tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        return states, tokens["attention_mask"]


class ClassicTraining:
    """One optimiser step, on the next glyphs of a folder of PNGs."""

    def __init__(self, network: UNet2DConditionModel, texts: Texts, data: GlyphData, folder: Path, batch: int):
        self.network, self.texts, self.data, self.folder, self.batch = network, texts, data, folder, batch
        self.scheduler = DDPMScheduler(num_train_timesteps=1000)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)
        self.next = count()
        for i in range(FILES):
            Image.fromarray(data.images[i]).save(folder / f"{i}.png")

    def __call__(self) -> None:
        rows = [next(self.next) % FILES for _ in range(self.batch)]
        pictures = [np.asarray(Image.open(self.folder / f"{row}.png"), np.float32) / 127.5 - 1 for row in rows]
        clean = torch.from_numpy(np.stack(pictures))[:, None]
        states, mask = self.texts([self.data.definitions[row] for row in rows])
        noise, t = torch.randn_like(clean), torch.randint(0, 1000, (self.batch,))
        noised = self.scheduler.add_noise(clean, noise, t)
        answer = self.network(noised, t, states, encoder_attention_mask=mask, return_dict=False)[0]
        F.mse_loss(answer, noise).backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def classic_sampling(network: UNet2DConditionModel, texts: Texts, steps: int) -> Callable[[], None]:
    """A function that takes the first `steps` of 20 guided steps for one glyph."""
    scheduler = DPMSolverMultistepScheduler(num_train_timesteps=1000)

    def work() -> None:
        scheduler.set_timesteps(STEPS)
        states, mask = texts(["", PROMPT])
        x = torch.randn(1, 1, 128, 128)
        for t in scheduler.timesteps[:steps]:
            with torch.no_grad():
                both = network(torch.cat([x, x]), t, states, encoder_attention_mask=mask, return_dict=False)[0]
            away, towards = both.chunk(2)
            x = scheduler.step(away + GUIDANCE * (towards - away), t, x, return_dict=False)[0]

    return work


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="the data set")
    parser.add_argument("--batch", type=int, default=1, help="glyphs a step of the classic recipe")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="steps of 20 that are timed")
    parser.add_argument("--processor-time", action="store_true", help="as in `glyffuser bench`")
    options = parser.parse_args()
    now, texts, network = clock(options.processor_time), Texts(), classic_network()
    millions = sum(weight.numel() for weight in network.parameters()) / 1e6
    ours, pipe = whole_step(preset("cpu")), load_pipeline()
    table = Table("The classic recipe and ours", ("what", "M parameters", "measured", "spread", "ratio"))
    with tempfile.TemporaryDirectory() as folder:
        theirs = ClassicTraining(network, texts, load_dataset(options.data, "train"), Path(folder), options.batch)
        times, own = alternated(theirs, ours, options.repeats, now)
    slow, quick = options.batch / times.median, len(ours.batch.x0) / own.median
    table.add("classic, training, glyphs/s", millions, slow, times.spread, 1.0)
    table.add("preset cpu, training, glyphs/s", parameters(ours) / 1e6, quick, own.spread, quick / slow)
    found = timed(classic_sampling(network, texts, options.steps), options.repeats, now)
    classic = Times(tuple(s * STEPS / options.steps * BATCH for s in found.seconds))
    drawn = timed(lambda: draw(pipe, [PROMPT] * BATCH), options.repeats, now)
    size = sum(weight.numel() for weight in pipe.unet.parameters()) / 1e6
    table.add("classic, 16 glyphs in 20 steps, s, extrapolated", millions, classic.median, classic.spread, 1.0)
    table.add("bundled model, 16 glyphs, s", size, drawn.median, drawn.spread, classic.median / drawn.median)
    clocked = "the processor's time" if options.processor_time else "the clock"
    table.notes = [
        f"{torch.get_num_threads()} threads, by {clocked}; the classic recipe at batch {options.batch}, "
        f"{options.steps} of {STEPS} steps timed for one glyph; ours at batch {len(ours.batch.x0)}."
    ]
    print("\n".join(table.lines()))


if __name__ == "__main__":
    main()
