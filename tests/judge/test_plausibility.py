"""The plausibility network: training lowers its loss, maps point at flaws, calibration flags the share it says."""

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.data.dataset import load_dataset
from glyffuser.judge.plausibility import (
    CELL,
    FLAGGED,
    SIZE,
    Plausibility,
    PlausibilitySettings,
    auc,
    cells,
    examples,
    rendered,
    train_plausibility,
    worst,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    from glyffuser.data.dataset import build_dataset
    from glyffuser.data.fonts import default_font
    from glyffuser.data.unihan import read_unihan

    path = tmp_path_factory.mktemp("large") / "glyphs.parquet"
    build_dataset([default_font()], read_unihan(), path, size=SIZE, codepoints=range(0x6C34, 0x6C60))
    return load_dataset(path)


def test_training_lowers_the_loss(data):
    settings = PlausibilitySettings(widths=(8, 16, 16, 16), kinds=("overlay", "blur"), steps=60, batch_size=8)
    losses = [epoch.loss for _, epoch in train_plausibility(data, settings)]
    assert losses[-1] < 0.8 * losses[0]


def test_half_of_the_examples_are_flawed_and_marked(data):
    ink, target, verdict = examples(data.images, PlausibilitySettings(batch_size=8), np.random.default_rng(0))
    assert ink.shape == (8, 1, SIZE, SIZE)
    assert target.shape == (8, SIZE // CELL, SIZE // CELL)
    assert verdict.tolist() == [0, 1] * 4
    assert (target.flatten(1).sum(1) > 0).tolist() == [False, True] * 4


def test_rendering_keeps_strokes_where_they_are(data):
    ink = 1 - torch.from_numpy(data.images[:4])[:, None].float() / 255
    again = rendered(ink, torch.Generator().manual_seed(0))
    assert (again != ink).flatten(1).any(dim=1).all()
    assert ((again > 0.5) == (ink > 0.5)).float().mean() > 0.95


def test_cells_are_marked_from_three_pixels_on():
    changed = np.zeros((SIZE, SIZE), dtype=bool)
    changed[0, 0:2] = True  # two pixels of the first cell
    changed[CELL, CELL : CELL + 3] = True  # three of the next on the diagonal
    marked = cells(changed)
    assert marked.sum() == 1
    assert marked[1, 1] == 1


def test_worst_is_the_mean_of_the_worst_cells():
    maps = torch.zeros(1, 16, 16)
    maps[0, 3, 3:7] = torch.tensor([4.0, 8.0, 8.0, 4.0])
    assert worst(maps).item() == 6


def test_calibration_flags_the_stated_share():
    torch.manual_seed(0)
    network = Plausibility(widths=(8, 16, 16, 16)).eval()
    images = np.random.default_rng(0).integers(0, 256, (200, SIZE, SIZE), dtype=np.uint8)
    network.calibrate(images)
    flagged = (network.score(images)[0] > network.config.threshold).float().mean()
    assert flagged == pytest.approx(FLAGGED, abs=0.006)


def test_calibration_needs_enough_glyphs():
    with pytest.raises(UserError, match="needs 200"):
        Plausibility().calibrate(np.zeros((10, SIZE, SIZE), dtype=np.uint8))


def test_the_threshold_is_saved(tmp_path):
    network = Plausibility(threshold=1.5)
    network.save_pretrained(tmp_path)
    assert Plausibility.from_pretrained(tmp_path).config.threshold == 1.5


@pytest.mark.parametrize(
    ("real", "flawed", "expected"),
    [([0.0, 1.0], [2.0, 3.0], 1.0), ([2.0, 3.0], [0.0, 1.0], 0.0), ([1.0, 1.0], [1.0], 0.5), ([0.0, 2.0], [1.0], 0.5)],
)
def test_auc_by_hand(real, flawed, expected):
    assert auc(torch.tensor(real), torch.tensor(flawed)) == expected
