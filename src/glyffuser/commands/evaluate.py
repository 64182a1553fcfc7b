"""`glyffuser evaluate`: measure a model. `judge`: read pictures. `judges`: train the networks that do both."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from glyffuser.base.errors import UserError
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, open_pipeline, print_results
from glyffuser.config import DATA


@dataclass
class Evaluate:
    """Measure a model: meaning, form, novelty, variety, distribution, each beside what real glyphs reach.

    Example: glyffuser evaluate --model runs/mine --out eval/

    Prints a table and writes evaluation.json and evaluation.html (with the pictures). Same seed, same numbers.
    """

    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    data: Path = DATA
    """The data set, for real glyphs to compare with; made by: glyffuser dataset build."""
    out: Path = Path("eval")
    """Folder for the report."""
    quick: Flag = False
    """Fewer glyphs, 15 steps, no curves: a fifth of the time."""
    per_prompt: int | None = None
    """Glyphs for each of the 80 prompts; default: 4."""
    definitions: int | None = None
    """Held-out definitions, a glyph each, that are compared with real glyphs; default: 420."""
    steps: int | None = None
    """Denoising steps; default: as in sample."""
    guidance: float | None = None
    """How strongly the prompt steers; default: as in sample."""
    sampler: str | None = None
    """As in sample; default: the model's own choice."""
    seed: int = 0
    """Of noise and of the choice of definitions."""
    judges: Path | None = None
    """A folder that `glyffuser judges` wrote; default: the bundled judges."""
    json: Flag = False
    """Print the numbers as JSON."""

    def run(self) -> None:
        from glyffuser.data.dataset import load_dataset
        from glyffuser.evaluate.measure import QUICK, EvaluationSettings, evaluate
        from glyffuser.evaluate.report import lines, write_report
        from glyffuser.judge.judges import BUNDLED_JUDGES, load_judges

        pipe, judges = open_pipeline(self.model), load_judges(self.judges or BUNDLED_JUDGES)
        training, held_out = load_dataset(self.data, "train"), load_dataset(self.data, "test")
        asked = {k: getattr(self, k) for k in ("per_prompt", "definitions", "steps", "guidance", "sampler", "seed")}
        changed = {key: value for key, value in asked.items() if value is not None}
        settings = dataclasses.replace(QUICK if self.quick else EvaluationSettings(), **changed)
        with Progress("drawing and judging") as progress:
            evaluation = evaluate(pipe, judges, training, held_out, settings, progress)
        data, page = write_report(evaluation, self.out)
        text = [*lines(evaluation.numbers), "", f"numbers: {data}", f"pictures: {page}"]
        print_results(self.json, evaluation.numbers, text)


@dataclass
class Judge:
    """Read pictures of glyphs: radical, number of strokes, and whether they look flawed.

    Example: glyffuser judge out/ --out judged/
    """

    pictures: Positional[tuple[Path, ...]]
    """Square grey pictures, or folders of them."""
    out: Path | None = None
    """Folder for a heat map of the flaws of each."""
    judges: Path | None = None
    """A folder that `glyffuser judges` wrote; default: the bundled judges."""
    json: Flag = False
    """Print as JSON."""

    def run(self) -> None:
        if not self.pictures:
            raise UserError("name a picture or a folder of pictures, for example: glyffuser judge out/")
        from glyffuser.judge.judges import BUNDLED_JUDGES, load_judges
        from glyffuser.judge.reading import judge_files

        verdicts = judge_files(load_judges(self.judges or BUNDLED_JUDGES), self.pictures, self.out)
        lines = [
            f"{v.file}: radical {v.radical} {v.radical_char} ({v.chance:.0%}), {v.strokes:.0f} strokes, "
            f"flaws {v.flaws:.1f}{', looks wrong' if v.flagged else ''}"
            for v in verdicts
        ]
        print_results(self.json, [dataclasses.asdict(v) for v in verdicts], lines)


@dataclass
class TrainJudges:
    """Train the recogniser, the plausibility network and the prior that `evaluate` and `--best-of` use.

    Example: glyffuser judges --fonts data/fonts.parquet --out judges/ --minutes 60

    Writes three model folders and judges.json with what was measured on unseen characters and flaws.
    """

    fonts: Path = Path("data/fonts.parquet")
    """A data set of several fonts, 64 pixels, for the recogniser."""
    data: Path = DATA
    """The data set of the model."""
    unseen: Path | None = None
    """A data set in a font that is not among those, to measure with."""
    out: Path = Path("judges")
    """Folder for the networks."""
    minutes: float = 100.0
    """For all three; less is less exact."""
    measure: Flag = False
    """Train nothing: measure the judges in --out, and write judges.json anew."""
    seed: int = 0
    """Of weights, data order and flaws."""
    json: Flag = False
    """Print the measurements as JSON."""

    def run(self) -> None:
        from glyffuser.base.files import write_text
        from glyffuser.data.captions import build_captions
        from glyffuser.data.dataset import load_dataset
        from glyffuser.judge.judges import load_judges
        from glyffuser.judge.plausibility import PlausibilitySettings
        from glyffuser.judge.recogniser import RecogniserSettings
        from glyffuser.judge.training import Material, measure_judges, train_judges
        from glyffuser.text.cache import encode_cached
        from glyffuser.text.encoder import TextEncoder

        if not self.minutes > 0:
            raise UserError(f"--minutes must be above 0, not {self.minutes:g}")
        data, encoder = load_dataset(self.data, "train"), TextEncoder()
        with Progress("reading captions") as progress:
            captions = build_captions(data.definitions, data.senses).texts
            texts = encode_cached(encoder, captions, self.data.parent / "text", progress)
        unseen = None if self.unseen is None else load_dataset(self.unseen, "train")
        material = Material(
            load_dataset(self.fonts, "train"), data, load_dataset(self.data, "test"), unseen, encoder, texts
        )
        reader = RecogniserSettings(seed=self.seed, max_minutes=0.6 * self.minutes)
        form = PlausibilitySettings(seed=self.seed, max_minutes=0.38 * self.minutes)
        if self.measure:
            judges = load_judges(self.out)
        else:
            with Progress("training") as progress:
                judges = train_judges(material, reader, form, progress.at)
            judges.save(self.out)
        measured = measure_judges(judges, material, reader.held_out)
        write_text(self.out / "judges.json", json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
        print_results(self.json, measured)
