"""`glyffuser sample`: draw glyphs."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from glyffuser.base.errors import UserError
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, open_pipeline, print_results
from glyffuser.config import GUIDANCE, STEPS


@dataclass
class Sample:
    """Draw glyphs for one or more English meanings.

    Example: glyffuser sample "gold" "a kind of fish" -n 16

    Writes one PNG a glyph, a grid a prompt and a JSON with the settings. The same command gives the same pictures.
    """

    prompts: Positional[tuple[str, ...]]
    """English meanings, each in quotes."""
    n: Annotated[int, arg(name="n", aliases=["-n"])] = 16
    """Glyphs a prompt."""
    steps: int = STEPS
    """Denoising steps."""
    sampler: str | None = None
    """ddpm, ddim, euler, heun, dpm++2m or dpm++2m-sde; default: the model's own choice."""
    guidance: float = GUIDANCE
    """How strongly the prompt steers; 1 = off."""
    negative: str | None = None
    """A meaning to steer away from."""
    seed: int = 0
    """Another seed, other glyphs."""
    out: Path = Path("out")
    """Folder for the pictures."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    radical: int | None = None
    """Kangxi number of the radical, 1 to 214 (167 is metal); default: what fits the meaning."""
    best_of: int = 1
    """Draw so many times as many, and keep those that are best by form and meaning."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        if not self.prompts:
            raise UserError('give at least one English meaning, for example: glyffuser sample "gold"')
        from glyffuser.generate.files import SampleSettings, sample_to_folder

        pipe = open_pipeline(self.model)
        settings = SampleSettings(
            n=self.n,
            steps=self.steps,
            sampler=self.sampler,
            guidance=self.guidance,
            negative_prompt=self.negative,
            seed=self.seed,
            best_of=self.best_of,
            radical=self.radical,
        )
        with Progress("denoising") as progress:
            results = sample_to_folder(pipe, list(self.prompts), settings, self.out, progress)
        lines = [f"{r.prompt}: {len(r.glyphs)} glyphs in {r.seconds:.1f} s, all in {r.grid}" for r in results]
        print_results(self.json, [dataclasses.asdict(r) for r in results], lines)
