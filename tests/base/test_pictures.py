"""Pictures: from tensors to what people look at."""

import numpy as np
import pytest
import torch
from PIL import Image

from glyffuser.base.pictures import MARGIN, from_grey, grey, grid, levelled, read_image, to_output


def test_paper_is_white_and_ink_is_black():
    images = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).reshape(1, 1, 1, 5)
    assert list(np.asarray(to_output(images, "pil")[0])[0]) == [0, 0, 128, 255, 255]


def test_every_grey_comes_back_from_what_networks_see():
    greys = np.arange(256, dtype=np.uint8).reshape(2, 8, 16)
    seen = from_grey(greys)
    assert seen.shape == (2, 1, 8, 16)
    assert (seen.min(), seen.max()) == (-1, 1)
    assert np.array_equal(grey(seen), greys)
    assert torch.equal(from_grey(torch.from_numpy(greys)), seen)


def test_paper_that_is_a_little_off_is_made_exactly_white():
    images = torch.tensor([-0.81, 0.81, 0.94, 1.0]).reshape(1, 1, 1, 4)
    assert list(np.asarray(to_output(images, "pil")[0])[0]) == [0, 255, 255, 255]
    assert to_output(images, "np").ravel().tolist() == [0, 1, 1, 1]
    assert torch.equal(to_output(images, "pt"), images)


def test_levels_have_no_jump_and_leave_the_middle_greys():
    images = torch.linspace(-1, 1, 2001)
    grey = levelled(images)
    steps = grey.diff() / 0.0005  # the slope, 1 where nothing changes
    assert (steps > -1e-3).all()
    assert (steps < 2 + 1e-2).all()
    middle = images.abs() < 1 - 4 * MARGIN
    torch.testing.assert_close(grey[middle], images[middle] / 2 + 0.5)
    torch.testing.assert_close(grey, 1 - grey.flip(0))  # ink and paper alike


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_what_is_transparent_shows_white_paper(mode, tmp_path):
    glyph = Image.new("RGBA", (4, 4))  # black, and all of it transparent
    glyph.putpixel((1, 1), (0, 0, 0, 255))
    glyph.convert(mode).save(tmp_path / "glyph.png")
    for wanted in ("L", "RGB"):
        grey = np.asarray(read_image(tmp_path / "glyph.png", wanted).convert("L"))
        assert (grey[1, 1], grey[0, 0], grey.mean()) == (0, 255, 255 * 15 / 16)


def test_greys_of_16_bits_become_those_of_8(tmp_path):
    Image.fromarray(np.array([[0, 257 * 117, 65535]], np.uint16)).save(tmp_path / "deep.png")
    assert np.asarray(read_image(tmp_path / "deep.png", "L")).tolist() == [[0, 117, 255]]


def test_greys_without_a_range_are_refused(tmp_path):
    Image.fromarray(np.array([[0.25]], np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(OSError, match="no known range"):
        read_image(tmp_path / "float.tiff", "L")


def test_grid_places_pictures_row_by_row():
    images = [Image.new("L", (2, 3), 10 * k) for k in range(5)]
    sheet = np.asarray(grid(images))
    assert sheet.shape == (6, 6)  # three per row
    assert sheet[::3, ::2].tolist() == [[0, 10, 20], [30, 40, 255]]
    assert grid(images, columns=5).size == (10, 3)
