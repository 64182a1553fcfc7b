"""Synthetic flaws: each changes the glyph where it says it does, and in its own way."""

import numpy as np
import pytest
from PIL import Image

from glyffuser.judge.flaws import FLAWS, flawed, line, sampled, stroke_width


def cross(size=64, width=6):
    """A plus sign with strokes of a known width."""
    ink = np.zeros((size, size), dtype=np.float32)
    middle = slice(size // 2 - width // 2, size // 2 + width // 2)
    ink[middle, 8:-8] = 1
    ink[8:-8, middle] = 1
    return ink


def frame(size=64):
    """A square outline, to serve as another character."""
    ink = np.zeros((size, size), dtype=np.float32)
    ink[10:-10, 10:-10] = 1
    ink[16:-16, 16:-16] = 0
    return ink


@pytest.mark.parametrize("kind", FLAWS)
def test_a_flaw_changes_the_glyph_and_marks_where(kind):
    rng = np.random.default_rng(0)
    for _ in range(10):
        result, changed = flawed(kind, cross(), frame(), rng)
        assert result.dtype == np.float32
        assert result.shape == changed.shape == (64, 64)
        assert changed.any()
        far = np.abs(result - cross()) < 0.1
        assert not (changed & far).any()  # what is marked has changed


@pytest.mark.parametrize("kind", FLAWS)
def test_a_flaw_is_drawn_from_the_generator_alone(kind):
    first, again = (flawed(kind, cross(), frame(), np.random.default_rng(3))[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize(("kind", "sign"), [("erase", -1), ("cut", -1), ("add", 1), ("overlay", 1), ("smudge", 1)])
def test_ink_only_goes_or_only_comes(kind, sign):
    for seed in range(5):
        result, _ = flawed(kind, cross(), frame(), np.random.default_rng(seed))
        assert (sign * (result - cross())).min() > -0.01
        assert (sign * (result - cross())).max() > 0.5


def test_stroke_width_is_measured():
    assert stroke_width(cross(width=6)) == pytest.approx(6, rel=0.15)


def test_line_has_its_length_and_width():
    drawn = line(64, np.array([12.0, 32.0]), np.array([52.0, 32.0]), 5)
    assert drawn.sum() == pytest.approx(40 * 5, rel=0.05)


def test_sampling_at_whole_places_changes_nothing_and_half_way_is_the_mean():
    ink = np.asarray(Image.effect_noise((16, 16), 80), dtype=np.float32) / 255
    rows, columns = np.mgrid[:16, :16].astype(np.float32)
    np.testing.assert_allclose(sampled(ink, rows, columns), ink, atol=1e-3)
    half = sampled(ink, rows, columns + 0.5)
    np.testing.assert_allclose(half[:, :-1], (ink[:, :-1] + ink[:, 1:]) / 2, atol=1e-3)
