"""Where parts of characters stand in pictures, against what anyone can see."""

import numpy as np
import pytest

from glyffuser.data.components import Part, parts, standing
from glyffuser.data.fonts import Rasteriser, default_font
from glyffuser.data.standing import FEWEST, Standing, side_of, typical

SIZE = 64


@pytest.fixture(scope="module")
def rasteriser():
    return Rasteriser(default_font(), SIZE)


def found_in(rasteriser, part, place) -> Standing:
    found = typical(rasteriser, Part(part, place))
    assert found is not None
    return found


def ink(picture):
    return picture < 128


@pytest.mark.parametrize(
    ("part", "place", "region"),
    [
        ("氵", "at the left", (slice(None), slice(0, 22))),
        ("刂", "at the right", (slice(None), slice(40, None))),
        ("艹", "above", (slice(0, 22), slice(None))),
        ("心", "below", (slice(36, None), slice(None))),
    ],
)
def test_a_part_at_a_side_is_held_whole_and_alone(rasteriser, part, place, region):
    found = found_in(rasteriser, part, place)
    assert Part(part, place) in parts(found.char)
    assert (found.picture == rasteriser.render(found.char)).all()
    outside = np.ones((SIZE, SIZE), bool)
    outside[region] = False
    assert (found.kept & ink(found.picture))[outside].mean() < 0.02
    # In other characters with the part, the same strokes are held.
    same = ink(found.picture) & found.kept
    others = [char for char in standing()[Part(part, place)] if char != found.char][:10]
    overlap = [(same & ink(rasteriser.render(char))).sum() / same.sum() for char in others]
    assert np.median(overlap) > 0.5


@pytest.mark.parametrize(("part", "place"), [("囗", "around"), ("疒", "above"), ("辶", "below"), ("門", "around")])
def test_a_part_that_encloses_leaves_the_inside_free(rasteriser, part, place):
    found = found_in(rasteriser, part, place)
    inside = found.kept[36:50, 28:44]
    assert inside.mean() < 0.3
    edges = [
        found.kept[side][ink(found.picture)[side]]
        for side in (np.s_[:, :14], np.s_[50:] if part == "辶" else np.s_[:14])
    ]
    assert min(edge.mean() for edge in edges) > 0.8


def test_both_sides_of_a_character_make_the_whole(rasteriser):
    for char, side, other in (("湖", "left", "right"), ("想", "top", "bottom"), ("人", "left", "right")):
        picture = rasteriser.render(char)
        one, two = (side_of(rasteriser, char, picture, way) for way in (side, other))
        assert (one ^ two).all()
        assert 0.1 < one.mean() < 0.9


def test_a_character_is_parted_between_its_parts(rasteriser):
    picture = rasteriser.render("湖")
    left = side_of(rasteriser, "湖", picture, "left")
    assert 0.15 < (left & ink(picture)).sum() / ink(picture).sum() < 0.35  # three strokes of twelve
    assert not (left[1:-1, 1:] & ~left[1:-1, :-1]).any()  # one stretch per row, from the left


def test_any_other_picture_is_cut_where_there_is_least_ink():
    picture = np.zeros((SIZE, SIZE), np.uint8)
    picture[:, 37] = 255
    assert (side_of(None, "", picture, "left") == (np.arange(SIZE) < 37)).all()
    assert (side_of(None, "", picture.T, "bottom") == (np.arange(SIZE) >= 37)[:, None]).all()
    assert side_of(None, "", np.full((SIZE, SIZE), 255, np.uint8), "left")[:, :32].all()  # otherwise in the middle


def test_what_too_few_characters_share_cannot_be_told(rasteriser):
    assert 0 < len(standing()[Part("心", "above")]) < FEWEST
    assert typical(rasteriser, Part("心", "above")) is None
    assert typical(rasteriser, Part("Q", "above")) is None
