"""Training the judges: all three come out calibrated, and are measured on glyphs that they have not seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from glyffuser.base.errors import UserError
from glyffuser.data.captions import build_captions
from glyffuser.data.dataset import build_dataset, load_dataset
from glyffuser.data.fonts import default_font
from glyffuser.data.unihan import read_unihan
from glyffuser.judge.flaws import FLAWS
from glyffuser.judge.plausibility import Plausibility, PlausibilitySettings
from glyffuser.judge.prompts import PROMPTS
from glyffuser.judge.recogniser import RecogniserSettings, held_out_characters
from glyffuser.judge.training import (
    Material,
    fit_prior,
    measure_judges,
    measure_plausibility,
    measure_prior,
    selector_settings,
    train_form,
    train_judges,
)
from glyffuser.text.cache import encode_cached
from glyffuser.text.encoder import TextEncoder

READER = RecogniserSettings(widths=(4, 8, 8, 8), epochs=1, held_out=0.5)
FORM = PlausibilitySettings(widths=(4, 8, 8, 8), steps=2, batch_size=4, held_out=0.6)


@pytest.fixture(scope="module")
def material(tmp_path_factory, tiny_encoder):
    folder = tmp_path_factory.mktemp("material")
    path = folder / "glyphs.parquet"
    build_dataset([default_font()], read_unihan(), path, size=128, codepoints=range(0x6C34, 0x6F34))
    data, encoder = load_dataset(path, "train"), TextEncoder(str(tiny_encoder))
    texts = encode_cached(encoder, build_captions(data.definitions, data.senses).texts, folder)
    return Material(data, data, load_dataset(path, "test"), None, encoder, texts)


@pytest.fixture(scope="module")
def heard():
    """What was reported while the judges were trained."""
    return []


@pytest.fixture(scope="module")
def judges(material, heard):
    return train_judges(material, READER, FORM, lambda done, text: heard.append(done))


def test_all_three_are_trained_and_measured(material, judges, heard):
    assert heard == sorted(heard)
    assert heard[-1] == 0.95
    held_out = held_out_characters(material.data.codepoints, FORM.held_out)
    flagged = judges(material.data.images[held_out]).flagged
    assert 0.03 <= float(flagged.double().mean()) <= 0.055  # scores of so small a network can be equal in bfloat16
    measured = measure_judges(judges, material, READER.held_out)
    recogniser = measured["recogniser"]
    assert recogniser["test split"]["n"] == len(material.test)
    kept = held_out_characters(material.fonts.codepoints, 0.5)
    assert recogniser[f"unseen characters, {material.data.fonts[0]}"]["n"] == kept.sum()
    expected = judges.expect(material.encoder, material.test.definitions).argmax(1).numpy() + 1
    assert measured["prior"]["test definitions"] == (expected == material.test.radicals).mean()


def test_a_prior_that_has_learnt_the_prompts_is_measured_as_perfect(material, judges, monkeypatch):
    def knows(encoder, texts):
        asked = {prompt.text: prompt.radicals[0] for prompt in PROMPTS}
        return F.one_hot(torch.tensor([asked.get(text, 214) - 1 for text in texts]), 214).float()

    monkeypatch.setattr(judges, "expect", knows)
    assert measure_prior(judges, material) == {"test definitions": 0.0, "prompts": 1.0}


def test_a_selector_takes_the_prior_as_it_is_and_reads_no_captions(material, judges):
    without = replace(material, texts=None)
    selector = train_judges(without, replace(READER, seed=1), FORM, lambda done, text: None, judges.prior)
    assert selector.prior is judges.prior
    assert selector.hashes()["recogniser"] != judges.hashes()["recogniser"]
    with pytest.raises(ValueError, match="token states"):
        fit_prior(without)


def test_a_selector_differs_from_the_judges_in_seed_widths_and_flaws():
    reader, form = selector_settings(seed=3)
    assert (reader.seed, form.seed) == (4, 4)
    assert reader.widths != RecogniserSettings().widths
    assert form.widths != PlausibilitySettings().widths
    assert set(form.kinds) < set(FLAWS)


def test_an_unseen_font_is_reported(material, judges):
    another = replace(material, unseen=replace(material.data, fonts=["Another"] * len(material.data)))
    names = measure_judges(judges, another, READER.held_out)["recogniser"]
    assert "unseen font Another, unseen characters" in names
    assert "unseen font Another, seen characters" in names


def test_a_network_that_sees_ink_separates_what_has_more_of_it(material):
    """Scores that grow with ink find overlays and added strokes, and are fooled by what was erased."""

    class CountsInk(Plausibility):
        def score(self, images):
            return torch.from_numpy((255.0 - images).mean((1, 2))), torch.zeros(len(images), 16, 16)

    measured = measure_plausibility(CountsInk(threshold=1e9), material.data.images[:100], ("overlay", "erase"))
    assert measured["overlay"]["auc"] > 0.95
    assert measured["erase"]["auc"] < 0.5
    assert measured["real_flagged"] == measured["overlay"]["flagged"] == 0


def test_too_few_to_calibrate_is_said_before_training(material):
    few = replace(material.data, codepoints=np.arange(len(material.data)))
    with pytest.raises(UserError, match="calibration needs 200"):
        train_form(few, replace(FORM, held_out=0.01), lambda done, text: pytest.fail("training began"))


def test_what_plausibility_cannot_learn_from_is_said_before_the_recogniser_is_trained(material, monkeypatch):
    monkeypatch.setattr("glyffuser.judge.training.train_recogniser", lambda *words: pytest.fail("training began"))
    small = replace(material, data=replace(material.data, images=material.data.images[:, ::2, ::2]))
    with pytest.raises(UserError, match="128-pixel glyphs, not 64"):
        train_judges(small, READER, FORM, lambda done, text: None)
    with pytest.raises(UserError, match="calibration needs 200"):
        train_judges(material, READER, replace(FORM, held_out=0.01), lambda done, text: None)


def test_every_kind_of_flaw_is_measured(material):
    form = train_form(material.data, FORM, lambda done, text: None)
    assert set(measure_plausibility(form, material.test.images)) == {*FLAWS, "real_flagged"}
