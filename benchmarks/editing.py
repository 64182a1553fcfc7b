"""Editing, measured: how best to resample held parts, what `--with` brings, and which mixture brings both meanings.

    python benchmarks/editing.py hold|with|mix [--model FOLDER] [--steps 20] [--per-case 8] [--only TEXT]

One table each. All have a column of glyphs flagged as implausible, `hold` also one of network evaluations per glyph.

hold: `exact` is the share of glyphs whose held part equals that of the picture, after the levels curve; `go on` the
share of strokes cut by the border of the held part that continue on its other side; `run into` the ink just outside the
border that meets held paper, in pixels per glyph.
with, mix: a linear reader of components on the recogniser's features, first fitted to real glyphs, says which parts a
glyph contains; its own hits and false alarms on held-out real glyphs are printed above the table.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glyffuser.base.noise import noise_source, seeded
from glyffuser.base.pictures import from_grey, to_grey
from glyffuser.config import BUNDLED, DATA, GUIDANCE, INTERVAL, SAMPLER
from glyffuser.data.components import components
from glyffuser.data.dataset import load_dataset
from glyffuser.data.fonts import Rasteriser, default_font
from glyffuser.data.standing import side_of
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.editing import Edit, Sampler, composed
from glyffuser.diffusion.guidance import Denoiser, classifier_free
from glyffuser.diffusion.samplers import SAMPLERS, Step, dpmpp_2m_sde
from glyffuser.generate.draw import draw
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.judges import Judges, load_judges


class Held(NamedTuple):
    """A picture (H, H), the part of it that is held (H, H), and the prompt for the rest."""

    picture: np.ndarray
    kept: np.ndarray
    prompt: str


def held_cases(size: int) -> list[Held]:
    """Four parts of characters, and four halves that cut through strokes."""
    rasteriser = Rasteriser(default_font(), size)
    cases = []
    for char, side, prompt in (
        ("湖", "left", "fire"),
        ("想", "bottom", "bird"),
        ("刻", "right", "grass"),
        ("雪", "top", "gold"),
    ):
        picture = rasteriser.render(char)
        cases.append(Held(picture, side_of(rasteriser, char, picture, side), prompt))
    for char, axis, prompt in (("東", 1, "tree"), ("書", 0, "horse"), ("黃", 0, "fish"), ("事", 1, "silk")):
        half = np.arange(size) < size // 2
        cases.append(
            Held(rasteriser.render(char), np.broadcast_to(half if axis else half[:, None], (size, size)), prompt)
        )
    return cases


def over_the_border(glyph: np.ndarray, kept: np.ndarray) -> tuple[int, int, int]:
    """Count pixel pairs across the border of the held part: ink on both sides, held ink that ends there, and ink that
    runs into held paper.
    """
    both = ends = runs = 0
    for axis in (0, 1):
        ink, paper = glyph < 100, glyph > 155
        for held, free in (((slice(None, -1)), slice(1, None)), (slice(1, None), slice(None, -1))):
            here, there = [(slice(None), s)[::-1] if axis == 0 else (slice(None), s) for s in (held, free)]
            border = kept[here] & ~kept[there]
            both += int((border & ink[here] & ink[there]).sum())
            ends += int((border & ink[here] & paper[there]).sum())
            runs += int((border & paper[here] & ink[there]).sum())
    return both, ends, runs


def hold(pipe: GlyffuserPipeline, judges: Judges, steps: int, n: int, only: str) -> None:
    """Print the table of resampling."""
    ways = {
        "held, no resampling": (steps, 1, 1),
        "held, no resampling, steps x 3": (3 * steps, 1, 1),
        "three times, stretches of 1": (steps, 3, 1),
        "three times, stretches of 5": (steps, 3, 5),
        "five times, stretches of 5": (steps, 5, 5),
    }
    cases = held_cases(pipe.unet.config.sample_size)
    print(f"{'way':34s} {'exact %':>7s} {'flagged %':>9s} {'go on %':>8s} {'run into px':>11s} {'calls':>6s}")
    for name, (count, times, length) in ways.items():
        if only not in name:
            continue
        glyphs, exact, border = [], 0, np.zeros(3)
        for case in cases:
            image = from_grey(case.picture[None])
            edit = Edit(image, 1.0, torch.from_numpy(case.kept.copy())[None, None], times, length)
            generators = [seeded(0, k) for k in range(n)]
            for step in pipe.stream([case.prompt] * n, num_inference_steps=count, generator=generators, edit=edit):
                x = step.x
            drawn, wanted = to_grey(x), to_grey(image)[0]
            exact += int((drawn == wanted)[:, case.kept].all(axis=1).sum())
            border += np.sum([over_the_border(glyph, case.kept) for glyph in drawn], axis=0)
            glyphs.append(drawn)
        flagged = 100 * judges(np.concatenate(glyphs)).flagged.double().mean()
        total = n * len(cases)
        print(
            f"{name:34s} {100 * exact / total:7.1f} {flagged:9.1f} {100 * border[0] / (border[0] + border[1]):8.1f} "
            f"{border[2] / total:11.2f} {count * times:6d}",
            flush=True,
        )
    real = np.stack([case.picture for case in cases])
    border = np.sum([over_the_border(case.picture, case.kept) for case in cases], axis=0)
    flagged = 100 * judges(real).flagged.double().mean()
    print(
        f"{'the pictures themselves':34s} {100:7.1f} {flagged:9.1f} {100 * border[0] / (border[0] + border[1]):8.1f} "
        f"{border[2] / len(cases):11.2f}"
    )


class Reader:
    """A linear reader, on the recogniser's features, of which groups of components ("火灬" for fire) are in a glyph."""

    def __init__(self, judges: Judges, groups: Sequence[str], data: Path):
        self.judges, self.groups = judges, groups
        train, test = (load_dataset(data, split) for split in ("train", "test"))
        train = train.select(np.random.default_rng(0).permutation(len(train))[:8000])
        x, y = self.features(train.images), self.labels(train.chars)
        self.mean, self.scale = x.mean(dim=0), x.std(dim=0) + 1e-3
        torch.manual_seed(0)
        self.head = torch.nn.Linear(x.shape[1], len(groups))
        optimizer = torch.optim.AdamW(self.head.parameters(), lr=0.02, weight_decay=0.05)
        for _ in range(300):
            loss = F.binary_cross_entropy_with_logits(self.head((x - self.mean) / self.scale), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        found, there = self(test.images), self.labels(test.chars).bool()
        hits, alarms = found[there].double().mean(), found[~there].double().mean()
        print(
            f"the reader finds {100 * hits:.1f} % of the parts in held-out characters, and {100 * alarms:.2f} % wrongly"
        )

    def features(self, images: np.ndarray) -> Tensor:
        """The features of pictures (N, H, H): (N, 2 D)."""
        features = self.judges.recogniser.read(images).features
        return torch.cat([features, features.relu()], dim=1)

    def labels(self, chars: Sequence[str]) -> Tensor:
        """Which groups are in characters, 0 or 1 (N, groups)."""
        return torch.tensor([[float(bool(components(c) & set(g)) or c in g) for g in self.groups] for c in chars])

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> Tensor:
        """Which groups are in pictures (N, H, H): bool (N, groups)."""
        return self.head((self.features(images) - self.mean) / self.scale) > 0


WITH = (  # part, radicals of which it is a form, prompt
    ("氵", (85,), "a kind of fish"),
    ("疒", (104,), "a strong horse"),
    ("艹", (140,), "gold"),
    ("火", (86,), "a small stone"),
    ("辶", (162,), "a singing bird"),
    ("心", (61,), "a tall tree"),
)


def with_part(pipe: GlyffuserPipeline, judges: Judges, steps: int, n: int, only: str) -> None:
    """Print the table of parts by name."""
    reader = Reader(judges, [part for part, *_ in WITH], DATA)
    ways: dict[str, dict] = {
        "no part named": {},
        "part named, the text alone": {"part": True},
        "part named, its radical told": {"part": True, "radical": 1},
    }
    print(f"{'way':34s} {'part %':>7s} {'radical %':>9s} {'meaning %':>9s} {'flagged %':>9s}")
    for name, how in ways.items():
        if only not in name:
            continue
        glyphs, found, hits, meant = [], 0.0, 0.0, 0.0
        for i, (part, radicals, prompt) in enumerate(WITH):
            radical = radicals[0] if how.get("radical") else how.get("radical")
            parts = (part,) if how.get("part") else ()
            drawn = draw(pipe, [prompt] * n, Request(steps=steps, radical=radical, parts=parts))
            glyphs.append(drawn)
            judged = judges(drawn)
            found += float(reader(drawn)[:, i].double().sum())
            hits += float(judged.hits(radicals).double().sum())
            expected = judges.expect(pipe.text_encoder, [prompt])[0].argmax() + 1
            meant += float((judged.radical.topk(2).indices + 1 == expected).any(dim=1).double().sum())
        flagged = 100 * judges(np.concatenate(glyphs)).flagged.double().mean()
        total = n * len(WITH) / 100
        print(f"{name:34s} {found / total:7.1f} {hits / total:9.1f} {meant / total:9.1f} {flagged:9.1f}", flush=True)


PAIRS = (  # two prompts, each with the components that show its meaning
    ("fire", "火灬", "water", "氵水氺"),
    ("gold", "金釒钅", "fish", "魚鱼"),
    ("tree", "木", "horse", "馬马"),
    ("bird", "鳥鸟", "stone", "石"),
)


def alternating(pipe: GlyffuserPipeline, both: Condition, n: int, steps: int) -> Tensor:
    """n glyphs, guided by the first prompt in every other step and by the second in the others."""
    D = classifier_free(pipe.denoiser(), GUIDANCE, pipe.condition([""]), INTERVAL)
    calls = 0

    def turns(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        nonlocal calls
        calls += 1
        first = calls % 2 * n
        return D(x, sigma, both[slice(first, first + n)])

    return last(dpmpp_2m_sde, turns, pipe, None, n, steps)


def last(sampler: Sampler, D: Denoiser, pipe: GlyffuserPipeline, cond: Condition | None, n: int, steps: int) -> Tensor:
    """The glyphs of seed 0 as a sampler draws them."""
    noise = noise_source([seeded(0, k) for k in range(n)], n)
    size, sigmas = pipe.unet.config.sample_size, pipe.schedule.sigmas(steps)
    step: Step
    for step in sampler(D, sigmas[0] * noise(torch.empty(n, 1, size, size)), sigmas, cond, noise):
        x = step.x
    return x


def mixed(pipe: GlyffuserPipeline, one: str, two: str, n: int, steps: int) -> Iterator[tuple[str, np.ndarray]]:
    """Ways to ask for two things at once, and n glyphs of each."""
    request, sampler = Request(steps=steps), SAMPLERS[SAMPLER]
    yield "one prompt, with a comma", draw(pipe, [f"{one}, {two}"] * n, request)
    both, empty = pipe.condition([one, two], n), pipe.condition([""])
    yield "in turns, a step each", to_grey(alternating(pipe, both, n, steps))
    for name, weight in (("denoisers, weights 0.5", 0.5), ("denoisers, weights 1", 1.0)):
        D = composed(pipe.denoiser(), torch.full((2, n), weight), GUIDANCE, empty, INTERVAL)
        yield name, to_grey(last(sampler, D, pipe, both, n, steps))
    halves = replace(both[slice(0, n)].cat(both[slice(n, None)]))
    joined = joined_texts(halves, n)
    D = classifier_free(pipe.denoiser(), GUIDANCE, empty, INTERVAL)
    yield "states of both texts, vector of the first", to_grey(last(sampler, D, pipe, joined, n, steps))


def joined_texts(both: Condition, n: int) -> Condition:
    """The token states of two prompts end to end, with the vector of the first."""
    one, two = both[slice(0, n)], both[slice(n, None)]
    return replace(one, states=torch.cat([one.states, two.states], 1), mask=torch.cat([one.mask, two.mask], 1))


def mix(pipe: GlyffuserPipeline, judges: Judges, steps: int, n: int, only: str) -> None:
    """Print the table of mixtures."""
    reader = Reader(judges, [group for pair in PAIRS for group in pair[1::2]], DATA)
    table: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for i, (one, _, two, _) in enumerate(PAIRS):
        for name, drawn in mixed(pipe, one, two, n, steps):
            found = reader(drawn)[:, 2 * i : 2 * i + 2]
            table.setdefault(name, []).append((found, judges(drawn).flagged))
    print(f"{'way':41s} {'first %':>8s} {'second %':>8s} {'both %':>7s} {'flagged %':>9s}")
    for name, rows in table.items():
        if only not in name:
            continue
        found, flagged = (torch.cat(column).double() for column in zip(*rows, strict=True))
        first, second = found.mean(dim=0)
        both = found.prod(dim=1).mean()
        print(
            f"{name:41s} {100 * first:8.1f} {100 * second:8.1f} {100 * both:7.1f} {100 * flagged.mean():9.1f}",
            flush=True,
        )


def main() -> None:
    """Print the table asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["hold", "with", "mix"])
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--per-case", type=int, default=8)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    table = {"hold": hold, "with": with_part, "mix": mix}[options.what]
    table(load_pipeline(options.model), load_judges(), options.steps, options.per_case, options.only)


if __name__ == "__main__":
    main()
