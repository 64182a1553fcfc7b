"""Each place has its own noise, however the places are shared out."""

import numpy as np
import torch

from glyffuser.base.noise import chances, normal


def test_numbers_of_a_place_are_the_same_in_any_stretch_and_others_elsewhere():
    whole = chances(7, 1, 1000, 4000)
    assert whole.shape == (4000, 4)
    assert (whole.min() >= 0, whole.max() < 1) == (True, True)
    parts = [chances(7, 1, first, 500) for first in range(1000, 5000, 500)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert len(np.unique(whole)) == whole.size
    for other in (chances(8, 1, 1000, 4000), chances(7, 2, 1000, 4000)):
        assert not np.intersect1d(other, whole).size
    np.testing.assert_allclose(whole.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(np.corrcoef(whole.T), np.eye(4), atol=0.06)


def test_each_row_of_noise_is_a_function_of_its_number():
    each, device = chances(0, 0, 0, 64)[:, 0], torch.device("cpu")
    noise = normal((1, 16, 16), each, device)
    assert torch.equal(normal((1, 16, 16), each[40:], device), noise[40:])
    assert abs(float(noise.mean())) < 0.03
    assert abs(float(noise.std()) - 1) < 0.03
    assert abs(float((noise[:32] * noise[32:]).mean())) < 0.05
