"""`glyffuser train-judges`: what it trains, from what, into which folder; small networks stand in for those trained."""

import json
from pathlib import Path

import pytest
import torch

from glyffuser.base.weights import weights_hash
from glyffuser.commands.cli import main
from glyffuser.judge.contrastive import Contrastive
from glyffuser.judge.dictionary import Dictionary
from glyffuser.judge.judges import BUNDLED_JUDGES, load_judges, load_part, load_selector
from glyffuser.judge.training import selector_settings
from glyffuser.text.encoder import TextEncoder


def run(*argv):
    return main(["train-judges", *(str(a) for a in argv)])


def hashes(judges):
    return [judges.hashes()[name] for name in ("recogniser", "plausibility")]


@pytest.fixture
def trained(judges, tiny_encoder, tmp_path, monkeypatch):
    """What `train_judges` was called with, from an empty folder; it answers with small judges."""
    monkeypatch.chdir(tmp_path)
    calls = []

    def train_judges(material, reader, form, report, prior):
        calls.append((material, reader, form, prior))
        return judges

    monkeypatch.setattr("glyffuser.text.encoder.TextEncoder", lambda: TextEncoder(str(tiny_encoder)))
    monkeypatch.setattr("glyffuser.judge.training.train_judges", train_judges)
    monkeypatch.setattr("glyffuser.judge.training.measure_judges", lambda made, *other: {"hashes": hashes(made)})
    return calls


@pytest.fixture
def chosen(tiny_data):
    """The options that name the data."""
    return ("--fonts", tiny_data, "--data", tiny_data, "--json")


def test_judges_are_trained_and_then_measured_again(trained, judges, chosen, capsys):
    assert run(*chosen, "--minutes", 10, "--seed", 3) == 0
    ((material, reader, form, prior),) = trained
    assert (reader.seed, reader.max_minutes, form.max_minutes, prior) == (3, 6, pytest.approx(3.8), None)
    assert material.texts is not None  # from which the prior is fitted
    made = load_judges("judges")
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads(Path("judges/judges.json").read_text()) == {"hashes": hashes(made)}
    assert run(*chosen, "--measure") == 0
    assert json.loads(capsys.readouterr().out) == told
    assert len(trained) == 1


def test_a_selector_has_a_folder_of_its_own(trained, judges, chosen, capsys):
    assert run(*chosen, "--selector") == 0
    ((material, reader, form, prior),) = trained
    assert (reader.widths, form.kinds) == (selector_settings()[0].widths, selector_settings()[1].kinds)
    assert material.texts is None
    assert weights_hash(prior) == weights_hash(load_part(BUNDLED_JUDGES, "prior"))
    assert [path.name for path in Path("judges").iterdir()] == ["selector"]
    assert sorted(path.name for path in Path("judges/selector").iterdir()) == [
        "judges.json",
        "plausibility",
        "recogniser",
    ]
    capsys.readouterr()
    assert run(*chosen, "--selector", "--measure") == 0
    assert json.loads(capsys.readouterr().out) == {"hashes": hashes(load_selector("judges/selector"))}


def test_a_selector_does_not_replace_the_judges(trained, judges, chosen, tmp_path, capsys):
    judges.save(tmp_path / "judges")
    assert run(*chosen, "--selector", "--out", tmp_path / "judges") == 2
    assert "holds the judges" in capsys.readouterr().err
    assert trained == []


def test_the_contrastive_model_stands_on_the_recogniser_of_its_folder(trained, judges, chosen, monkeypatch, capsys):
    judges.save(Path("judges"))
    vectors = torch.eye(2)
    made = Contrastive(features=8, dim=16, width=2), Dictionary(torch.arange(2).numpy(), ["a", "b"], vectors, vectors)
    calls = []

    def fit_contrastive(*words):
        calls.append(words)
        return made

    monkeypatch.setattr("glyffuser.judge.training.fit_contrastive", fit_contrastive)
    monkeypatch.setattr("glyffuser.judge.contrastive.measure_contrastive", lambda *words: {"seen": len(words[2])})
    assert run(*chosen, "--contrastive") == 0
    ((data, recogniser, *_),) = calls
    assert recogniser.config.feature_dim == judges.recogniser.config.feature_dim
    assert (len(data), json.loads(capsys.readouterr().out)) == (65, {"seen": 1})  # both splits, and the test split
    assert load_part(Path("judges"), "contrastive").config.width == 2
    assert Path("judges/contrastive.json").is_file()
    assert run(*chosen, "--contrastive", "--measure") == 0
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--seed", "-1"], "--seed must be between 0"),
        (["--selector", "--contrastive"], "give one of them"),
        (["--out", "file"], "file is a file, not a folder"),
    ],
)
def test_a_mistake_is_one_line_before_any_data_is_read(argv, words, trained, capsys):
    Path("file").write_text("mine")
    assert run(*argv, "--fonts", "none.parquet") == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert words in captured.err
