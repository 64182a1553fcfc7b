"""Pictures: from tensors to what people look at."""

import numpy as np
import torch
from PIL import Image

from glyffuser.pictures import grid, to_output


def test_paper_is_white_and_ink_is_black():
    images = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).reshape(1, 1, 1, 5)
    assert list(np.asarray(to_output(images, "pil")[0])[0]) == [0, 0, 128, 255, 255]


def test_grid_places_pictures_row_by_row():
    images = [Image.new("L", (2, 3), 10 * k) for k in range(5)]
    sheet = np.asarray(grid(images))
    assert sheet.shape == (6, 6)  # three a row
    assert sheet[::3, ::2].tolist() == [[0, 10, 20], [30, 40, 255]]
    assert grid(images, columns=5).size == (10, 3)
