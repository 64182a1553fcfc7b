"""`glyffuser bench`: which measurements it takes, what it prints of them, and what it refuses; nothing is measured."""

import json

import pytest

from glyffuser.bench.table import Table
from glyffuser.commands.bench import STEPS, USUAL
from glyffuser.commands.cli import main


def run(*argv):
    return main([str(a) for a in argv])


@pytest.fixture
def asked(monkeypatch):
    """What the functions of the room were asked, by name; each answers with a table of that name."""
    asked = {}

    def stand_in(name, figure):
        def measure(*words, **named):
            asked[name] = words
            table = Table(name, ("what",), [("it",)])
            return (table, figure) if figure else table

        return measure

    for module, name, figure in (
        ("training", "training", ""),
        ("sampling", "sampling", ""),
        ("cold", "cold", ""),
        ("quality", "by_steps", "steps.png"),
        ("quality", "by_training", "training.png"),
    ):
        monkeypatch.setattr(f"glyffuser.bench.{module}.{name}", stand_in(name, figure))
    monkeypatch.setattr("glyffuser.judge.judges.load_judges", lambda: "judges")
    monkeypatch.setattr("glyffuser.commands.bench.open_pipeline", lambda model: f"pipeline of {model}")
    monkeypatch.setattr("glyffuser.commands.info.collect", lambda: {"torch": "2", "other": "x"})
    return asked


def test_each_name_is_measured_and_told(asked, tmp_path, capsys):
    out = tmp_path / "out"
    assert run("bench", "training", "sampling", "cold", "quality", "--out", out, "--repeats", 2, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [table["title"] for table in told["tables"]] == ["training", "sampling", "cold", "by_steps"]
    assert (told["figures"], told["timed_by"]) == (["steps.png"], "the clock")
    assert asked["training"][:2] == (USUAL, 2)
    assert asked["sampling"][:3] == ("pipeline of bundled", STEPS["sampling"], 2)
    assert asked["cold"][:2] == ("bundled", 2)
    assert asked["by_steps"][:5] == ("pipeline of bundled", "judges", STEPS["quality"], 160, out)
    assert out.is_dir()


def test_people_read_the_machine_and_the_tables(asked, tmp_path, capsys):
    assert run("bench", "quality", "--run", tmp_path / "run", "--n", 8, "--out", tmp_path) == 0
    assert asked["by_training"][:4] == (tmp_path / "run", "judges", 8, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["torch: 2", "timed by the clock", "", "by_training"]
    assert lines[-1] == "figure: training.png"


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["speed"], "choose one of training, sampling, cold, quality"),
        (["training", "--preset", "huge"], "unknown preset 'huge'"),
        (["sampling", "--steps", "4", "0"], "--steps must be 1 or more, not 0"),
        (["--repeats", "0"], "--repeats must be 1 or more, not 0"),
        (["--run", "runs/mine"], "--run is for quality; name that too"),
        (["training", "--n", "8"], "--n is for quality"),
        (["cold", "--out", "elsewhere"], "--out is for quality"),
        (["cold", "--steps", "4"], "--steps is for sampling and quality"),
        (["sampling", "--batch", "8"], "--batch is for training"),
        (["training", "--model", "runs/mine"], "--model is for sampling and cold and quality"),
        (["quality", "--run", "runs/mine", "--steps", "4"], "--steps is for sampling;"),
        (["quality", "--out", "file"], "file is a file, not a folder"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is(argv, words, asked, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    assert run("bench", *argv) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert words in captured.err
    assert asked == {}
