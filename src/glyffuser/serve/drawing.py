"""Drawing for the studio: one request as a stream of frames, and what the judges say of the finished glyphs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from glyffuser.base.noise import noise_source, seeded
from glyffuser.base.pictures import grey, heat, to_grey
from glyffuser.base.weights import weights_hash
from glyffuser.config import BUNDLED
from glyffuser.data.radicals import RADICALS
from glyffuser.generate.draw import decoded, taken
from glyffuser.generate.edits import edit_settings
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.judge.dictionary import Finder, Found, load_dictionary
from glyffuser.judge.judges import BUNDLED_JUDGES, Judges, load_contrastive, load_judges
from glyffuser.judge.novelty import Ideographs, load_ideographs

LIKE = 4  # real characters named for each glyph
PREVIEW = 0.0  # margin of the levels curve in frames: the network's predictions as they are


class Frame(NamedTuple):
    """The glyphs after some of the steps, uint8 (N, H, W): the noise, then predicted clean ones, then finished ones."""

    step: int
    steps: int
    images: np.ndarray

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.step == self.steps


@dataclass(frozen=True)
class Seen:
    """A finished glyph, uint8 (H, W), and what was read in it.

    heat: the glyph with its flaws in orange; flaws: their score, higher is worse; flagged: worse than 95 % of real
    glyphs; radical: the likeliest, with its number and probability; strokes: how many; nearest: the real character
    nearest in form, with its definition and distance in pixels; exists: whether the glyph is that character;
    looks_like, might_mean: the characters whose pictures, and whose definitions, fit best.
    """

    number: int
    image: np.ndarray
    heat: Image.Image
    flaws: float
    flagged: bool
    radical: str
    radical_number: int
    chance: float
    strokes: float
    nearest: str
    definition: str
    distance: float
    exists: bool
    looks_like: list[Found]
    might_mean: list[Found]

    def facts(self) -> dict[str, Any]:
        """What was read in it, for JSON, without pictures."""
        return {
            "number": self.number,
            "flaws": round(self.flaws, 3),
            "flagged": self.flagged,
            "radical": self.radical,
            "radical_number": self.radical_number,
            "radical_chance": round(self.chance, 4),
            "strokes": round(self.strokes, 1),
            "nearest": {"char": self.nearest, "definition": self.definition, "distance": round(self.distance, 3)},
            "exists": self.exists,
            "looks_like": [found._asdict() for found in self.looks_like],
            "might_mean": [found._asdict() for found in self.might_mean],
        }


@dataclass(frozen=True)
class Artist:
    """A model that draws, and the judges that read."""

    pipe: GlyffuserPipeline
    judges: Judges
    table: Ideographs
    finder: Finder

    @classmethod
    def load(cls, model: str | Path = BUNDLED) -> "Artist":
        """Load a model folder or run folder and the bundled judges. UserError if one cannot be loaded."""
        pipe = load_pipeline(model)
        # Only pictures are looked up, so the finder needs no text encoder of its own.
        finder = Finder(*load_contrastive(), pipe.text_encoder, load_dictionary(BUNDLED_JUDGES / "contrastive"))
        return cls(pipe, load_judges(), load_ideographs(), finder)

    def draw(self, request: Request) -> Iterator[Frame]:
        """Yield a request's frames, the noise and then one per step; the glyphs are those that `sample` draws.

        UserError, before the first frame, for what the model cannot do.
        """
        settings = request.settled(self.pipe.usual).settings() | edit_settings(self.pipe, request)
        steps, generators = taken(settings), [seeded(request.seed, k) for k in range(request.n)]
        channels, side = self.pipe.unet.config.in_channels, self.pipe.unet.config.sample_size
        noise = noise_source([seeded(request.seed, k) for k in range(request.n)], request.n)
        yield Frame(0, steps, grey(decoded(self.pipe, noise(torch.empty(request.n, channels, side, side)))))
        for step in self.pipe.stream([request.prompt] * request.n, generator=generators, alike=True, **settings):
            last = step.i + 1 == steps
            images = decoded(self.pipe, step.x if last else step.x0)
            yield Frame(step.i + 1, steps, to_grey(images) if last else to_grey(images, PREVIEW))

    def read(self, images: np.ndarray) -> list[Seen]:
        """Read finished glyphs, uint8 (N, H, W)."""
        judged, matches = self.judges(images), self.table.nearest(images)
        chances, radicals = judged.radical.exp().max(dim=1)
        fitting = self.finder.by_picture(images, LIKE)
        return [
            Seen(
                number=k,
                image=images[k],
                heat=heat(images[k], judged.maps[k]),
                flaws=float(judged.flaws[k]),
                flagged=bool(judged.flagged[k]),
                radical=RADICALS[int(radicals[k])].form,
                radical_number=RADICALS[int(radicals[k])].number,
                chance=float(chances[k]),
                strokes=float(judged.strokes[k]),
                nearest=match.char,
                definition=self.definition(match.char),
                distance=match.distance,
                exists=match.exists,
                looks_like=fitting[k][0],
                might_mean=fitting[k][1],
            )
            for k, match in enumerate(matches)
        ]

    def definition(self, char: str) -> str:
        """The dictionary's definition of a character; "" if it has none."""
        known = self.finder.dictionary
        row = int(np.searchsorted(known.codepoints, ord(char)))
        return known.definitions[row] if row < len(known) and known.codepoints[row] == ord(char) else ""

    def picture(self, char: str) -> np.ndarray | None:
        """A real character as a picture, uint8 (128, 128): a visitor's machine may have no font for it."""
        rows = np.flatnonzero(self.table.codepoints == ord(char))
        return None if not len(rows) else np.where(self.table.ink(rows[:1])[0], 0, 255).astype(np.uint8)

    def record(self, request: Request) -> dict[str, Any]:
        """What determines a picture, for JSON, as `sample` writes it."""
        sampler = request.sampler or self.pipe.sampler_name
        return request.record() | {"sampler": sampler, "model": weights_hash(self.pipe.unet)}
