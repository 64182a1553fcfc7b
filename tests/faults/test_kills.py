"""Kill -9 at any moment of any command that writes: files are old or new, runs resume exactly, nothing piles up.

By default, few kills each; `--kills 200` divides that many among the commands, `--report FILE` writes what happened.
"""

import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evaluating import SMALL, ask_few_paraphrases
from glyffuser.config import dump_config
from glyffuser.data.dataset import build_dataset
from glyffuser.data.fonts import default_font, render
from glyffuser.data.unihan import read_unihan
from glyffuser.evaluate.measure import Measures, evaluate
from glyffuser.judge.contrastive import Contrastive
from glyffuser.judge.novelty import build_ideographs
from glyffuser.train.checkpoint import check_sums, list_checkpoints
from killing import Victim, assault, command, complaining, forked, leftovers, log_lines, moments, tree

SHARES = {  # of a hundred kills
    "dataset build": 10,
    "train": 30,
    "sample": 15,
    "svg": 10,
    "font": 10,
    "onnx": 5,
    "guide": 10,
    "evaluate": 10,
}
SHORT = {"dataset build": 1, "train": 3, "sample": 2, "svg": 1, "font": 1, "guide": 1, "evaluate": 1}


@pytest.fixture(scope="module")
def report(request) -> Iterator[list[tuple[str, int, int, int]]]:
    """What happened to each command: name, kills, runs that ended before their kill, file changes of a whole run."""
    rows: list[tuple[str, int, int, int]] = []
    yield rows
    if path := request.config.getoption("--report"):
        width = max(len(row[0]) for row in rows)
        lines = [f"{name:{width}} {died:6} {ended:6} {changes:8}" for name, died, ended, changes in rows]
        total = f"{'together':{width}} {sum(row[1] for row in rows):6} {sum(row[2] for row in rows):6}"
        Path(path).write_text("\n".join([f"{'command':{width}}  kills  ended  changes", *lines, total]) + "\n")


@pytest.fixture
def kills(request) -> Callable[[str], int]:
    """How often to kill a command; tests of commands with no kills are skipped."""

    def count(name: str) -> int:
        asked = request.config.getoption("--kills")
        found = SHORT.get(name, 0) if asked is None else asked * SHARES[name] // 100
        if not found:
            pytest.skip("in the long run only: --kills")
        return found

    return count


def suffer(victim: Victim, tmp_path: Path, count: int, report: list[Any]) -> None:
    victim.prepare(tmp_path)
    died, ended = assault(victim, tmp_path / "folder", np.random.default_rng(len(victim.name)), count)
    report.append((victim.name, died, ended, victim.runs[0].changes))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> tuple[Path, Path]:
    """Two folders of pictures with the same names."""
    folders = []
    for chars in ("金銀", "水湖"):
        folder = tmp_path_factory.mktemp("pictures")
        for k, char in enumerate(chars):
            Image.fromarray(render(default_font(), char, 64)).save(folder / f"glyph-{k}.png")
        (folder / "glyph.json").write_text('{"prompt": "gold", "files": ["glyph-0.png", "glyph-1.png"]}')
        folders.append(folder)
    return folders[0], folders[1]


def test_dataset_build(tmp_path, kills, report):
    count, face, unihan = kills("dataset build"), default_font(), read_unihan()
    few = sorted(unihan.entries)[7000:7060]

    def version(size: int) -> Callable[[Path], Callable[[], int]]:
        def work(folder: Path) -> Callable[[], int]:
            build = partial(build_dataset, [face], unihan, folder / "x.parquet", size, codepoints=few)
            return lambda: complaining(build)

        return work

    suffer(Victim("dataset build", (version(32), version(16))), tmp_path, count, report)


def test_sample(tiny_model, tmp_path, kills, report):
    def version(steps: int) -> Callable[[Path], Callable[[], int]]:
        more = ("-n", 2, "--steps", steps, "--model", tiny_model)
        return lambda folder: command("sample", "gold", *more, "--out", folder / "out")

    suffer(Victim("sample", (version(1), version(2))), tmp_path, kills("sample"), report)


def test_svg(pictures, tmp_path, kills, report):
    one, other = ((lambda folder, p=p: command("svg", p, "--out", folder / "out")) for p in pictures)
    suffer(Victim("svg", (one, other)), tmp_path, kills("svg"), report)


def test_font(pictures, tmp_path, kills, report):
    count = kills("font")
    for folder in pictures:
        (folder / "glyph.json").rename(folder / "record.json")  # so that its pictures are not a grid
    one, other = (
        (lambda folder, p=p: command("font", "--from", p, "--family", "My Glyphs", "--out", folder / "f.ttf"))
        for p in pictures
    )
    suffer(Victim("font", (one, other)), tmp_path, count, report)


@pytest.mark.slow
def test_onnx(tiny_model, tmp_path, kills, report):
    """Both versions write the same text encoder; denoiser and settings tell which is which."""
    count = kills("onnx")

    def version(precision: str) -> Callable[[Path], Callable[[], int]]:
        return lambda folder: command("onnx", "--model", tiny_model, "--precision", precision, "--out", folder / "onnx")

    suffer(Victim("onnx", (version("fp32"), version("fp16"))), tmp_path, count, report)


def test_guide(request, tiny_data, tiny_model, tmp_path, kills, report):
    """In the short run only a figure, which takes a third of the site's time."""
    long = request.config.getoption("--kills") is not None

    def version(seed: int) -> Callable[[Path], Callable[[], int]]:
        def work(folder: Path) -> Callable[[], int]:
            if not (folder / "glyphs.parquet").exists():  # figures are cached beside it
                shutil.copyfile(tiny_data, folder / "glyphs.parquet")
            more = ("--data", folder / "glyphs.parquet", "--model", tiny_model, "--out", folder / "site")
            drawn = ("guide", "--only", "one-step") if long else ("figures", "one-step")
            return command(*drawn, "--quick", "--seed", seed, *more)

        return work

    suffer(Victim("guide", (version(0), version(1))), tmp_path, kills("guide"), report)


def test_evaluate(tiny_data, tiny_model, splits, make_pipe, shared_judges, tmp_path, kills, report, monkeypatch):
    """Glyphs are drawn and judged beforehand; kills hit only the command's reading and writing."""
    count = kills("evaluate")
    torch.manual_seed(0)
    contrastive = Contrastive(features=8, dim=16, width=8).eval()
    known = build_ideographs(splits[0].codepoints[:2], splits[0].images[:2], "Two Regular")
    measures = Measures(shared_judges, shared_judges, known, contrastive)
    ask_few_paraphrases(monkeypatch)
    first = evaluate(make_pipe(), measures, splits[0], splits[1], SMALL)
    results = [first, replace(first, numbers=first.numbers | {"seconds_for_16_glyphs": 1.0, "best_of": None})]

    def version(number: int) -> Callable[[Path], Callable[[], int]]:
        def work(folder: Path) -> Callable[[], int]:
            monkeypatch.setattr("glyffuser.evaluate.measure.evaluate", lambda *_: results[number])
            return command("evaluate", "--data", tiny_data, "--model", tiny_model, "--out", folder / "eval")

        return work

    suffer(Victim("evaluate", (version(0), version(1))), tmp_path, count, report)


def test_train(tiny_config, tmp_path, kills, report):
    """Killed again and again, each time resumed, a run ends as if nothing had happened, to the last bit."""
    count = kills("train")
    tiny_config.train.max_steps, tiny_config.train.checkpoint_every, tiny_config.train.preview_every = 8, 3, 100
    (tmp_path / "config.toml").write_text(dump_config(tiny_config))

    def train(out: Path) -> Callable[[], int]:
        return command("train", "--config", tmp_path / "config.toml", "--out", out / "run")

    whole = tmp_path / "whole"
    whole.mkdir()
    run = forked(train(whole), whole)
    assert run.status == 0, run.said
    assert leftovers(whole) == []
    died = ended = number = 0
    for moment in moments(run, np.random.default_rng(0), count):
        folder = tmp_path / f"killed-{number}"
        folder.mkdir(exist_ok=True)
        found = forked(train(folder), folder, moment)
        assert found.status in (0, -signal.SIGKILL), found.said
        assert "damaged" not in found.said
        died, ended = died + (found.status != 0), ended + (found.status == 0)
        for checkpoint in list_checkpoints(folder / "run" / "checkpoints"):
            check_sums(checkpoint)
        assert len(leftovers(folder)) <= 2
        if found.status == 0:
            assert_same_run(folder, whole)
            number += 1
    folder = tmp_path / f"killed-{number}"
    folder.mkdir(exist_ok=True)
    found = forked(train(folder), folder)
    assert found.status == 0, found.said
    assert_same_run(folder, whole)
    report.append(("train", died, ended, run.changes))


def assert_same_run(folder: Path, whole: Path) -> None:
    """Assert that two run folders hold the same, except for the time taken."""
    assert leftovers(folder) == []
    found, wanted = tree(folder / "run"), tree(whole / "run")
    assert found.keys() == wanted.keys()
    timed = [name for name in wanted if name.endswith(("metrics.jsonl", "state.json", "SHA256SUMS"))]
    assert [name for name in wanted if found[name] != wanted[name] and name not in timed] == []
    assert log_lines(folder / "run" / "metrics.jsonl") == log_lines(whole / "run" / "metrics.jsonl")
