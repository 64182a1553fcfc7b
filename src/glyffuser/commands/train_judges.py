"""`glyffuser train-judges`: train the networks that read glyphs, and measure them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glyffuser.base.errors import UserError
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, print_results
from glyffuser.config import DATA


@dataclass
class TrainJudges:
    """Train the recogniser, the plausibility network and the prior that `evaluate` uses, or the pair of `--best-of`,
    or the contrastive model of `find`.

    Example: glyffuser train-judges --fonts data/fonts.parquet --out judges/ --minutes 60

    Writes model folders, and beside them a JSON with what was measured on unseen characters and flaws.
    """

    fonts: Path = Path("data/fonts.parquet")
    """A data set of several fonts, 64 pixels, for the recogniser."""
    data: Path = DATA
    """The data set of the model."""
    unseen: Path | None = None
    """A data set in a font that --fonts does not hold, to measure with."""
    out: Path | None = None
    """Folder for the networks; default: judges, or judges/selector with --selector."""
    minutes: float = 100.0
    """For all of them; fewer make them less exact."""
    selector: Flag = False
    """Train the selector: the smaller pair that chooses for `sample --best-of` and never scores."""
    contrastive: Flag = False
    """Train the contrastive model of `find` on the recogniser in --out, else the bundled one; takes
    some minutes, and ignores --minutes."""
    measure: Flag = False
    """Train nothing: measure what is in --out, and rewrite the JSON."""
    seed: int = 0
    """Seed of the weights, the data order and the flaws."""
    json: Flag = False
    """Print the measurements as JSON."""

    def run(self) -> None:
        if not self.minutes > 0:
            raise UserError(f"--minutes must be above 0, not {self.minutes:g}")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"--seed must be between 0 and 2^63 - 1, not {self.seed}")
        if self.selector and self.contrastive:
            raise UserError("--selector and --contrastive train different networks; give one of them")
        out = self.out or Path("judges/selector" if self.selector else "judges")
        if self.selector and (out / "prior").is_dir():
            raise UserError(f"{out} holds the judges, which a selector would replace; choose another --out")
        from glyffuser.base.files import output_folder, write_text

        output_folder(out)
        measured = self._contrastive(out) if self.contrastive else self._judges(out)
        name = "contrastive.json" if self.contrastive else "judges.json"
        write_text(out / name, json.dumps(measured, indent=1, ensure_ascii=False) + "\n")
        print_results(self.json, measured)

    def _judges(self, out: Path) -> dict[str, Any]:
        """Train or load the judges or the selector, and measure them."""
        from dataclasses import replace

        from glyffuser.judge.judges import BUNDLED_JUDGES, PAIR, PARTS, load_judges, load_part, load_selector
        from glyffuser.judge.plausibility import PlausibilitySettings
        from glyffuser.judge.recogniser import RecogniserSettings
        from glyffuser.judge.training import measure_judges, selector_settings, train_judges

        material = self._material()
        reader, form = RecogniserSettings(seed=self.seed), PlausibilitySettings(seed=self.seed)
        if self.selector:
            reader, form = selector_settings(self.seed)
        if self.measure:
            judges = load_selector(out) if self.selector else load_judges(out)
        else:
            reader = replace(reader, max_minutes=0.6 * self.minutes)
            form = replace(form, max_minutes=0.38 * self.minutes)
            prior = load_part(BUNDLED_JUDGES, "prior") if self.selector else None
            with Progress("training") as progress:
                judges = train_judges(material, reader, form, progress.at, prior)
            judges.save(out, PAIR if self.selector else tuple(PARTS))
        return measure_judges(judges, material, reader.held_out)

    def _contrastive(self, out: Path) -> dict[str, Any]:
        """Train or load the contrastive model, and measure it."""
        from glyffuser.data.dataset import load_dataset
        from glyffuser.judge.contrastive import ContrastiveSettings, captions_of, measure_contrastive
        from glyffuser.judge.dictionary import save_contrastive
        from glyffuser.judge.judges import load_contrastive, load_recogniser
        from glyffuser.judge.training import fit_contrastive
        from glyffuser.text.cache import encode_cached
        from glyffuser.text.encoder import TextEncoder

        encoder, held_out = TextEncoder(), load_dataset(self.data, "test")
        if not self.measure:
            with Progress("reading captions") as progress:
                captions = captions_of(load_dataset(self.data, "train"))
                texts = encode_cached(encoder, captions.texts, self.data.parent / "text", progress)
            recogniser, settings = load_recogniser(out), ContrastiveSettings(seed=self.seed)
            with Progress("training") as progress:
                made = fit_contrastive(load_dataset(self.data), recogniser, encoder, texts, settings, progress.at)
            save_contrastive(*made, out / "contrastive")
        return measure_contrastive(*load_contrastive(out), held_out, encoder)

    def _material(self) -> Any:
        """What they are trained on. Captions are read only if a prior is to be fitted to them."""
        from glyffuser.data.captions import build_captions
        from glyffuser.data.dataset import load_dataset
        from glyffuser.judge.training import Material
        from glyffuser.text.cache import encode_cached
        from glyffuser.text.encoder import TextEncoder

        data, encoder = load_dataset(self.data, "train"), TextEncoder()
        texts = None
        if not (self.selector or self.measure):
            with Progress("reading captions") as progress:
                captions = build_captions(data.definitions, data.senses).texts
                texts = encode_cached(encoder, captions, self.data.parent / "text", progress)
        unseen = None if self.unseen is None else load_dataset(self.unseen, "train")
        return Material(
            load_dataset(self.fonts, "train"), data, load_dataset(self.data, "test"), unseen, encoder, texts
        )
