"""`glyffuser evaluate`: measure a model."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import UseAppendAction

from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, open_pipeline, print_results
from glyffuser.config import DATA


@dataclass
class Evaluate:
    """Measure a model: meaning, form, novelty, variety, distribution, each beside what real glyphs reach.

    Example: glyffuser evaluate --model runs/mine --out eval/

    Prints a table and writes evaluation.json and evaluation.html (with the pictures). Same seed, same numbers. Several
    processes share the work: torchrun --nproc-per-node 2 -m glyffuser evaluate
    """

    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    data: Path = DATA
    """The data set of real glyphs to compare with; made by: glyffuser dataset build."""
    out: Path = Path("eval")
    """Folder for the report."""
    quick: Flag = False
    """Fewer glyphs, 15 steps, no curves: a fifth of the time."""
    per_prompt: int | None = None
    """Glyphs for each of the 80 prompts; default: 4."""
    definitions: int | None = None
    """Held-out definitions, one glyph each, to compare with real glyphs; default: 420."""
    steps: int | None = None
    """Denoising steps; default: as in sample."""
    guidance: float | None = None
    """How strongly the prompt steers; default: as in sample."""
    sampler: str | None = None
    """As in sample; default: the model's own choice."""
    eta: float | None = None
    """As in sample; default: the model's own choice."""
    style: str | None = None
    """As in sample, for a model of several styles: the style of the data set its glyphs are compared with."""
    seed: int = 0
    """Seed of the noise and of the choice of definitions."""
    upscaler: UseAppendAction[tuple[Path, ...]] = ()
    """For a model whose glyphs are smaller than the data set's: a folder that `glyffuser train --preset upscale128`
    wrote."""
    judges: Path | None = None
    """A folder that `glyffuser train-judges` wrote; default: the bundled judges."""
    json: Flag = False
    """Print the numbers as JSON."""

    def run(self) -> None:
        from glyffuser.base.files import output_folder
        from glyffuser.base.processes import Crew
        from glyffuser.data.dataset import load_dataset
        from glyffuser.evaluate.artist import DRAWN, QUICK, EvaluationSettings
        from glyffuser.evaluate.measure import Measures, evaluate
        from glyffuser.evaluate.report import lines, write_report
        from glyffuser.generate.cascade import check_used, load_upscalers, plan
        from glyffuser.judge.judges import BUNDLED_JUDGES, load_contrastive, load_judges, load_selector
        from glyffuser.judge.novelty import known_ideographs

        crew = Crew.joined()
        pipe, judges = open_pipeline(self.model), load_judges(self.judges or BUNDLED_JUDGES)
        training, held_out = load_dataset(self.data, "train"), load_dataset(self.data, "test")
        asked = {k: getattr(self, k) for k in ("per_prompt", "definitions", *DRAWN, "seed")}
        changed = {key: value for key, value in asked.items() if value is not None}
        own = pipe.usual
        usual = {"steps": min(own.steps, QUICK.steps) if self.quick else own.steps, "guidance": own.guidance}
        usual["eta"] = own.eta_of(self.sampler)
        settings = dataclasses.replace(QUICK if self.quick else EvaluationSettings(), **usual | changed)
        if pipe.unconditional:
            settings = dataclasses.replace(settings, curve_guidance=())  # there is nothing to guide by
        upscalers = load_upscalers(self.upscaler)
        if upscalers:
            check_used(self.upscaler, upscalers, plan(pipe.size, training.images.shape[1], upscalers))
        own = self.judges if self.judges and (self.judges / "contrastive").is_dir() else BUNDLED_JUDGES
        ideographs = known_ideographs(training, held_out)
        measures = Measures(judges, load_selector(), ideographs, load_contrastive(own)[0])
        output_folder(self.out)  # which must be of use before minutes are spent
        with Progress("drawing and judging") as progress:
            evaluation = evaluate(pipe, measures, training, held_out, settings, progress, crew, upscalers)
        if not crew.writes:
            return
        data, page = write_report(evaluation, self.out)
        text = [*lines(evaluation.numbers), "", f"numbers: {data}", f"pictures: {page}"]
        print_results(self.json, evaluation.numbers, text)
