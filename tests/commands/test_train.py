"""The commands that train: what their options change in a run that has begun, and what they need."""

import importlib.util
from pathlib import Path

import pytest

from glyffuser.base.errors import UserError
from glyffuser.commands.align import Align
from glyffuser.commands.cli import main
from glyffuser.commands.distil import Distil
from glyffuser.config import Config, dump_config, override
from glyffuser.train.folder import RunFolder


@pytest.fixture
def run(tmp_path) -> Path:
    """The folder of a run that has begun, of a student and from pairs at once."""
    told = [f"{key}={tmp_path}/{name}" for key, name in (("distil.teacher", "runs/mine"), ("align.pairs", "a.parquet"))]
    method = ["distil.method=consistency", "distil.steps=2", f"align.reference={tmp_path}/runs/mine", "align.beta=50.0"]
    (tmp_path / "config.toml").write_text(dump_config(override(Config(), [*told, *method])))
    return tmp_path


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "runs/other"}, "distil.teacher = "),
        ({"method": "moments"}, "distil.method = 'consistency', not 'moments'"),
        ({"steps": 8}, "distil.steps = 2, not 8"),
        ({"guidance": 5.0}, "distil.guidance = 3.0, not 5.0"),
        ({"adversarial": 0.3}, "distil.adversarial = 0.0, not 0.3"),
        ({"data": Path("other.parquet")}, "data.path = 'data/glyphs.parquet', not 'other.parquet'"),
    ],
)
def test_a_student_that_has_begun_is_not_changed(run, options, words):
    config, out = Distil(out=run, **options).settings()
    with pytest.raises(UserError, match=r"choose another --out") as caught:
        RunFolder(out, config)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "runs/other"}, "align.reference = "),
        ({"pairs": Path("b.parquet")}, "align.pairs = "),
        ({"beta": 5.0}, "align.beta = 50.0, not 5.0"),
    ],
)
def test_an_alignment_that_has_begun_is_not_changed(run, options, words):
    config, out = Align(out=run, **options).settings()
    with pytest.raises(UserError, match=r"choose another --out") as caught:
        RunFolder(out, config)
    assert words in str(caught.value)


@pytest.mark.parametrize(("command", "setting"), [(Distil, "distil.teacher"), (Align, "align.reference")])
def test_a_run_of_another_kind_is_not_continued(command, setting, tmp_path):
    (tmp_path / "config.toml").write_text(dump_config(Config()))
    with pytest.raises(UserError, match=f"a run of another kind, without {setting}; choose another --out"):
        command(out=tmp_path).settings()


def test_what_is_named_again_goes_on(run, monkeypatch):
    monkeypatch.chdir(run)
    for command in (
        Distil(out=run),
        Distil("runs/mine", "consistency", 2, out=run, max_steps=7),
        Align(out=run),
        Align("runs/mine", Path("a.parquet"), 50.0, out=run, max_steps=7),
    ):
        config, out = command.settings()
        RunFolder(out, config)
        assert (config.distil.steps, config.align.beta) == (2, 50.0)
        assert config.train.max_steps == (command.max_steps or Config().train.max_steps)


@pytest.mark.parametrize(("command", "words"), [("distil", "default: guidance,"), ("align", "default: pairs.parquet.")])
def test_help_tells_the_defaults(command, words, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = "".join(capsys.readouterr().out.replace("│", " ").split())
    assert words.replace(" ", "") in said
    assert "default:thebundledmodel." in said


def test_tensorboard_is_missed_before_anything_is_read(tmp_path, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find(name))
    argv = ["train", "--data", str(tmp_path / "none.parquet"), "--set", "train.tensorboard=true"]
    assert main([*argv, "--out", str(tmp_path / "run")]) == 2
    assert "this needs tensorboard; pip install 'glyffuser[train]'" in capsys.readouterr().err
