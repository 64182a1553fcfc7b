"""`glyffuser label`: choose the better of two glyphs, again and again."""

import contextlib
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from glyffuser.base.errors import UserError
from glyffuser.base.names import SAMPLER_NAMES
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, importing, need_extra, open_pipeline, print_results
from glyffuser.config import DATA
from glyffuser.generate.request import Request

if TYPE_CHECKING:
    from glyffuser.data.pairs import PairFile
    from glyffuser.generate.pairs import PairSource

PERSON, FLAWS = "person", "flaws"
MANY = 256  # pairs to label by flaws if no number is given


@dataclass
class Label:
    """Open a page that shows two glyphs of one meaning, and record which is better, for `glyffuser align`.

    Example: glyffuser label --model runs/mine --out pairs.parquet --open

    Keys: left, right, down or b (both bad), u or backspace (undo). Every choice is saved at once; Ctrl-C stops it, and
    the same command goes on where you were. docs/ALIGN.md describes the file.
    """

    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    prompts: Path | None = None
    """A text file of meanings, one per line; lines that begin with # are left out; default: senses of the training
    characters in --data."""
    data: Annotated[Path, arg(help=f"The data set for meanings; default: {DATA}.")] = DATA
    out: Path = Path("pairs.parquet")
    """The Parquet file; if it already holds pairs, labelling goes on from there."""
    by: str = PERSON
    """Who chooses: person; or flaws: the network that chooses for `sample --best-of`, by how well formed a glyph is."""
    n: Annotated[int | None, arg(name="n", aliases=["-n"])] = None
    """How many pairs to have in all; default: no limit, or 256 by flaws."""
    steps: int | None = None
    """Denoising steps; default: the model's own choice."""
    guidance: float | None = None
    """How strongly the meaning steers; default: the model's own choice."""
    sampler: Annotated[str | None, arg(help=f"One of {', '.join(SAMPLER_NAMES)}; default: the model's own choice.")] = (
        None
    )
    seed: int = 0
    """A different seed gives different pairs."""
    port: int = 0
    """The port of the page; 0: any free port."""
    open: Flag = False
    """Open the page in the browser."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        need_extra("data", "pyarrow")
        if self.by not in (PERSON, FLAWS):
            raise UserError(f"--by can be {PERSON} or {FLAWS}, not {self.by!r}")
        if self.n is not None and self.n < 1:
            raise UserError(f"-n must be 1 or more, not {self.n}")
        if not 0 <= self.port < 2**16:
            raise UserError(f"--port must be between 0 and 65535, not {self.port}")
        with importing():
            from glyffuser.data.pairs import PairFile

        file = PairFile(self.out)
        (self._by_flaws if self.by == FLAWS else self._by_person)(file)
        counts = {choice: sum(pair.choice == choice for pair in file.pairs) for choice in ("left", "right", "bad")}
        facts: dict[str, Any] = {"pairs": str(self.out), "labelled": len(file), **counts}
        line = f"{len(file)} pairs in {self.out}, {counts['bad']} of them both bad"
        print_results(self.json, facts, [line])

    def _source(self, judge: str) -> "PairSource":
        """The source of the pairs; `judge` says who chooses."""
        with importing():
            from glyffuser.generate.pairs import PairSource, known_meanings, read_prompts

        pipe = open_pipeline(self.model)
        if self.prompts is None and not self.data.exists():
            raise UserError(f"{self.data} does not exist; name a file of meanings with --prompts, or another --data")
        prompts = (
            known_meanings(self.data, pipe, self.seed) if self.prompts is None else read_prompts(self.prompts, pipe)
        )
        request = Request(steps=self.steps, guidance=self.guidance, sampler=self.sampler, seed=self.seed)
        return PairSource(pipe, prompts, request, judge)

    def _by_person(self, file: "PairFile") -> None:
        source = self._source(PERSON)
        from glyffuser.serve.desk import Desk
        from glyffuser.serve.label import serving

        with contextlib.suppress(KeyboardInterrupt), serving(Desk(source, file, self.n), self.port) as server:
            address = f"http://127.0.0.1:{server.server_port}/"
            print(f"label at {address} (Ctrl-C stops it)", file=sys.stderr, flush=True)
            if self.open:
                webbrowser.open(address)
            server.serve_forever()

    def _by_flaws(self, file: "PairFile") -> None:
        with importing():
            from glyffuser.base.weights import weights_hash
            from glyffuser.generate.pairs import by_flaws
            from glyffuser.judge.judges import load_selector

        judge = load_selector().plausibility
        source = self._source(f"{FLAWS} {weights_hash(judge)}")
        file.check(source.blank(0))
        wanted = MANY if self.n is None else self.n
        with contextlib.suppress(KeyboardInterrupt), Progress("labelling") as progress:
            while file.next < wanted:
                pair = source.draw(file.next)
                file.add(source.chosen(pair, by_flaws(pair, judge)))
                progress(file.next, wanted)
