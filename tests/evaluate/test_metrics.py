"""Metrics against closed forms and slow, plain computations."""

import math

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.evaluate.metrics import (
    frechet_distance,
    ink_overlap,
    kernel_distance,
    median_distance,
    nearest,
    rbf_distance,
    support,
)


def normal(n, d, seed, shift=0.0, scale=1.0):
    return shift + scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def whitened(n, d, seed):
    """Rows with mean exactly 0 and covariance exactly the identity."""
    x = normal(n, d, seed)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T


def test_frechet_distance_of_gaussians_with_known_moments():
    """For N(0, I) and N(m, s^2 I) it is |m|^2 + d (s - 1)^2."""
    a, b = whitened(200, 5, 0), 3 * whitened(300, 5, 1) + 2
    assert frechet_distance(a, b) == pytest.approx(5 * 2**2 + 5 * (3 - 1) ** 2, rel=1e-8)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_frechet_distance_of_correlated_gaussians():
    """tr (Sa Sb)^1/2 through the symmetric form (Sa^1/2 Sb Sa^1/2)^1/2."""
    mix = normal(4, 4, 2)
    a, b = normal(500, 4, 3) @ mix, normal(500, 4, 4)

    def root(s):
        values, vectors = torch.linalg.eigh(s)
        return vectors @ values.clamp(min=0).sqrt().diag() @ vectors.T

    sa, sb = torch.cov(a.T), torch.cov(b.T)
    cross = root(root(sa) @ sb @ root(sa)).trace()
    expected = (a.mean(0) - b.mean(0)).square().sum() + sa.trace() + sb.trace() - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(float(expected), rel=1e-6)


def test_kernel_distances_are_the_plain_double_sums():
    a, b = normal(50, 3, 5), normal(60, 3, 6, shift=0.5)

    def mmd(kernel):
        within = [[kernel(x, y) for j, y in enumerate(s) if j != i] for s in (a, b) for i, x in enumerate(s)]
        mean_a = sum(sum(row) for row in within[:50]) / (50 * 49)
        mean_b = sum(sum(row) for row in within[50:]) / (60 * 59)
        return mean_a + mean_b - 2 * sum(kernel(x, y) for x in a for y in b) / 3000

    cubic = mmd(lambda x, y: float((x @ y / 3 + 1) ** 3))
    gauss = mmd(lambda x, y: math.exp(-float((x - y).square().sum()) / (2 * 1.5**2)))
    assert kernel_distance(a, b) == pytest.approx(cubic, rel=1e-9)
    assert rbf_distance(a, b, 1.5) == pytest.approx(gauss, rel=1e-9)


def test_distances_are_small_between_equals_and_grow_with_a_shift():
    a, b, far = normal(400, 4, 7), normal(400, 4, 8), normal(400, 4, 9, shift=1.0)
    width = median_distance(a)
    for distance in (frechet_distance, kernel_distance, lambda x, y: rbf_distance(x, y, width)):
        assert abs(distance(a, b)) < 0.1 * distance(a, far)


def test_median_distance():
    assert median_distance(torch.tensor([[0.0], [1.0], [3.0]])) == 2.0


def test_support_of_the_same_and_of_distant_sets():
    a, b = normal(600, 2, 10), normal(600, 2, 11)
    same, apart = support(a, b), support(a, b + 100)
    assert min(same.precision, same.recall) > 0.9
    assert same.density == pytest.approx(1, abs=0.15)
    assert same.coverage == pytest.approx(1 - 2**-5, abs=0.03)  # Naeem et al. 2020, section 3.2, for equal n
    assert apart == (0, 0, 0, 0)


def test_support_tells_lost_variety_from_lost_quality():
    real = torch.cat([normal(200, 2, 12), normal(200, 2, 13, shift=50)])
    one_mode = normal(400, 2, 14)
    narrow = support(real, one_mode)
    assert narrow.precision > 0.9
    assert narrow.recall == pytest.approx(0.5, abs=0.1)
    assert narrow.coverage == pytest.approx(0.5, abs=0.1)
    half_bad = torch.cat([normal(200, 2, 15), normal(200, 2, 16, shift=-200)])
    assert support(real, half_bad).precision == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("metric", "rows"),
    [
        (frechet_distance, 4),
        (kernel_distance, 49),
        (lambda a, b: rbf_distance(a, b, 1.0), 49),
        (support, 49),
        (lambda a, b: median_distance(a), 1),
    ],
)
def test_too_few_glyphs_are_refused_with_the_number_needed(metric, rows):
    a = normal(rows, 4, 17)
    with pytest.raises(UserError, match=rf"needs \d+ glyphs.*here are {rows}"):
        metric(a, a)


def test_ink_overlap_by_hand():
    image = np.full((2, 2), 255, dtype=np.uint8)
    image[0] = 0  # ink in the upper row
    others = np.full((3, 2, 2), 255, dtype=np.uint8)
    others[0, 0] = 0  # the same
    others[1, :, 0] = 0  # shares one of three inked pixels
    np.testing.assert_allclose(ink_overlap(image, others), [1, 1 / 3, 0])


def test_nearest_finds_the_copy_and_calls_only_that_one():
    rng = np.random.default_rng(0)
    training = rng.integers(0, 2, (40, 8, 8), dtype=np.uint8) * 255
    features = normal(40, 4, 18)
    copy, fresh = training[7], rng.integers(0, 2, (8, 8), dtype=np.uint8) * 255
    found = nearest(features[[7, 9]] + 0.01, np.stack([copy, fresh]), features, training, copy_at=0.9)
    assert found.row[0] == 7
    assert found.overlap[0] == 1
    assert found.copied.tolist() == [True, False]


class Features(torch.nn.Module):
    """A feature network for torchmetrics that passes the features through."""

    num_features = 8

    def forward(self, x):
        return x


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`")
def test_distances_agree_with_torchmetrics():
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    a, b = normal(300, 8, 7), normal(300, 8, 8, shift=0.3, scale=1.2)
    frechet = FrechetInceptionDistance(feature=Features(), normalize=True, input_img_size=(8,))  # type: ignore[arg-type]
    kernel = KernelInceptionDistance(feature=Features(), subsets=1, subset_size=300, normalize=True)
    for metric in (frechet, kernel):
        metric.update(a.float(), real=True)
        metric.update(b.float(), real=False)
    assert frechet_distance(a, b) == pytest.approx(float(frechet.compute()), rel=1e-4)
    assert kernel_distance(a, b) == pytest.approx(float(kernel.compute()[0]), rel=1e-4)
