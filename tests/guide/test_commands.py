"""`glyffuser guide`, `figures` and `map`: what they write and print, and one line for a mistake."""

import json

import pytest

from glyffuser.commands.cli import main
from glyffuser.guide.catalogue import FIGURES
from glyffuser.guide.maths import map_layout
from maps import flat_atlas


def run(*argv) -> int:
    return main([str(a) for a in argv])


@pytest.fixture
def flat(monkeypatch):
    """Maps are laid out at no cost; tests/guide/maths/test_map_layout.py tests the layout."""
    monkeypatch.setattr(map_layout, "compute", lambda images, codepoints, seed: flat_atlas(images, codepoints))


def test_figures_without_names_lists_them(capsys):
    assert run("figures") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FIGURES)
    assert lines[0].split()[:2] == ["1", "samples"]


@pytest.mark.slow
def test_figures_are_drawn_as_files(tiny_data, tiny_model, flat, tmp_path, capsys):
    out = tmp_path / "figures"
    settings = ("--data", tiny_data, "--model", tiny_model, "--quick", "--out", out, "--json")
    assert run("figures", "one-step", "density", *settings) == 0
    facts = json.loads(capsys.readouterr().out)
    assert sorted(facts["files"]) == sorted(
        str(out / f"{n}.{k}") for n in ("one-step", "density") for k in ("png", "svg")
    )
    assert facts["missing"] == {}


@pytest.mark.slow
def test_guide_of_one_figure_then_of_another_keeps_the_first(tiny_data, tiny_model, tmp_path, capsys):
    settings = ("--data", tiny_data, "--model", tiny_model, "--quick", "--out", tmp_path / "site")
    assert run("guide", "--only", "one-step", "--only", "training", *settings) == 0
    out = capsys.readouterr().out
    assert f"open {tmp_path / 'site' / 'index.html'}" in out
    assert out.rstrip().splitlines()[-2] == "could not be made:"
    assert out.rstrip().splitlines()[-1].strip().startswith("training: no training log")
    assert run("guide", "--only", "conditional", *settings) == 0
    assert "figures/one-step/still.png" in (tmp_path / "site" / "chapter-2.html").read_text()
    assert "glyffuser guide --only unet" in (tmp_path / "site" / "chapter-2.html").read_text()


@pytest.mark.slow
def test_the_map_is_one_small_file(tiny_data, tiny_model, flat, tmp_path, capsys):
    assert run("map", "--data", tiny_data, "--model", tiny_model, "--out", tmp_path / "map.html", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["bytes"] == (tmp_path / "map.html").stat().st_size < 12e6


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["figures", "sore"], ["'sore'", "score"]),
        (["guide", "--only", "sore"], ["'sore'", "score"]),
        (["guide", "--data", "nowhere.parquet"], ["nowhere.parquet", "glyffuser dataset build"]),
        (["guide", "--run", "nowhere"], ["run folder nowhere"]),
        (["guide", "--judges", "nowhere"], ["nowhere", "glyffuser train-judges"]),
        (["guide", "--model", "nowhere"], ["nowhere", "model"]),
        (["guide", "--latent", "nowhere"], ["--latent", "nowhere", "Autoencoder or GlyffuserPipeline"]),
        (["figures", "cascade", "--upscaler", "nowhere"], ["--upscaler", "nowhere", "class Upscaler"]),
        (["map", "--seed", "-1"], ["seed"]),
    ],
)
def test_a_mistake_is_one_line_and_status_2(argv, words, tiny_data, capsys):
    data = [] if "--data" in argv else ["--data", tiny_data]
    assert run(*argv, *data) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert all(word in line for word in words), line


def test_a_missing_extra_is_told_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run("guide") == 2
    assert "pip install 'glyffuser[guide]'" in capsys.readouterr().err


def test_the_default_data_set_is_built_where_it_is_missing(tiny_data, tiny_model, flat, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def build_dataset(fonts, unihan, out, progress):
        out.parent.mkdir()
        out.write_bytes(tiny_data.read_bytes())

    monkeypatch.setattr("glyffuser.data.dataset.build_dataset", build_dataset)
    assert run("figures", "density", "--model", tiny_model, "--quick") == 0
    assert (tmp_path / "figures" / "density.png").is_file()
    assert (tmp_path / "data" / "guide").is_dir()
