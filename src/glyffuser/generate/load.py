"""A model folder that a user named, opened as a pipeline; anything wrong with it is reported in one line."""

import json
from pathlib import Path
from typing import Any

from diffusers import SchedulerMixin
from diffusers.utils.logging import disable_progress_bar

from glyffuser.base.errors import UserError, in_one_line
from glyffuser.base.weights import BROKEN, check_weights
from glyffuser.config import BUNDLED
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.schedulers import GlyffuserScheduler, check_sampler
from glyffuser.networks.autoencoder import Autoencoder
from glyffuser.networks.build import saved_class
from glyffuser.text.tower import TextTower

LIBRARIES = ("glyffuser", "diffusers")  # where the parts of a model may come from
OPTIONAL = {"tower": TextTower, "vae": Autoencoder}  # networks that a model may have besides the one that denoises


def model_folder(folder: str | Path) -> Path:
    """The model in a run folder; any other folder unchanged."""
    folder = Path(folder)
    return folder / "model" if (folder / "model" / "model_index.json").is_file() else folder


def load_pipeline(folder: str | Path = BUNDLED) -> GlyffuserPipeline:
    """The pipeline of a model or run folder that a user named. UserError for anything wrong with it."""
    folder = model_folder(folder)
    index = folder / "model_index.json"
    if not index.is_file():
        raise UserError(f"{folder} is not a model folder (it has no model_index.json); name one that `train` wrote")
    try:
        facts = json.loads(index.read_text(encoding="utf-8"))
        name = facts.get("_class_name")
        if name != GlyffuserPipeline.__name__:
            raise UserError(f"{folder} holds a {name}, not a {GlyffuserPipeline.__name__}")
        _check_parts(index, facts)
        _check_scheduler(folder / "scheduler" / SchedulerMixin.config_name)
        check_weights(folder / "unet", saved_class(folder / "unet"))
        for part, network in OPTIONAL.items():
            if (folder / part).is_dir():
                check_weights(folder / part, network)
        disable_progress_bar()
        pipe = GlyffuserPipeline.from_pretrained(folder)
        _check_usual(folder, pipe)
        _check_fit(folder, pipe)
        return pipe
    except UserError:
        raise
    except BROKEN as error:
        raise UserError(f"cannot load the model in {folder}: {in_one_line(error)}; export or copy it again") from error


def _check_scheduler(path: Path) -> None:
    """UserError if a scheduler's settings are no table: diffusers would take a text for a hub's id, and ask the hub."""
    if path.is_file() and not isinstance(json.loads(path.read_text(encoding="utf-8")), dict):
        raise UserError(f"{path} holds no table of settings; export or copy the model again")


def _check_usual(folder: Path, pipe: GlyffuserPipeline) -> None:
    """UserError for a scheduler whose steps, guidance, sampler or eta cannot be used."""
    steps, guidance, sampler, eta = pipe.usual
    if not isinstance(steps, int) or not isinstance(guidance, int | float):
        raise UserError(f"the scheduler in {folder} has {steps!r} steps and the guidance {guidance!r}; export it again")
    if not isinstance(sampler, str) or not isinstance(eta, int | float | None):
        raise UserError(f"the scheduler in {folder} has the sampler {sampler!r} and the eta {eta!r}; export it again")
    if isinstance(pipe.scheduler, GlyffuserScheduler):
        try:
            check_sampler(sampler, sampler, eta=eta)
        except UserError as error:
            raise UserError(f"in {folder}, scheduler: {error}") from error


def _check_fit(folder: Path, pipe: GlyffuserPipeline) -> None:
    """UserError for a part that reads another width than it is given; a missing tower gives width 0."""
    encoder, tower, config = pipe.text_encoder, pipe.tower, pipe.unet.config
    widths = [
        ("network", "token states", config.cross_attention_dim, "text encoder", encoder.dim),
        ("network", "a vector", config.pooled_dim, "tower", 0 if tower is None else tower.config.width),
    ]
    if tower is not None:
        widths.append(("tower", "token states", tower.config.dim, "text encoder", encoder.dim))
    for reader, what, read, giver, given in widths:
        if read != given:
            raise UserError(
                f"in {folder} the {reader} reads {what} of width {read}, and the {giver} gives {given}; copy it again"
            )


def _check_parts(index: Path, facts: dict[str, Any]) -> None:
    """UserError if a model names a part of another package: loading it would import whatever it names."""
    for part, place in facts.items():
        library = place[0] if isinstance(place, list) and place else None
        if library is not None and str(library).partition(".")[0] not in LIBRARIES:
            raise UserError(
                f"{index} takes its {part} from {library!r}; parts of a model come from {' or '.join(LIBRARIES)}"
            )
