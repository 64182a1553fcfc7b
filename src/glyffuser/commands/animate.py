"""`glyffuser animate`: films of glyphs."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from glyffuser.base.errors import UserError
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, importing, need_extra, open_pipeline, print_results
from glyffuser.generate.request import Request


@dataclass
class Animate:
    """Make a film of glyphs: coming out of noise, or one becoming another.

    Example: glyffuser animate "gold" --steps 120 --out gold.mp4

    A film of denoising has one frame per step. --between goes from one meaning to another, --seeds from one glyph of a
    meaning to another, --styles from one hand to another. A poster, one frame as PNG, is written beside the film.
    """

    prompt: Positional[str] = ""
    """An English meaning, in quotes."""
    show: str = "x0"
    """For denoising: xt (the noised glyphs), x0 (what the network expects them to become), or both."""
    between: tuple[str, str] | None = None
    """Two meanings: a path from one to the other."""
    seeds: tuple[int, int] | None = None
    """Two seeds: a path from the glyphs of one to those of the other."""
    styles: tuple[str, str] | None = None
    """Two styles of a model that knows several: a path from one hand to the other."""
    loop: Flag = False
    """Go there and back, so that the film repeats without a jump."""
    out: Path = Path("glyphs.mp4")
    """The film: .mp4, .webm, .webp or .gif."""
    n: Annotated[int | None, arg(name="n", aliases=["-n"])] = None
    """Glyphs in the film; default: 16, or 4 on a path."""
    steps: int | None = None
    """Denoising steps; default: the model's own choice."""
    frames: int = 48
    """Frames of a path."""
    fps: float = 24.0
    """Frames per second, 1 to 60."""
    sampler: str | None = None
    """As in sample; default: the model's own choice."""
    guidance: float | None = None
    """How strongly the prompt steers; 1 = off; default: the model's own choice."""
    seed: int = 0
    """A different seed gives different glyphs."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        self._check()
        if self.out.suffix.lower() in (".mp4", ".webm"):
            need_extra("export", "av")
        with importing():
            from glyffuser.base.files import atomic_path, output_folder
            from glyffuser.base.films import write_film, writer

        writer(self.out)
        output_folder(self.out.parent)
        if self.out.is_dir():
            raise UserError(f"{self.out} is a folder, not a file; choose another --out")
        pipe = open_pipeline(self.model)
        with Progress("denoising") as progress:
            film = self._film(pipe, progress)
        write_film(film.frames, self.fps, self.out)
        poster = self.out.with_name(f"{self.out.stem}-poster.png")
        with atomic_path(poster) as temporary:
            film.frames[film.poster].save(temporary)
        size = self.out.stat().st_size
        facts = {"film": str(self.out), "bytes": size, "frames": len(film.frames), "poster": str(poster)}
        seconds = len(film.frames) / self.fps
        lines = [f"{self.out}: {len(film.frames)} frames, {seconds:.1f} s, {size / 1e6:.2f} MB; poster: {poster}"]
        print_results(self.json, facts, lines)

    def _check(self) -> None:
        """UserError for settings that do not go together."""
        if len([ends for ends in (self.between, self.seeds, self.styles) if ends is not None]) > 1:
            raise UserError("--between, --seeds and --styles are kinds of path; give one of them")
        if self.between is not None and self.prompt:
            raise UserError("--between names both meanings; leave out the prompt")
        if self.between is None and not self.prompt:
            raise UserError('give an English meaning, for example: glyffuser animate "gold"')
        if not 2 <= self.frames <= 1000:
            raise UserError(f"--frames must be between 2 and 1000, not {self.frames}")
        if not (math.isfinite(self.fps) and 1 <= self.fps <= 60):
            raise UserError(f"--fps must be between 1 and 60, not {self.fps:g}")
        if not all(0 <= seed < 2**64 for seed in self.seeds or ()):
            raise UserError("the seeds must be between 0 and 2^64 - 1")

    def _film(self, pipe: Any, progress: Progress) -> Any:
        from glyffuser.export.animation import denoising, path, positions

        on_path = any(ends is not None for ends in (self.between, self.seeds, self.styles))
        n = self.n if self.n is not None else 4 if on_path else 16
        request = Request(self.prompt, n, self.steps, self.sampler, guidance=self.guidance, seed=self.seed)
        if on_path:
            prompts = self.between or (self.prompt, self.prompt)
            seeds = self.seeds or (self.seed, self.seed)
            styles = self.styles or (None, None)
            start, end = (
                replace(request, prompt=p, seed=seed, style=style)
                for p, seed, style in zip(prompts, seeds, styles, strict=True)
            )
            return path(pipe, start, end, positions(self.frames, self.loop), progress)
        film = denoising(pipe, request, self.show, progress)
        return film.held(round(self.fps / 2)).there_and_back() if self.loop else film.held(round(self.fps))
