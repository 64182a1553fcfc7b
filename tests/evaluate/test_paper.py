"""Crispness and clean paper, by hand, and before and after the levels curve."""

import numpy as np
import torch

from glyffuser.evaluate.paper import crispness, drawn_and_levelled


def test_crispness_counts_grey_and_dirt():
    images = np.full((2, 10, 10), 255, np.uint8)
    images[:, 4:6, 4:6] = 0  # four pixels of ink each
    images[0, 4, 6] = 128  # one grey pixel
    images[1, 0, 0] = 254  # dirt in a corner
    assert crispness(images) == {"grey": 1 / 8, "dirty": 0.5, "specks": 0.5}
    images[1, 0, 0], images[1, 1, 5] = 255, 254  # three pixels from ink: an edge, not a speck
    assert crispness(images)["specks"] == 0


def test_faint_specks_are_there_before_the_levels_curve_and_gone_after_it():
    image = torch.ones(2, 1, 16, 16)
    image[:, :, 2:5, 2:5] = -1.0
    image[0, 0, 12, 12] = 0.9  # faint: the curve makes it paper
    image[1, 0, 12, 12] = 0.2  # no curve should
    drawn, levelled = drawn_and_levelled(image).transpose(1, 0, 2, 3)
    assert (crispness(drawn)["specks"], crispness(levelled)["specks"]) == (1.0, 0.5)
    assert drawn[0, 12, 12] == round(255 * 0.95)
