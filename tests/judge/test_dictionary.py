"""The dictionary: saved with its model, read again, and what is found in it."""

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.data.dataset import load_dataset
from glyffuser.judge.contrastive import ContrastiveSettings, captions_of
from glyffuser.judge.dictionary import FILE, Finder, load_dictionary, save_contrastive
from glyffuser.judge.judges import BUNDLED_JUDGES, load_contrastive
from glyffuser.judge.recogniser import Recogniser
from glyffuser.judge.training import fit_contrastive
from glyffuser.text.cache import encode_cached
from glyffuser.text.encoder import TextEncoder

SMALL = 8 * 2**20  # bytes that the bundled model and dictionary may take


@pytest.fixture(scope="module")
def encoder(tiny_encoder):
    return TextEncoder(str(tiny_encoder))


@pytest.fixture(scope="module")
def data(tiny_data):
    return load_dataset(tiny_data)


@pytest.fixture(scope="module")
def saved(tiny_data, data, encoder, tmp_path_factory):
    """A folder of judges, a recogniser and a model briefly trained on it, and the dictionary made with them."""
    folder = tmp_path_factory.mktemp("judges")
    torch.manual_seed(0)
    recogniser = Recogniser("金木水", widths=(8, 8, 16, 16), feature_dim=32, character_dim=4).eval()
    recogniser.save_pretrained(folder / "recogniser")
    texts = encode_cached(encoder, captions_of(load_dataset(tiny_data, "train")).texts, folder)
    settings = ContrastiveSettings(width=16, hidden=(32, 32), steps=30, batch_size=16)
    heard = []
    made = fit_contrastive(data, recogniser, encoder, texts, settings, lambda done, text: heard.append(done))
    assert heard == sorted(heard)
    assert heard[-1] == 1
    save_contrastive(*made, folder / "contrastive")
    return folder, made[1]


def test_saved_and_read_it_is_the_same_but_for_rounding(saved, data, encoder):
    folder, dictionary = saved
    network, recogniser = load_contrastive(folder)
    seen = dict(zip(data.codepoints.tolist(), network.look(recogniser, data.images), strict=True))
    read = dict(zip(data.codepoints.tolist(), network.read(encoder, data.definitions), strict=True))
    again = load_dictionary(folder / "contrastive")
    assert again.codepoints.tolist() == sorted({*data.codepoints.tolist()})
    meanings = dict(zip(data.codepoints.tolist(), data.definitions, strict=True))
    assert again.definitions == [meanings[code] for code in again.codepoints.tolist()]
    for row, code in enumerate(again.codepoints.tolist()):  # also in the test split, whose definitions were not taught
        assert float(dictionary.pictures[row] @ seen[code]) > 0.99
        assert float(dictionary.meanings[row] @ read[code]) > 0.99
    for one, two in ((dictionary.pictures, again.pictures), (dictionary.meanings, again.meanings)):
        assert (one * two).sum(dim=1).min() > 0.999  # cosines
        torch.testing.assert_close(two.norm(dim=1), torch.ones(len(two)))


def test_a_picture_looks_like_its_own_character_and_a_text_finds_it(saved, data, encoder):
    folder, _ = saved
    finder = Finder(*load_contrastive(folder), encoder, load_dictionary(folder / "contrastive"))
    rows = [3, 40]
    for row, (like, sense) in zip(rows, finder.by_picture(data.images[rows], 3), strict=True):
        assert like[0].char == data.chars[row]
        assert like[0].codepoint == f"U+{data.codepoints[row]:04X}"
        assert like[0].score > 0.99
        assert like[0].score >= like[-1].score
        assert [found.score for found in sense] == sorted((found.score for found in sense), reverse=True)
    (found,) = finder.by_meaning([data.definitions[3]], len(data) + 5)
    assert len(found) == len(data)
    network, known = finder.network, finder.dictionary
    vector = network.read(encoder, [data.definitions[3]])[0]
    likeness = (known.pictures @ vector + known.meanings @ vector) / 2
    assert found[0].char == chr(known.codepoints[int(likeness.argmax())])


def test_what_is_missing_or_damaged_is_named(saved, tmp_path):
    with pytest.raises(UserError, match="holds no contrastive"):
        load_contrastive(tmp_path)
    (tmp_path / FILE).write_bytes(b"no dictionary")
    with pytest.raises(UserError, match="--contrastive"):
        load_dictionary(tmp_path)


def test_the_bundled_one_is_small_and_finds_fish():
    folder = BUNDLED_JUDGES / "contrastive"
    assert sum(path.stat().st_size for path in folder.iterdir()) < SMALL
    finder = Finder.load(BUNDLED_JUDGES)
    assert len(finder.dictionary) > 20_000
    (found,) = finder.by_meaning(["a kind of fish"], 10)
    assert sum("fish" in one.definition for one in found) >= 8
    gold = np.flatnonzero(finder.dictionary.codepoints == ord("金"))
    assert "gold" in finder.dictionary.definitions[int(gold[0])]
