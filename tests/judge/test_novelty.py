"""Novelty: distances against plain computations; real characters, redrawn, are found again; other glyphs are new."""

import unicodedata

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt

from glyffuser.base.errors import UserError
from glyffuser.data.fonts import Rasteriser, default_font
from glyffuser.judge.flaws import sampled
from glyffuser.judge.novelty import (
    ALL,
    BLOCK,
    EXISTS,
    FARTHEST,
    REACH,
    SHIFT,
    SIZE,
    Ideographs,
    Shape,
    build_ideographs,
    distances,
    load_ideographs,
    save_ideographs,
    sketch,
    squared_distances,
)


@pytest.fixture(scope="module")
def bundled() -> Ideographs:
    return load_ideographs()


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    draw = Rasteriser(default_font(), SIZE)
    return {char: draw.render(char).copy() for char in "金銀銅鐵水永大太犬魚一二三"}


def redrawn(image: np.ndarray, rng: np.random.Generator, reach: float = 2.0) -> np.ndarray:
    """A character as another hand would draw it: each place moved smoothly by at most `reach` pixels either way."""
    cells = int(rng.integers(4, 9))
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    fields = [Image.fromarray(rng.uniform(-reach, reach, (cells, cells)).astype(np.float32)) for _ in range(2)]
    dy, dx = (np.asarray(field.resize((SIZE, SIZE), Image.Resampling.BICUBIC)).clip(-reach, reach) for field in fields)
    ink = sampled(1 - image.astype(np.float32) / 255, rows + dy, columns + dx)
    return (255 * (1 - ink)).round().astype(np.uint8)


def slow_distance(a: np.ndarray, b: np.ndarray, dy: int, dx: int) -> float:
    """The distance between a, shifted, and b by scipy's distance transform, sorting the distances of all ink."""
    a, b = np.roll(np.pad(a, SHIFT), (dy, dx), axis=(0, 1)), np.pad(b, SHIFT)
    both = []
    for ink, other in ((a, b), (b, a)):
        far = np.sort(distance_transform_edt(~other)[ink])
        both.append(far[int(np.ceil((1 - FARTHEST) * len(far))) - 1])
    return max(both)


def test_distance_maps_are_those_of_scipy_within_reach(pictures):
    ink = pictures["永"] < 128
    exact, ours = distance_transform_edt(~ink) ** 2, squared_distances(ink)
    near = exact <= REACH**2
    np.testing.assert_allclose(ours[near], exact[near], atol=1e-6)
    assert (ours[~near] == REACH**2 + 1).all()
    assert not near.all()


def test_distances_are_those_of_a_plain_computation_at_every_shift(pictures):
    a, b = pictures["大"] < 128, pictures["太"] < 128
    ours = distances(Shape(a), Shape(b), ALL).reshape(2 * SHIFT + 1, 2 * SHIFT + 1)
    for dy, dx in ((0, 0), (-3, 2), (1, -3)):
        assert ours[dy + SHIFT, dx + SHIFT] == pytest.approx(min(slow_distance(a, b, dy, dx), np.sqrt(REACH**2 + 1)))


def test_sketches_are_the_same_a_block_at_a_time_and_all_at_once(bundled):
    some = 2 * BLOCK + 7  # not a whole number of blocks
    np.testing.assert_array_equal(bundled.sketches[:some], sketch(bundled.packed[:some]))


def test_the_nearest_is_the_nearest_of_an_exhaustive_search(bundled, pictures):
    image = pictures["銀"]
    (match,) = bundled.nearest(image[None], skip=[ord("銀")])
    rows = bundled.candidates(image[None] < 128)[0]
    rows = rows[bundled.codepoints[rows] != ord("銀")]
    every = [distances(Shape(image < 128), Shape(other), ALL).min() for other in bundled.ink(rows)]
    assert match.distance == pytest.approx(min(every))
    assert every[rows.tolist().index(match.row)] == match.distance


def test_a_character_is_found_where_it_stands_and_a_little_off(bundled, pictures):
    image = pictures["魚"]
    off = np.roll(image, (SHIFT, -SHIFT), axis=(0, 1))
    for match in bundled.nearest(np.stack([image, off])):
        assert (match.char, match.distance) == ("魚", 0)
        assert match.exists


def test_redrawn_characters_are_found_again_among_all_and_as_first_candidates(bundled):
    """200 characters of all planes; the candidates must not lose one in a hundred."""
    rng = np.random.default_rng(0)
    rows = rng.choice(len(bundled), 200, replace=False)
    images = np.stack([redrawn(np.where(ink, 0, 255).astype(np.uint8), rng) for ink in bundled.ink(rows)])
    found = bundled.candidates(images < 128)
    alike = [(bundled.packed[found[i]] == bundled.packed[row]).all(axis=(1, 2)).any() for i, row in enumerate(rows)]
    assert np.mean(alike) >= 0.99
    matches = bundled.nearest(images[:40])
    assert (
        np.mean(
            [(bundled.packed[m.row] == bundled.packed[row]).all() for m, row in zip(matches, rows[:40], strict=True)]
        )
        > 0.94
    )
    assert all(match.exists for match in matches)


def test_a_glyph_that_nobody_wrote_is_new(bundled, pictures):
    upside_down, mixed = pictures["鐵"][::-1], pictures["銅"].copy()
    mixed[:, SIZE // 2 :] = pictures["永"][:, SIZE // 2 :]
    assert [match.exists for match in bundled.nearest(np.stack([upside_down, mixed]))] == [False, False]


def test_a_stroke_more_makes_another_character(bundled, pictures):
    """大, 太 and 犬 differ by one dot, 二 and 三 by a line."""
    for char in "大太犬二三":
        assert bundled.nearest(pictures[char][None])[0].char == char
        assert not bundled.nearest(pictures[char][None], skip=[ord(char)])[0].exists


def test_paper_without_ink_is_no_character(bundled):
    (match,) = bundled.nearest(np.full((1, SIZE, SIZE), 255, np.uint8))
    assert (match.exists, match.distance) == (False, REACH)


def test_the_bundled_table_holds_every_ideograph_of_the_font_as_it_is_drawn(bundled, pictures):
    face = default_font()
    assert bundled.font == face.name
    kinds = ("CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC NUMBER ZERO")
    assert set(bundled.codepoints.tolist()) == {
        c for c in face.covered if unicodedata.name(chr(c), "").startswith(kinds)
    }
    assert len(bundled) > 30_000
    for char, image in pictures.items():
        (row,) = np.flatnonzero(bundled.codepoints == ord(char))
        np.testing.assert_array_equal(bundled.ink(np.array([row]))[0], image < 128)


def test_of_two_code_points_for_one_picture_the_common_one_is_named(bundled):
    first: dict[bytes, int] = {}
    twins = [
        (row, first[picture.tobytes()])
        for row, picture in enumerate(bundled.packed)
        if first.setdefault(picture.tobytes(), row) != row
    ]
    second = [pair for pair in twins if "COMPATIBILITY" in unicodedata.name(chr(bundled.codepoints[pair[0]]))]
    assert len(second) > 100
    for row, common in second[:5]:
        assert "UNIFIED" in unicodedata.name(chr(bundled.codepoints[common]))
        (match,) = bundled.nearest(np.where(bundled.ink(np.array([row])), 0, 255).astype(np.uint8))
        assert (match.row, match.distance) == (common, 0)


def test_pictures_of_another_size_are_measured_in_the_same_pixels(bundled, pictures):
    large = np.array(Image.fromarray(pictures["魚"]).resize((256, 256), Image.Resampling.BICUBIC))
    (match,) = bundled.nearest(large[None])
    assert (match.char, match.distance <= 1) == ("魚", True)


def test_a_table_of_pictures_leaves_out_blanks_and_survives_saving(pictures, tmp_path):
    chars = "金銀銅 "
    images = np.stack([*(pictures[char] for char in chars[:3]), np.full((SIZE, SIZE), 255, np.uint8)])
    table = build_ideographs(np.array([ord(char) for char in chars]), images, "Three Regular")
    assert table.codepoints.tolist() == [ord(char) for char in "金銀銅"]
    for name in ("one.xz", "two.xz"):
        save_ideographs(table, tmp_path / name)
    assert (tmp_path / "one.xz").read_bytes() == (tmp_path / "two.xz").read_bytes()
    again = load_ideographs(tmp_path / "one.xz")
    assert again.font == "Three Regular"
    assert [match.char for match in again.nearest(images[:3])] == list("金銀銅")


@pytest.mark.parametrize("content", [None, b"", b"no table", b"\xfd7zXZ\x00"])
def test_a_table_that_is_missing_or_damaged_is_named(content, tmp_path):
    path = tmp_path / "table.xz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"table\.xz.*dataset ideographs"):
        load_ideographs(path)


def test_exists_is_a_matter_of_the_limit(bundled):
    (match,) = bundled.nearest(np.where(bundled.ink(np.array([100])), 0, 255).astype(np.uint8))
    assert match._replace(distance=EXISTS).exists
    assert not match._replace(distance=EXISTS + 0.01).exists
