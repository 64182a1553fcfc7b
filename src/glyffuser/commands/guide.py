"""`glyffuser guide`, `figures` and `map`: the visual guide, its figures as files, its map as a single page."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from glyffuser.base.errors import UserError
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, need_extra, print_results
from glyffuser.config import DATA, UPSCALER, named_model

PACKAGES = ("matplotlib", "umap", "av", "jinja2", "pyarrow")  # of the extra `guide`


@dataclass
class Guide:
    """Build a local web site that teaches how diffusion models work, with your own data and model.

    Example: glyffuser guide --out site/

    Open site/index.html in a browser; nothing is fetched from the network. Figures are cached beside the data set, in
    guide/, so that a second build is quick. Figures that could not be made are listed at the end.
    """

    out: Path = Path("site")
    """Folder for the pages."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    data: Path = DATA
    """The data set; if the default one is missing, it is built first."""
    run_folder: Annotated[Path | None, arg(name="run")] = None
    """A run folder with metrics.jsonl and samples/, for the figure of training; default: --model, if it is one."""
    judges: Path | None = None
    """A folder that `glyffuser train-judges` wrote, for the figures that read glyphs; default: the bundled judges."""
    latent: Path | None = None
    """A latent model or an autoencoder, for the figure of latent diffusion; default: the bundled autoencoder."""
    upscaler: Path = UPSCALER
    """What `glyffuser train --preset upscale512` wrote, for the figure of the cascade; default: the bundled one."""
    only: UseAppendAction[tuple[str, ...]] = ()
    """Build only this figure; may be repeated. The others are shown as last built."""
    quick: Flag = False
    """Fewer steps and samples: the same figures, coarser and sooner."""
    seed: int = 0
    """The seed of everything random."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        need_extra("guide", *PACKAGES)
        from glyffuser.guide.build import build, check_names, made_before
        from glyffuser.guide.catalogue import FIGURES
        from glyffuser.guide.site.pages import write_site

        specs = check_names(self.only)
        asked = (self.run_folder, self.judges, self.quick, self.seed, self.latent, self.upscaler)
        inputs = inputs_of(self.data, self.model, *asked, pixels=True)
        with Progress("figures") as progress:
            built = build(specs, inputs, progress.at)
        others = [made_before(spec, inputs) for spec in FIGURES.values() if spec not in specs]
        page = write_site([*built, *(one for one in others if one is not None)], inputs, self.out, _said("guide"))
        _tell(self.json, built, {"page": str(page)}, [f"open {page}"])


@dataclass
class Figures:
    """Draw figures of the guide as files: PNG and SVG, and MP4, WebP and GIF where something moves.

    Example: glyffuser figures forward score --out figures/

    Without names it lists them.
    """

    names: Positional[tuple[str, ...]] = ()
    """Which figures; without names, list them all."""
    out: Path = Path("figures")
    """Folder for the files."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    data: Path = DATA
    """The data set; if the default one is missing, it is built first."""
    run_folder: Annotated[Path | None, arg(name="run")] = None
    """A run folder, for the figure of training; default: --model, if it is one."""
    judges: Path | None = None
    """A folder that `glyffuser train-judges` wrote; default: the bundled judges."""
    latent: Path | None = None
    """A latent model or an autoencoder, for the figure of latent diffusion; default: the bundled autoencoder."""
    upscaler: Path = UPSCALER
    """What `glyffuser train --preset upscale512` wrote, for the figure of the cascade; default: the bundled one."""
    quick: Flag = False
    """Fewer steps and samples."""
    seed: int = 0
    """The seed of everything random."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        from glyffuser.guide.catalogue import FIGURES

        if not self.names:
            facts = [{"id": spec.id, "chapter": spec.chapter, "title": spec.title} for spec in FIGURES.values()]
            print_results(self.json, facts, [f"{spec.chapter}  {spec.id:16}{spec.title}" for spec in FIGURES.values()])
            return
        need_extra("guide", *PACKAGES)
        from glyffuser.guide.build import build, check_names, export

        specs = check_names(self.names)
        asked = (self.run_folder, self.judges, self.quick, self.seed, self.latent, self.upscaler)
        inputs = inputs_of(self.data, self.model, *asked, pixels=True)
        with Progress("figures") as progress:
            built = build(specs, inputs, progress.at)
        files = [str(file) for one in built if one.folder for file in export(one, self.out)]
        _tell(self.json, built, {"files": files}, files)


@dataclass
class Map:
    """Write the map of all glyphs as one interactive page that needs no other file: pan, zoom, hover, search.

    Example: glyffuser map --out map.html
    """

    out: Path = Path("map.html")
    """The page."""
    model: str = "bundled"
    """The model whose invented glyphs are shown on the map too."""
    data: Path = DATA
    """The data set; if the default one is missing, it is built first."""
    seed: int = 0
    """The seed of the map's layout and of the invented glyphs."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        need_extra("guide", *PACKAGES)
        from glyffuser.base.files import write_text
        from glyffuser.guide.build import build, check_names
        from glyffuser.guide.figures.data.glyph_map import stand_alone
        from glyffuser.guide.store import load

        inputs = inputs_of(self.data, self.model, seed=self.seed)
        with Progress("laying out the map") as progress:
            (built,) = build(check_names(["map"]), inputs, progress.at)
        if built.folder is None:
            raise UserError(built.missing)
        facts = load(built.folder)
        write_text(self.out, stand_alone((built.folder / facts["html"]).read_text(encoding="utf-8"), facts["caption"]))
        size = self.out.stat().st_size
        print_results(self.json, {"page": str(self.out), "bytes": size}, [f"open {self.out} ({size / 1e6:.1f} MB)"])


def inputs_of(
    data: Path,
    model: str,
    run: Path | None = None,
    judges: Path | None = None,
    quick: bool = False,
    seed: int = 0,
    latent: Path | None = None,
    upscaler: Path = UPSCALER,
    *,
    pixels: bool = False,
) -> Any:
    """The inputs of the figures. If the default data set is missing, it is built first, which takes some seconds.

    pixels: whether the model must work on pixels, as what most figures show happens to these.
    """
    from glyffuser.generate.load import model_folder
    from glyffuser.guide.inputs import Inputs

    folder = named_model(model)
    if run is None and (folder / "metrics.jsonl").is_file():
        run = folder
    if run is not None and not run.is_dir():
        raise UserError(f"the run folder {run} does not exist; name one that `glyffuser train --out` wrote")
    folder = model_folder(folder)
    if not (folder / "model_index.json").is_file() and model != "bundled":
        raise UserError(f"{folder} is not a model folder (it has no model_index.json); name one that `train` wrote")
    if pixels and (folder / "vae").is_dir():
        raise UserError(f"{folder} holds a latent model, and the figures need one on pixels; give it as --latent")
    if not data.exists():
        if data != DATA:
            raise UserError(f"{data} does not exist; build it with `glyffuser dataset build --out {data}`")
        _build_data(data)
    if judges is not None and not (judges / "recogniser" / "config.json").is_file():
        raise UserError(f"{judges} holds no recogniser; name a folder that `glyffuser train-judges` wrote")
    if not 0 <= seed < 2**32:
        raise UserError(f"seed must be between 0 and 2^32 - 1, not {seed}")
    _check_class(latent, "--latent", "Autoencoder", "GlyffuserPipeline")
    _check_class(upscaler, "--upscaler", "Upscaler")
    return Inputs(data, folder, run, judges, quick, seed, latent=latent, upscaler=upscaler)


def _check_class(folder: Path | None, option: str, *fitting: str) -> None:
    """UserError unless a run or model folder, if one is named, says that it holds one of these classes."""
    if folder is None:
        return
    places = [part / name for part in (folder / "model", folder) for name in ("model_index.json", "config.json")]
    there = next((place for place in places if place.is_file()), None)
    try:
        found = None if there is None else json.loads(there.read_text(encoding="utf-8")).get("_class_name")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{option}: cannot read {there}: {error}; copy the folder again") from error
    if found not in fitting:
        raise UserError(
            f"{option}: {folder} holds {'no network' if found is None else f'a network of class {found}'}; "
            f"name a folder that `glyffuser train` wrote, with a network of class {' or '.join(fitting)}"
        )


def _build_data(data: Path) -> None:
    from glyffuser.data.dataset import build_dataset
    from glyffuser.data.fonts import default_font
    from glyffuser.data.unihan import read_unihan

    face, unihan = default_font(), read_unihan()
    with Progress(f"drawing the data set {data}") as progress:
        build_dataset([face], unihan, data, progress=progress)


def _said(command: str) -> str:
    """The command, so that a reader of the page can repeat it."""
    import sys

    return " ".join(["glyffuser", *sys.argv[1:]]) if sys.argv[1:2] == [command] else f"glyffuser {command}"


def _tell(as_json: bool, built: list[Any], facts: dict[str, Any], lines: list[str]) -> None:
    """Print the results, and the list of figures that could not be made."""
    missing = {one.spec.id: one.missing for one in built if one.folder is None}
    times = {one.spec.id: round(one.seconds, 1) for one in built if one.folder is not None and not one.cached}
    made, kept = len(times), sum(one.cached for one in built)
    lines = [*lines, f"{made} figures made in {sum(times.values()):.0f} s, {kept} taken from the cache"]
    if missing:
        lines += ["could not be made:", *(f"  {id}: {why}" for id, why in missing.items())]
    print_results(as_json, facts | {"made": times, "kept": kept, "missing": missing}, lines)
