"""The recogniser learns what it is shown, reads pictures of any size, and survives being saved."""

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.data.dataset import load_dataset
from glyffuser.judge.recogniser import (
    Recogniser,
    RecogniserSettings,
    augment,
    held_out_characters,
    train_recogniser,
)


@pytest.fixture(scope="module")
def data(tiny_data):
    return load_dataset(tiny_data).select(np.arange(24))


@pytest.fixture(scope="module")
def trained(data):
    """A small recogniser, trained for 160 steps on two dozen glyphs, none held out: enough to know them."""
    settings = RecogniserSettings(widths=(8, 16, 16, 32), epochs=80, batch_size=12, lr=6e-3, held_out=0.0)
    *_, (network, last) = train_recogniser(data, settings)
    assert last.done == 1
    return network


def test_it_learns_the_glyphs_it_is_shown(trained, data):
    reading = trained.read(data.images, name=True)
    named = torch.tensor([ord(c) for c in trained.config.characters])[reading.character.argmax(1)]
    assert (named.numpy() == data.codepoints).mean() > 0.95
    assert (reading.radical.argmax(1).numpy() + 1 == data.radicals).mean() > 0.95
    assert np.abs(reading.strokes.numpy() - data.strokes).mean() < 1.5


def test_reading_has_the_stated_shapes(trained, data):
    reading = trained.read(data.images[:5], name=True)
    assert reading.radical.shape == (5, 214)
    torch.testing.assert_close(reading.radical.exp().sum(1), torch.ones(5))
    assert reading.strokes.shape == (5,)
    assert reading.character.shape == (5, len(trained.config.characters))
    assert reading.features.shape == (5, trained.config.feature_dim)


def test_a_glyph_is_read_alike_at_twice_the_size(trained, data):
    twice = data.images[:8].repeat(2, axis=1).repeat(2, axis=2)
    small, large = trained.read(data.images[:8]), trained.read(twice)
    assert torch.equal(small.radical.argmax(1), large.radical.argmax(1))


def test_saved_and_loaded_it_reads_the_same(trained, data, tmp_path):
    trained.save_pretrained(tmp_path)
    again = Recogniser.from_pretrained(tmp_path)
    for a, b in zip(trained.read(data.images[:4], name=True), again.read(data.images[:4], name=True), strict=True):
        # In bfloat16 products depend on how weights lie in memory.
        torch.testing.assert_close(a, b, atol=0.05, rtol=0.01)


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((2, 64, 32), np.uint8),
        np.zeros((64, 64), np.uint8),
        np.zeros((2, 64, 64), np.float32),
        np.zeros((2, 64, 64, 3), np.uint8),
    ],
)
def test_pictures_of_another_form_are_refused(trained, pictures):
    with pytest.raises(UserError, match="square 8-bit grey"):
        trained.read(pictures)


def test_augmentation_keeps_paper_white_and_ink_in_place():
    blank = torch.ones(4, 1, 64, 64)
    moved = augment(blank, torch.Generator().manual_seed(0))
    assert (moved - 1).abs().mean() < 0.12  # grain alone
    inked = blank.clone()
    inked[:, :, 24:40, 24:40] = -1
    moved = augment(inked, torch.Generator().manual_seed(1))
    assert (moved[:, :, 30:34, 30:34] < 0).all(dim=(1, 2, 3)).all()
    assert not torch.equal(moved[0], moved[1])


def test_held_out_characters_are_the_same_for_every_font_and_about_as_many_as_asked():
    codepoints = np.arange(0x4E00, 0x9FA5)
    chosen = held_out_characters(codepoints, 0.05)
    assert chosen.mean() == pytest.approx(0.05, abs=0.01)
    np.testing.assert_array_equal(held_out_characters(np.tile(codepoints, 2), 0.05), np.tile(chosen, 2))


def test_held_out_characters_are_not_learnt(data):
    settings = RecogniserSettings(widths=(4, 8, 8, 8), epochs=1, batch_size=16, held_out=0.5)
    *_, (network, _) = train_recogniser(data, settings)
    kept = held_out_characters(data.codepoints, 0.5)
    assert set(network.config.characters) == set(map(chr, data.codepoints[~kept]))
