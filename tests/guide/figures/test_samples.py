"""Chapter 1's numbers."""

import numpy as np
from scipy.stats import norm

from glyffuser.guide.figures.data.samples import busiest, figure_gaussian, fitted_normal, shrunk


def test_the_fit_is_scipys_maximum_likelihood():
    values = np.random.default_rng(3).normal(1.5, 0.4, size=200)
    np.testing.assert_allclose(fitted_normal(values), norm.fit(values), rtol=1e-12)


def test_the_fitted_numbers_are_written_in_the_figure():
    mean, deviation = norm.fit(np.random.default_rng(0).standard_normal(1000))
    words = " ".join(text.get_text() for text in figure_gaussian(1000).axes[0].texts)
    assert f"{mean:.3f}".replace("-", "−") in words
    assert f"{deviation:.3f}" in words


def test_shrinking_takes_means():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    expected = picture.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(shrunk(picture, 32), expected, atol=1.01)  # Pillow rounds after rows and after columns


def test_the_enlarged_part_is_where_values_differ():
    picture = np.full((32, 32), 255, np.uint8)
    picture[20:24, 3:7] = np.arange(16).reshape(4, 4)
    top, left = busiest(picture, 8)
    assert top <= 20 <= top + 4
    assert left <= 3
