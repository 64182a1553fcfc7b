"""What figures are made from: the data set, the model, a run's log; each is loaded when first needed.

    from glyffuser.guide.inputs import Inputs
    from glyffuser.guide.figures.data.map_density import density
    density(Inputs("data/glyphs.parquet")).figure      # in a notebook

If something is missing, asking for it raises `Missing`, which says how to get it.
"""

import functools
import hashlib
import math
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glyffuser.base.errors import UserError
from glyffuser.config import AUTOENCODER, BUNDLED, DATA, UPSCALER
from glyffuser.data.dataset import GlyphData, load_dataset, read_info
from glyffuser.generate.load import load_pipeline, model_folder
from glyffuser.guide.drawn import Missing
from glyffuser.judge.judges import BUNDLED_JUDGES, load_part

if TYPE_CHECKING:
    from torch import Tensor

    from glyffuser.generate.pipeline import GlyffuserPipeline
    from glyffuser.guide.maths.map_layout import Atlas
    from glyffuser.judge.recogniser import Recogniser
    from glyffuser.networks.autoencoder import Autoencoder
    from glyffuser.networks.upscaler import Upscaler

NEW_CACHE = "guide"  # a folder beside the data set


class Inputs:
    """The inputs of all figures.

    Args:
        data: the data set; if it has several fonts, figures use the first.
        model: a model folder in diffusers' layout, of a model on pixels; for the map alone, a latent one will do.
        run: a run folder with metrics.jsonl and samples/, for the figure of training; or none.
        judges: a folder that `glyffuser train-judges` wrote, for figures that read glyphs; default: the bundled ones.
        latent: a latent model, or an autoencoder, for the figure of latent diffusion; default: the bundled autoencoder.
        upscaler: what `glyffuser train --preset upscale512` wrote, for the figure of the cascade; default: the bundled
            one.
        quick: fewer steps and samples; see `count`.
        seed: the seed of everything random.
        cache: where coordinates and finished figures are cached; default: the folder "guide" beside the data set.
        progress: called with the part of the current figure that is done, 0 to 1.
    """

    def __init__(
        self,
        data: str | Path = DATA,
        model: str | Path = BUNDLED,
        run: str | Path | None = None,
        judges: str | Path | None = None,
        quick: bool = False,
        seed: int = 0,
        cache: str | Path | None = None,
        progress: Callable[[float], None] | None = None,
        latent: str | Path | None = None,
        upscaler: str | Path = UPSCALER,
    ):
        self.data_path, self.model_path = Path(data), Path(model)
        self.run_path = None if run is None else Path(run)
        self.judges_path = BUNDLED_JUDGES if judges is None else Path(judges)
        self.latent_path = None if latent is None else Path(latent)
        self.upscaler_path = Path(upscaler)
        self.quick, self.seed = quick, seed
        self.cache = self.data_path.parent / NEW_CACHE if cache is None else Path(cache)
        self.progress = progress or (lambda part: None)

    def count(self, full: int, quick: int) -> int:
        """The number of samples, steps or frames: `quick` with --quick, otherwise `full`."""
        return quick if self.quick else full

    def tick(self, done: int, total: int) -> None:
        """Report how far the current figure is."""
        self.progress(done / total)

    @cached_property
    def data(self) -> GlyphData:
        """All glyphs of the data set's first font, training and test."""
        data = load_dataset(self._data_file())
        first = np.array([font == data.fonts[0] for font in data.fonts])
        return data if first.all() else data.select(np.flatnonzero(first))

    @cached_property
    def info(self) -> dict[str, Any]:
        """What the data set says about itself; see `read_info` in data/dataset.py."""
        return read_info(self._data_file())

    @cached_property
    def parameters(self) -> int:
        """The network's number of parameters, from its weights on disk."""
        from safetensors import safe_open

        files = sorted((self.model_path / "unet").glob("*.safetensors"))
        if not files:
            raise Missing(self._no_model())
        total = 0
        for file in files:
            with safe_open(file, framework="np") as tensors:
                total += sum(math.prod(tensors.get_slice(key).get_shape()) for key in tensors.keys())  # noqa: SIM118
        return total

    def _no_model(self) -> str:
        return f"no model in {self.model_path}; train one with `glyffuser train` and pass it with --model"

    def _data_file(self) -> Path:
        if not self.data_path.exists():
            raise Missing(
                f"no data set {self.data_path}; build it with: glyffuser dataset build --out {self.data_path}"
            )
        return self.data_path

    @cached_property
    def rows(self) -> dict[str, int]:
        """Character -> row of `data`."""
        return {char: row for row, char in enumerate(self.data.chars)}

    def row(self, char: str) -> int:
        """The row of a character in `data`; Missing if the data set does not have it."""
        if char not in self.rows:
            raise Missing(f"the data set {self.data_path} has no {char}; build one with a font that covers it")
        return self.rows[char]

    def x0(self, rows: "int | list[int] | np.ndarray", size: int | None = None) -> "Tensor":
        """Clean images of rows of `data`: float32 (B, 1, H, W) in [-1, 1], at the model's size or another."""
        import torch
        import torch.nn.functional as F

        pictures = torch.from_numpy(self.data.images[np.atleast_1d(rows)]).float() / 127.5 - 1  # (B, H, W)
        size = self.pipe.unet.config.sample_size if size is None else size
        return F.interpolate(pictures[:, None], (size, size), mode="area")

    @cached_property
    def pipe(self) -> "GlyffuserPipeline":
        """The model."""
        if not (self.model_path / "model_index.json").is_file():
            raise Missing(self._no_model())
        return load_pipeline(self.model_path)

    @cached_property
    def latent_pipe(self) -> "GlyffuserPipeline | None":
        """The latent model that was named; None without one; Missing if it works on pixels."""
        if self.latent_path is None or not (model_folder(self.latent_path) / "model_index.json").is_file():
            return None
        pipe = load_pipeline(self.latent_path)
        if pipe.vae is None:
            raise Missing(
                f"{self.latent_path} holds a model that works on pixels; name one that `train --preset latent` wrote, "
                "or leave --latent out"
            )
        return pipe

    @cached_property
    def autoencoder(self) -> "Autoencoder":
        """The network that turns glyphs into latents and back."""
        from glyffuser.networks.autoencoder import Autoencoder
        from glyffuser.networks.build import load_companion

        if self.latent_pipe is not None:
            return self.latent_pipe.vae
        return load_companion(self.latent_path or AUTOENCODER, Autoencoder)

    @cached_property
    def upscaler(self) -> "Upscaler":
        """The network that enlarges glyphs."""
        from glyffuser.networks.build import load_companion
        from glyffuser.networks.upscaler import Upscaler

        return load_companion(self.upscaler_path, Upscaler)

    @cached_property
    def run(self) -> Path:
        """A run folder that has a training log."""
        if self.run_path is None or not (self.run_path / "metrics.jsonl").is_file():
            where = "no run folder is named" if self.run_path is None else f"{self.run_path} has no metrics.jsonl"
            raise Missing(
                f"no training log ({where}); train a model with: glyffuser train --out runs/mine, then --run runs/mine"
            )
        return self.run_path

    @cached_property
    def recogniser(self) -> "Recogniser":
        """The network that reads a glyph's radical (judge/recogniser.py)."""
        try:
            return load_part(self.judges_path, "recogniser").float().eval()
        except UserError as error:
            raise Missing(str(error)) from error

    @cached_property
    def atlas(self) -> "Atlas":
        """The map of all glyphs, from the cache or computed (about a minute)."""
        from glyffuser.guide.maths.map_layout import load_or_compute

        return load_or_compute(self)

    @cached_property
    def data_hash(self) -> str:
        """16 hex digits over the names and contents of the data set's files."""
        path = self._data_file()
        return files_hash(path.iterdir() if path.is_dir() else [path])

    def key(self, needs: str) -> list[Any]:
        """What a figure with these `needs`, keys of `hashes`, is made from: part of its cache name."""
        hashes = {
            "data": lambda: self.data_hash,
            "model": lambda: files_hash(network_files(self.model_path)),
            "run": lambda: files_hash([] if self.run_path is None else self.run_path.glob("metrics.jsonl")),
            "judges": lambda: files_hash(self.judges_path.glob("recogniser/*")),
            "latent": lambda: files_hash(network_files(self.latent_path or AUTOENCODER)),
            "upscaler": lambda: files_hash(network_files(self.upscaler_path)),
        }
        return [self.quick, self.seed, *(hashes[need]() for need in needs.split())]


def network_files(folder: Path) -> list[Path]:
    """The files that identify the network of a model or of a run: configs and weights."""
    folder = folder / "model" if (folder / "model").is_dir() else folder
    return [path for pattern in ("*.json", "*.safetensors") for path in folder.rglob(pattern)]


@functools.cache
def _file_hash(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files_hash(paths: Iterable[Path]) -> str:
    """16 hex digits over the names and contents of some files."""
    facts = [f"{path.name} {_file_hash(path, path.stat().st_mtime_ns)}" for path in sorted(paths)]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
