"""The command contract: what is printed where, exit status, one line for a mistake."""

import gc
import io
import json
import os
import subprocess
import sys
import tomllib

import pytest

from glyffuser.base.names import SAMPLER_NAMES
from glyffuser.commands.cli import COMMANDS, main
from glyffuser.commands.shared import importing
from glyffuser.config import DATA, PRESETS


def run(*argv):
    return main([str(a) for a in argv])


def complaint(capsys):
    """The one line that answers a mistake."""
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("glyffuser: ")
    return lines[0]


@pytest.mark.parametrize("module", ["glyffuser", "glyffuser.commands.cli"])
def test_import_does_not_load_torch(module):
    code = f"import sys, {module}; print([m for m in ('torch', 'transformers', 'PIL') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_help_does_not_load_torch():
    code = (
        "import sys; from glyffuser.commands.cli import main\n"
        "try: main(['sample', '--help'])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).splitlines()[-1] == "0 False"


def test_the_collector_rests_while_modules_are_imported_and_no_longer(tmp_path, monkeypatch):
    (tmp_path / "a_module_of_its_own.py").write_text("import gc\nresting = not gc.isenabled()\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert gc.isenabled()
    with importing():
        import a_module_of_its_own
    assert a_module_of_its_own.resting
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()
    with pytest.raises(ImportError), importing():
        import one_that_is_missing  # noqa: F401
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    "argv", [[c] for c in COMMANDS] + [["dataset", "build"], ["dataset", "info"], ["dataset", "ideographs"]]
)
def test_every_command_has_help_with_an_example(argv, capsys):
    with pytest.raises(SystemExit) as end:
        main([*argv, "--help"])
    assert end.value.code == 0
    assert f"Example: glyffuser {' '.join(argv)}" in capsys.readouterr().out


@pytest.mark.parametrize(("command", "names"), [("train", PRESETS), ("sample", SAMPLER_NAMES)])
def test_help_lists_what_there_is(command, names, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    said = "".join(capsys.readouterr().out.replace("│", " ").split())  # tyro breaks lines, and draws a box
    assert f"Oneof{','.join(names)};" in said
    assert command == "sample" or str(DATA) in said


def test_sample_writes_pictures_and_prints_where(tiny_model, tmp_path, capsys):
    assert run("sample", "gold", "-n", 2, "--steps", 2, "--model", tiny_model, "--out", tmp_path) == 0
    captured = capsys.readouterr()
    assert str(tmp_path / "gold-0.png") in captured.out
    assert (tmp_path / "gold-0-1.png").is_file()
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\n \n", "holds no meanings; write one a line"),
        (b"\xff\xfe\x00", "not a text in UTF-8"),
    ],
)
def test_a_list_that_cannot_be_read_is_named(tmp_path, capsys, content, words):
    path = tmp_path / "prompts.txt"
    if content is not None:
        path.write_bytes(content)
    assert run("sample", "--list", path) == 2
    assert words in (line := complaint(capsys))
    assert str(path) in line


def test_sample_as_json(tiny_model, tmp_path, capsys):
    assert run("sample", "gold", "-n", 1, "--steps", 1, "--model", tiny_model, "--out", tmp_path, "--json") == 0
    (result,) = json.loads(capsys.readouterr().out)
    assert result["prompt"] == "gold"
    assert len(result["glyphs"]) == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sample"], ["at least one English meaning"]),
        (["sample", " "], ["prompt is empty"]),
        (["sample", "gold", "-n", "0"], ["-n must be between"]),
        (["sample", "gold", "-n", "99999999"], ["-n must be between"]),
        (["sample", "gold", "-n", "x"], ["-n", "'x'", "--help"]),
        (["sample", "gold", "--steps", "0"], ["steps", "between 1 and"]),
        (["sample", "gold", "--steps", "1001"], ["steps", "between 1 and 1000"]),
        (["sample", "gold", "--sampler", "plms"], ["'plms'", "dpm++2m", "heun"]),
        (["sample", "gold", "--guidance", "nan"], ["guidance", "finite"]),
        (["sample", "gold", "--style", "serif"], ["knows no styles", "--preset styles"]),
        (["find"], ["a meaning or a picture"]),
        (["find", "gold", "-n", "0"], ["-n must be 1 or more"]),
        (["find", "gold", "--judges", "nowhere"], ["nowhere", "contrastive"]),
        (["sample", "gold", "--seed", "-1"], ["seed"]),
        (["sample", "gold", "--new", "--no-new"], ["--new", "--no-new"]),
        (["sample", "gold", "--keep", "left"], ["--keep", "--init"]),
        (["sample", "gold", "--strength", "0.5"], ["--strength", "--init"]),
        (["sample", "gold", "--init", "湖", "--strength", "2"], ["--strength", "at most 1"]),
        (["sample", "gold", "--init", "x.png"], ["x.png", "--init"]),
        (["sample", "--with", "Q", "gold"], ["'Q'", "氵"]),
        (["sample", "gold", "--with", "氵", "--with", "馬:right"], ["only one", "--with 氵"]),
        (["sample", "gold", "--steps", "x"], ["--steps", "from ['x']", "--help"]),
        (["sample", "gold", "--quick"], ["options: --quick; see glyffuser sample --help"]),
        (["sample", "gold", "--stesp", "3"], ["--stesp", "glyffuser sample --help"]),
        (["smaple", "gold"], ["smaple", "glyffuser --help"]),
    ],
)
def test_a_mistake_in_sampling_is_one_line_and_status_2(argv, words, tiny_model, tmp_path, capsys):
    chosen = ["--model", tiny_model, "--out", tmp_path / "out"] if argv[0] == "sample" else []
    assert run(*argv, *chosen) == 2
    line = complaint(capsys)
    assert all(word in line for word in words), line
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_an_option_of_another_command_is_named(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")  # however narrow the terminal
    assert run("evaluate", "--best-of", 4, "--out", "a/folder/whose/name/is/longer/than/such/a/terminal/is/wide") == 2
    assert "options: --best-of, 4; see glyffuser evaluate --help" in complaint(capsys)
    assert os.environ["COLUMNS"] == "40"


def test_what_a_terminal_cannot_show_is_no_traceback(monkeypatch):
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", stdout)
    with pytest.raises(SystemExit) as end:
        main(["sample", "--help"])
    stdout.flush()
    assert end.value.code == 0
    assert b"a part such as \\u6c35" in stdout.buffer.getvalue()  # 氵


def test_model_that_is_missing(tmp_path, capsys):
    assert run("sample", "gold", "--model", tmp_path / "nowhere") == 2
    assert "nowhere" in complaint(capsys)


def test_output_that_is_a_file(tiny_model, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert run("sample", "gold", "--steps", 1, "--model", tiny_model, "--out", tmp_path / "file") == 2
    assert "is a file" in complaint(capsys)
    assert (tmp_path / "file").read_text() == "mine"


def test_dataset_info_of_what_is_no_data_set(tmp_path, capsys):
    (tmp_path / "x.parquet").write_text("no")
    assert run("dataset", "info", tmp_path / "x.parquet") == 2
    assert "x.parquet" in complaint(capsys)


def test_dataset_info(tiny_data, capsys):
    assert run("dataset", "info", tiny_data, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rows"] == sum(facts["splits"].values())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--preset", "huge"], ["'huge'", "cpu", "article"]),
        (["--set", "train.lr"], ["section.key=value"]),
        (["--set", "train.speed=3"], ["'train.speed'", "lr"]),
        (["--set", "train.lr=fast"], ["train.lr must be float", "'fast'"]),
        (["--config", "nowhere.toml"], ["nowhere.toml"]),
    ],
)
def test_a_mistake_in_training_is_one_line_and_status_2(argv, words, tmp_path, capsys):
    assert run("train", *argv, "--out", tmp_path / "run") == 2
    line = complaint(capsys)
    assert all(word in line for word in words), line


def test_train_then_go_on_then_sample(tiny_config, tmp_path, capsys):
    from glyffuser.config import dump_config

    settings = tmp_path / "settings.toml"
    settings.write_text(dump_config(tiny_config))
    out = tmp_path / "run"
    assert run("train", "--config", settings, "--out", out, "--max-steps", 2, "--json") == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    assert tomllib.loads((out / "config.toml").read_text())["train"]["max_steps"] == 2
    # The same --out resumes the run, with the settings in its folder.
    assert run("train", "--out", out, "--max-steps", 3, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["resumed_at"], facts["steps"]) == (2, 3)
    assert run("sample", "gold", "-n", 1, "--steps", 1, "--model", out, "--out", tmp_path / "out") == 0


def test_a_full_disk_is_no_traceback(tiny_model, tmp_path, capsys, monkeypatch):
    import errno

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("PIL.Image.Image.save", full)
    assert run("sample", "gold", "-n", 1, "--steps", 1, "--model", tiny_model, "--out", tmp_path) == 2
    assert "disk is full" in capsys.readouterr().err
    assert [p for p in tmp_path.iterdir() if p.suffix == ".png"] == []


def test_info(capsys):
    assert run("info", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    import torch

    assert facts["torch"] == torch.__version__
    assert facts["threads"] == torch.get_num_threads()
    assert facts["processor"]
    assert facts["instructions"].startswith(torch.backends.cpu.get_cpu_capability())


def test_evaluate_says_what_it_lacks(tiny_model, tiny_data, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("evaluate", "--model", tiny_model, "--data", tmp_path / "none.parquet") == 2
    assert "none.parquet" in complaint(capsys)
    assert run("evaluate", "--model", tiny_model, "--data", tiny_data, "--judges", tmp_path) == 2
    assert "glyffuser train-judges" in complaint(capsys)
    assert run("evaluate", "--model", tiny_model, "--data", tiny_data, "--out", tmp_path) == 2
    assert "420 held-out" in complaint(capsys)
    assert run("evaluate", "--model", tiny_model, "--data", tiny_data, "--definitions", 1) == 2
    assert "needs 193 glyphs: raise --definitions 1" in complaint(capsys)
    assert run("evaluate", "--model", tiny_model, "--data", tiny_data, "--out", tiny_data) == 2
    assert "is a file, not a folder" in complaint(capsys)  # before anything is drawn


def test_inspect_reads_pictures(tmp_path, capsys):
    from PIL import Image

    from glyffuser.data.fonts import default_font, render

    Image.fromarray(render(default_font(), "銀")).save(tmp_path / "silver.png")
    assert run("inspect", tmp_path, "--json") == 0
    (verdict,) = json.loads(capsys.readouterr().out)
    assert (verdict["radical"], verdict["flagged"]) == (167, False)
    assert run("inspect", tmp_path / "silver.png", "--out", tmp_path / "maps") == 0
    assert "radical 167" in capsys.readouterr().out
    assert (tmp_path / "maps" / "silver-flaws.png").is_file()
    assert run("inspect") == 2
    assert "glyffuser inspect out/" in complaint(capsys)


def test_ideographs_of_a_font_become_a_table(tmp_path, capsys, monkeypatch):
    from glyffuser.judge.novelty import load_ideographs

    monkeypatch.setattr("glyffuser.judge.novelty.ideographs", lambda face: [ord(char) for char in "金銀"])
    assert run("dataset", "ideographs", "--out", tmp_path / "two.xz", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["ideographs"], facts["bytes"]) == (2, (tmp_path / "two.xz").stat().st_size)
    assert load_ideographs(tmp_path / "two.xz").font == facts["font"] == "Noto Sans CJK SC Regular"
