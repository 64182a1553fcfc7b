"""The atlas: every glyph of the data set as a point in two dimensions, with similar glyphs close together.

A glyph's picture is averaged to 32 x 32 pixels and written in the coordinates of the 50 directions in which glyphs
differ most (principal components). UMAP (McInnes, Healy and Melville 2018) then lays the glyphs out in a plane. The
result is cached in a file, so that every figure uses the same map; new glyphs are placed on it without changing it.
"""

import hashlib
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path

if TYPE_CHECKING:
    from glyffuser.guide.inputs import Inputs

VERSION = 1  # of how the map is made; raise it to have cached maps made anew
SIDE = 32  # pixels
COMPONENTS = 50
NEIGHBOURS = 15
ISLANDS = 100  # groups of glyphs without a neighbour outside, at most, for the spectral start
MIN_DIST = 0.1  # UMAP's: how tightly it may pack points
BLOCK = 2048  # pictures or rows of the distance table at a time, at most
CELLS = 2**26  # of that table at a time, at most: 256 MiB, however many glyphs there are


@dataclass(frozen=True)
class Atlas:
    """A map of N glyphs.

    coordinates: float32 (N, 2), as UMAP gave them; features: float32 (N, K); mean (1024,) and components (1024, K) turn
    a picture into features; codepoints: int32 (N,).
    """

    coordinates: np.ndarray
    features: np.ndarray
    mean: np.ndarray
    components: np.ndarray
    codepoints: np.ndarray

    @cached_property
    def points(self) -> np.ndarray:
        """The coordinates shifted and scaled to mean 0 and mean variance 1, float64 (N, 2): "data" to be noised."""
        centred = self.coordinates.astype(np.float64) - self.coordinates.mean(axis=0, dtype=np.float64)
        return centred / np.sqrt((centred**2).mean())

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Features of grey pictures uint8 (B, H, W), ink 0: float32 (B, K)."""
        return (shrink(images) - self.mean) @ self.components

    def project(self, images: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
        """Where pictures uint8 (B, H, W) belong on the map: float64 (B, 2), in the units of `points`.

        The mean place of the map's nearest glyphs in feature space, weighted by 1 / distance^2 (Shepard 1968); a glyph
        of the map itself lands exactly on its own place.
        """
        nearest, distance = nearest_rows(self.embed(images), self.features, min(neighbours, len(self.features)))
        places = self.points[nearest]  # (B, k, 2)
        weight = 1 / np.maximum(distance.astype(np.float64), 1e-9) ** 2
        mixed = (places * weight[:, :, None]).sum(axis=1) / weight.sum(axis=1)[:, None]
        # Features come from float32 products: anything this close is the same picture.
        same = distance[:, 0] <= 1e-3
        return np.where(same[:, None], places[:, 0], mixed)


def load_or_compute(inputs: "Inputs") -> Atlas:
    """Load the atlas of `inputs.data` from the cache folder, or compute (a minute on one core) and cache it there."""
    path = atlas_path(inputs)
    if path.is_file():
        try:
            with np.load(path, allow_pickle=False) as kept:
                return Atlas(**{name: kept[name] for name in Atlas.__dataclass_fields__})
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            warnings.warn(f"{path} is damaged and is rebuilt", stacklevel=2)
    atlas = compute(inputs.data.images, inputs.data.codepoints, inputs.seed)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **{name: getattr(atlas, name) for name in Atlas.__dataclass_fields__})
    return atlas


def atlas_path(inputs: "Inputs") -> Path:
    """The file that holds the atlas of these inputs."""
    facts = f"{VERSION} {inputs.data_hash} {inputs.seed}"
    return inputs.cache / f"atlas-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.npz"


def compute(images: np.ndarray, codepoints: np.ndarray, seed: int = 0) -> Atlas:
    """Lay out pictures uint8 (N, H, W); N >= 4. The same seed gives the same map on the same machine."""
    if len(images) < 4:
        raise UserError(f"a map needs four glyphs or more, not {len(images)}; build a larger data set")
    umap = _umap()
    pictures = shrink(images)
    mean = pictures.mean(axis=0)
    pictures -= mean
    components = principal_components(pictures, COMPONENTS)
    features = pictures @ components
    k = min(NEIGHBOURS, len(features) - 1)
    # Exact neighbours by matrix products take seconds; UMAP's own approximate search would first have to be compiled.
    knn = nearest_rows(features, features, k)
    reducer = umap.UMAP(
        n_neighbors=k,
        min_dist=MIN_DIST,
        random_state=seed,
        n_jobs=1,
        precomputed_knn=(*knn, None),
        init=start(knn[0]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a seed meaning one thread, and new points needing another method
        with threads_kept():
            coordinates = reducer.fit_transform(features)
    return Atlas(coordinates.astype(np.float32), features, mean, components, codepoints)


def start(nearest: np.ndarray) -> str:
    """UMAP's first layout of N glyphs, given the neighbours of each (N, k): "spectral", or "pca" where that fails.

    It fails on very few glyphs. Where they fall into many islands, such as those of characters that ten fonts draw
    alike, it would need time in the cube of their number.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    n, k = nearest.shape
    links = csr_array((np.ones(n * k), nearest.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    islands, _ = connected_components(links, directed=False)
    return "pca" if n < 4 * COMPONENTS or islands > ISLANDS else "spectral"


@contextmanager
def threads_kept() -> Iterator[None]:
    """Keep torch's number of threads: numba, which UMAP runs on, sets it to all cores for the whole process."""
    import torch

    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def shrink(images: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Pictures uint8 (N, H, W), ink 0, as ink averaged to side x side pixels: float32 (N, side^2) in [0, 1]."""
    import torch
    import torch.nn.functional as F

    rows = np.empty((len(images), side * side), np.float32)
    for first in range(0, len(images), BLOCK):
        block = torch.from_numpy(np.array(images[first : first + BLOCK])).float()
        rows[first : first + BLOCK] = 1 - F.adaptive_avg_pool2d(block, side).flatten(1).numpy() / 255
    return rows


def principal_components(centred: np.ndarray, k: int) -> np.ndarray:
    """The k directions (D, k) in which rows (N, D) vary most; signs fixed so that every machine agrees."""
    values, vectors = np.linalg.eigh(centred.T @ centred)
    chosen = vectors[:, np.argsort(values)[::-1][: min(k, len(centred) - 1)]]
    signs = np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    return (chosen * signs).astype(np.float32)


def nearest_rows(queries: np.ndarray, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of `rows` (N, K) for each query (B, K), nearest first: indices int64 (B, k), distances (B, k)."""
    number = np.empty((len(queries), k), np.int64)
    distance = np.empty((len(queries), k), np.float32)
    squares = (rows**2).sum(axis=1)
    size = max(1, min(BLOCK, CELLS // len(rows)))
    for first in range(0, len(queries), size):
        block = queries[first : first + size]
        table = (block**2).sum(axis=1)[:, None] + squares - 2 * block @ rows.T  # (size, N)
        chosen = np.argpartition(table, k - 1, axis=1)[:, :k]
        # Differences in the table cancel for near rows: measure the few that are left directly.
        exact = np.sqrt(((block[:, None] - rows[chosen]) ** 2).sum(axis=2))
        order = exact.argsort(axis=1, kind="stable")
        number[first : first + size] = np.take_along_axis(chosen, order, axis=1)
        distance[first : first + size] = np.take_along_axis(exact, order, axis=1)
    return number, distance


def _umap() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about TensorFlow being missing
            import umap
    except ImportError as error:
        raise UserError("umap-learn is missing; pip install 'glyffuser[guide]'") from error
    return umap
