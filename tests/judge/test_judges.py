"""The judges: what they say about pictures, how they rank them, and that they survive being saved."""

import numpy as np
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.data.fonts import Rasteriser, default_font
from glyffuser.judge.judges import BUNDLED_SELECTOR, PAIR, PARTS, Judged, load_judges, load_selector


def pictures(n):
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32), dtype=np.uint8)


def judged(radicals, flaws):
    """Glyphs read with certainty as having these radicals, with these flaw scores."""
    n = len(radicals)
    radical = torch.full((n, 214), -20.0)
    radical[torch.arange(n), torch.tensor(radicals) - 1] = 0
    zeros = torch.zeros(n)
    return Judged(pictures(n), torch.zeros(n, 8), radical, zeros, torch.tensor(flaws), zeros, zeros > 1)


def test_every_field_has_a_row_a_glyph(judges):
    result = judges(pictures(5))
    assert len(result) == 5
    assert (result.features.shape, result.radical.shape, result.maps.shape) == ((5, 8), (5, 214), (5, 16, 16))
    assert (result.flagged == (result.flaws > judges.plausibility.config.threshold)).all()
    part = result.part(slice(1, 3))
    assert torch.equal(part.flaws, result.flaws[1:3])
    assert (part.images == result.images[1:3]).all()


def test_hits_are_radicals_counted_from_one():
    assert judged([167, 85, 195], [0.0, 0.0, 0.0]).hits((167, 195)).tolist() == [True, False, True]


def test_merit_wants_both_meaning_and_form(judges):
    expected = torch.full((214,), -20.0)
    expected[167 - 1] = 0
    right_clean, right_flawed, wrong_clean = judges.merit(judged([167, 167, 85], [-3.0, 3.0, -3.0]), expected)
    assert right_clean > right_flawed
    assert right_clean > wrong_clean
    # log of 1 times the logistic function of 3
    assert float(right_clean) == pytest.approx(np.log(1 / (1 + np.exp(-3))), abs=1e-4)


def test_saved_and_loaded_they_judge_the_same(judges, tmp_path):
    judges.plausibility.register_to_config(threshold=0.25)
    judges.save(tmp_path)
    again = load_judges(tmp_path)
    assert again.hashes() == judges.hashes()
    assert again.plausibility.config.threshold == 0.25
    one, other = judges(pictures(4)), again(pictures(4))
    torch.testing.assert_close(one.flaws, other.flaws)
    torch.testing.assert_close(one.radical, other.radical)


def test_a_selector_is_a_pair_with_the_bundled_prior(judges, tmp_path):
    judges.save(tmp_path, PAIR)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(PAIR)
    selector = load_selector(tmp_path)
    assert {name: selector.hashes()[name] for name in PAIR} == {name: judges.hashes()[name] for name in PAIR}
    assert selector.hashes()["prior"] == load_judges().hashes()["prior"]
    with pytest.raises(UserError, match="holds no recogniser"):
        load_selector(tmp_path / "nowhere")


def test_the_bundled_selector_is_small_reads_characters_and_is_not_the_judges():
    selector, proper = load_selector(), load_judges()
    assert sum(file.stat().st_size for file in BUNDLED_SELECTOR.rglob("*") if file.is_file()) < 5 * 2**20
    for name in PAIR:
        assert selector.hashes()[name] != proper.hashes()[name]
    draw = Rasteriser(default_font(), 128)
    images = np.stack([draw.render(char) for char in "銀鯉松"])
    broken = np.minimum(images, images[[1, 2, 0]])
    found, flawed = selector(images), selector(broken)
    assert (found.radical.argmax(1) + 1).tolist() == [167, 195, 75]
    assert (flawed.flaws > found.flaws).all()  # overlaid glyphs, a flaw that it was never shown
    expected = torch.full((214,), -20.0)
    expected[195 - 1] = 0.0
    assert selector.merit(found, expected).argmax() == 1


@pytest.mark.parametrize("name", PARTS)
def test_a_missing_or_damaged_part_is_named(judges, tmp_path, name):
    judges.save(tmp_path)
    (weights,) = (tmp_path / name).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(UserError, match=f"cannot load the {name}"):
        load_judges(tmp_path)
    (tmp_path / name / "config.json").unlink()
    with pytest.raises(UserError, match=f"holds no {name}"):
        load_judges(tmp_path)


def test_another_text_encoder_is_refused(judges, make_pipe):
    encoder = make_pipe().text_encoder
    assert judges.expect(encoder, ["gold", "fish"]).shape == (2, 214)
    judges.prior.register_to_config(encoder="another")
    with pytest.raises(UserError, match="text encoder"):
        judges.expect(encoder, ["gold"])
