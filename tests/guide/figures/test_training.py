"""A run's log and samples as they are on disk."""

import numpy as np
import pytest
from PIL import Image

from glyffuser.guide.drawn import Missing
from glyffuser.guide.figures.process.training import prompt_difference, read_losses, read_samples, smoothed
from glyffuser.train.previews import PROMPTS, SEEDS


def test_a_log_with_repeats_and_a_cut_line_reads(run_folder):
    steps, losses, minutes = read_losses(run_folder)
    np.testing.assert_array_equal(steps, np.arange(1, 21))
    np.testing.assert_allclose(losses, 2.0 / steps)
    assert minutes == 2.0


def test_samples_are_cut_at_the_right_places(run_folder):
    sheets = read_samples(run_folder)
    assert sorted(sheets) == [10, 20]
    assert sheets[10].shape == (len(PROMPTS), SEEDS, 8, 8)
    whole = np.asarray(Image.open(run_folder / "samples" / "step-00000010.png"))
    np.testing.assert_array_equal(sheets[10][2, 1], whole[16:24, 8:16])


def test_an_empty_run_is_missing(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("")
    with pytest.raises(Missing, match="no log line"):
        read_losses(tmp_path)
    with pytest.raises(Missing, match="no sheets"):
        read_samples(tmp_path)


def test_smoothing_keeps_a_straight_line_and_drops_a_spike():
    line = np.linspace(1, 0, 50)
    np.testing.assert_allclose(smoothed(line)[10:-10], line[10:-10])
    spiked = line.copy()
    spiked[25] = 100
    assert smoothed(spiked).max() < 1.1


def test_prompt_difference_counts_pixels():
    sheet = np.full((2, 1, 4, 4), 255, np.uint8)
    assert prompt_difference(sheet) == 0
    sheet[1, 0, :2] = 0
    assert prompt_difference(sheet) == 0.5
