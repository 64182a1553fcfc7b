"""Numbers that compare sets of glyphs by their features: distances, precision and recall, variety, copies.

Features are float tensors (N, D) of the recogniser; a function that needs many rows says how many and refuses fewer,
since a number from too few is worse than none. No figure here is an "FID": that name belongs to Inception features.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from glyffuser.base.errors import UserError


class Support(NamedTuple):
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

    precision: float
    recall: float
    density: float
    coverage: float


class Neighbours(NamedTuple):
    """For each glyph (N,): the nearest training glyph's `row`, overlap of their ink, whether that makes it a copy."""

    row: Tensor
    overlap: Tensor
    copied: Tensor


def enough(name: str, needed: int, *sets: Tensor) -> None:
    """UserError unless every set has as many rows as a metric needs."""
    least = min(len(rows) for rows in sets)
    if least < needed:
        raise UserError(f"{name} needs {needed} glyphs in each set, here are {least}; evaluate more")


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Distance between Gaussians fitted to features (Heusel et al. 2017, equation 6). Needs more rows than features."""
    enough("the Fréchet distance", a.shape[1] + 1, a, b)
    a, b = a.double(), b.double()
    mean_a, mean_b, cov_a, cov_b = a.mean(0), b.mean(0), torch.cov(a.T), torch.cov(b.T)
    # tr (Sa Sb)^1/2 is the sum of the roots of the eigenvalues of Sa Sb, real and not negative up to rounding.
    roots = torch.linalg.eigvals(cov_a @ cov_b).real.clamp(min=0).sqrt().sum()
    return float((mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * roots)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Unbiased squared MMD under the cubic kernel, as in KID (Binkowski et al. 2018, section 3). Needs 50 rows."""
    enough("the kernel distance", 50, a, b)
    d = a.shape[1]
    return _mmd(*((x.double() @ y.double().T / d + 1) ** 3 for x, y in ((a, a), (b, b), (a, b))))


def rbf_distance(a: Tensor, b: Tensor, bandwidth: float) -> float:
    """Unbiased squared MMD under a Gaussian kernel, as in CMMD (Jayasumana et al. 2024). Needs 50 rows."""
    enough("the Gaussian kernel distance", 50, a, b)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return torch.exp(-torch.cdist(x.double(), y.double()).square() / (2 * bandwidth**2))

    return _mmd(kernel(a, a), kernel(b, b), kernel(a, b))


def _mmd(kaa: Tensor, kbb: Tensor, kab: Tensor) -> float:
    """Gretton et al. 2012, equation 3: means of the kernel within sets (off the diagonal) less twice that between."""
    n, m = len(kaa), len(kbb)
    within = (kaa.sum() - kaa.trace()) / (n * (n - 1)) + (kbb.sum() - kbb.trace()) / (m * (m - 1))
    return float(within - 2 * kab.mean())


def median_distance(features: Tensor) -> float:
    """The median distance between different rows: the bandwidth of `rbf_distance` (Gretton et al. 2012, section 8)."""
    enough("the bandwidth", 2, features)
    return float(torch.pdist(features.double()).median())


def support(real: Tensor, fake: Tensor, k: int = 5) -> Support:
    """How far two sets cover each other, by balls that reach to each row's k-th neighbour. Needs 10 k rows.

    precision: share of fakes inside a real ball; recall: of reals inside a fake ball; density: real balls around
    a fake, over k; coverage: share of reals whose ball holds a fake. Equal distributions give about 1, 1, 1, 1 - 2^-k.
    """
    enough("precision and recall", 10 * k, real, fake)
    real, fake = real.double(), fake.double()
    # The first neighbour of a row is the row itself.
    reach_real = torch.cdist(real, real).kthvalue(k + 1, dim=1).values
    reach_fake = torch.cdist(fake, fake).kthvalue(k + 1, dim=1).values
    between = torch.cdist(real, fake)  # (real, fake)
    in_real = between < reach_real[:, None]
    return Support(
        precision=float(in_real.any(0).double().mean()),
        recall=float((between < reach_fake[None, :]).any(1).double().mean()),
        density=float(in_real.sum(0).double().mean() / k),
        coverage=float(in_real.any(1).double().mean()),
    )


def variety(features: Tensor, per_prompt: int) -> float:
    """Mean distance between two glyphs of one prompt: features (prompts * per_prompt, D), prompt by prompt. Needs 2."""
    enough("the variety of a prompt", 2, features[:per_prompt])
    return float(torch.stack([torch.pdist(part.double()).mean() for part in features.split(per_prompt)]).mean())


def nearest(
    features: Tensor,
    images: np.ndarray,
    training_features: Tensor,
    training_images: np.ndarray,
    copy_at: float,
    candidates: int = 16,
) -> Neighbours:
    """The training glyph most like each glyph, among its `candidates` nearest by features.

    images, training_images: uint8 (N, H, W), (M, H, W), ink 0. Likeness is the overlap of their ink, in [0, 1]; from
    `copy_at` on a glyph counts as a copy.
    """
    close = torch.cdist(features.float(), training_features.float()).topk(candidates, largest=False).indices.numpy()
    nearest_rows, overlap = [], []
    for image, rows in zip(images, close, strict=True):
        overlaps = ink_overlap(image, training_images[rows])
        best = int(overlaps.argmax())
        nearest_rows.append(int(rows[best]))
        overlap.append(float(overlaps[best]))
    found = torch.tensor(overlap)
    return Neighbours(torch.tensor(nearest_rows), found, found >= copy_at)


def ink_overlap(image: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Overlap of one picture's ink (H, W) with others' (N, H, W): sum of the lesser over sum of the greater, (N,)."""
    ink, inks = 255.0 - image, 255.0 - others
    return np.minimum(ink, inks).sum((1, 2)) / np.maximum(np.maximum(ink, inks).sum((1, 2)), 1e-9)
