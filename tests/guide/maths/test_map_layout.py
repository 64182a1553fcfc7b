"""The map: neighbours and components against scikit-learn, new glyphs landing where they should, the kept file."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from glyffuser.base.errors import UserError
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.maths.map_layout import (
    atlas_path,
    compute,
    load_or_compute,
    nearest_rows,
    principal_components,
    shrink,
    start,
)


@pytest.fixture(scope="module")
def inputs(tiny_data, tmp_path_factory) -> Inputs:
    """The tiny data set, on the map that UMAP lays out."""
    return Inputs(tiny_data, cache=tmp_path_factory.mktemp("cache"))


def test_components_are_those_of_scikit_learn():
    rows = np.random.default_rng(0).normal(size=(200, 30)) * np.linspace(3, 0.1, 30)
    centred = rows - rows.mean(axis=0)
    ours = principal_components(centred, 5)
    theirs = PCA(5, svd_solver="full").fit(rows).components_.T
    np.testing.assert_allclose(np.abs((ours * theirs).sum(axis=0)), 1, atol=1e-5)


@pytest.mark.parametrize("cells", [2**26, 7_000, 1])  # all at once, 23 queries at a time, one
def test_neighbours_are_those_of_scikit_learn(monkeypatch, cells):
    monkeypatch.setattr("glyffuser.guide.maths.map_layout.CELLS", cells)
    rows = np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32)
    number, distance = nearest_rows(rows, rows, 7)
    far, near = NearestNeighbors(n_neighbors=7, algorithm="brute").fit(rows).kneighbors(rows)
    np.testing.assert_array_equal(number, near)
    np.testing.assert_allclose(distance, far, atol=1e-4)
    np.testing.assert_array_equal(number[:, 0], np.arange(300))


def test_a_glyph_of_the_map_lands_on_its_own_place(inputs):
    np.testing.assert_allclose(inputs.atlas.project(inputs.data.images), inputs.atlas.points, atol=1e-6)


def test_a_glyph_almost_like_one_of_the_map_lands_near_it_and_others_among_their_neighbours(inputs):
    atlas, images = inputs.atlas, inputs.data.images
    changed = images[:8].copy()
    changed[:, :2, :2] = 128
    shift = np.linalg.norm(atlas.project(changed) - atlas.points[:8], axis=1)
    assert shift.max() < 0.5
    blank = atlas.project(np.full_like(images[:1], 255))
    low, high = atlas.points.min(axis=0), atlas.points.max(axis=0)
    assert np.all((blank >= low) & (blank <= high))


def test_points_have_mean_0_and_variance_1(inputs):
    np.testing.assert_allclose(inputs.atlas.points.mean(axis=0), 0, atol=1e-6)
    assert (inputs.atlas.points**2).mean() == pytest.approx(1)


def test_laying_out_leaves_torch_its_threads(inputs):
    assert torch.get_num_threads() == 1  # set in conftest.py; there are more cores
    compute(inputs.data.images, inputs.data.codepoints)
    assert torch.get_num_threads() == 1


def test_the_same_seed_gives_the_same_map(inputs):
    again = compute(inputs.data.images, inputs.data.codepoints, seed=inputs.seed)
    np.testing.assert_array_equal(again.coordinates, inputs.atlas.coordinates)


def test_the_map_is_kept_and_a_damaged_file_is_made_anew(inputs, tiny_data, tmp_path, monkeypatch):
    made, here = inputs.atlas, Inputs(tiny_data, cache=tmp_path)
    monkeypatch.setattr("glyffuser.guide.maths.map_layout.compute", lambda *a: made)
    load_or_compute(here)
    monkeypatch.setattr("glyffuser.guide.maths.map_layout.compute", lambda *a: pytest.fail("computed again"))
    np.testing.assert_array_equal(load_or_compute(here).coordinates, made.coordinates)
    monkeypatch.setattr("glyffuser.guide.maths.map_layout.compute", lambda *a: made)
    atlas_path(here).write_bytes(b"PK\x03\x04 no more")
    with pytest.warns(UserWarning, match="rebuilt"):
        np.testing.assert_array_equal(load_or_compute(here).coordinates, made.coordinates)
    assert len(atlas_path(here).read_bytes()) > 20


@pytest.mark.parametrize(("glyphs", "islands", "expected"), [(400, 1, "spectral"), (404, 101, "pca"), (100, 1, "pca")])
def test_the_first_layout_is_spectral_where_that_works(glyphs, islands, expected):
    size = glyphs // islands
    own = np.arange(glyphs) // size * size  # where a glyph's island begins
    after = own + (np.arange(glyphs) - own + 1) % size
    assert start(np.stack([np.arange(glyphs), after], axis=1)) == expected


def test_shrinking_keeps_the_ink():
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8)
    small = shrink(images)
    assert small.shape == (3, 1024)
    np.testing.assert_allclose(small.mean(axis=1), 1 - images.mean(axis=(1, 2)) / 255, atol=1e-5)


def test_too_few_glyphs(inputs):
    with pytest.raises(UserError, match="four glyphs"):
        compute(inputs.data.images[:3], inputs.data.codepoints[:3])
