"""Structure measured from pictures: boxes with an obvious answer, and characters that everyone would sort alike."""

import numpy as np
import pytest

from glyffuser.data.fonts import Rasteriser, default_font
from glyffuser.guide.maths.structure import STRUCTURES, structures

ONE, BESIDE, ABOVE, AROUND = range(4)


def picture(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    image = np.full((64, 64), 255, np.uint8)
    for left, top, right, bottom in boxes:
        image[top:bottom, left:right] = 0
    return image


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], ONE),
        ([(8, 30, 56, 34)], ONE),
        ([(8, 30, 28, 34), (16, 8, 20, 56), (36, 30, 56, 34), (44, 8, 48, 56)], BESIDE),  # 十十
        ([(30, 8, 34, 28), (8, 16, 56, 20), (30, 36, 34, 56), (8, 44, 56, 48)], ABOVE),
        ([(8, 8, 56, 12), (8, 8, 12, 56), (52, 8, 56, 56), (8, 52, 56, 56), (28, 28, 36, 36)], AROUND),
        ([(8, 28, 56, 36), (28, 8, 36, 56)], ONE),  # a cross
    ],
)
def test_boxes(boxes, expected):
    assert structures(picture(*boxes)[None])[0] == expected


@pytest.mark.parametrize(
    ("chars", "expected"),
    [("林海銀明好", BESIDE), ("花音想意苗", ABOVE), ("国回因間區", AROUND), ("木人大女中一", ONE)],
)
def test_characters(chars, expected):
    draw = Rasteriser(default_font())
    found = structures(np.stack([draw.render(char) for char in chars]))
    assert [STRUCTURES[k] for k in found] == [STRUCTURES[expected]] * len(chars)
