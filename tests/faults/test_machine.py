"""Machines that go wrong: full disks, locked folders, a second trainer, clocks, signals, workers that die."""

import ctypes
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from glyffuser.commands.cli import main
from glyffuser.config import dump_config
from glyffuser.data.dataset import build_dataset
from glyffuser.data.fonts import default_font, render
from glyffuser.data.unihan import read_unihan
from glyffuser.train.checkpoint import list_checkpoints
from glyffuser.train.folder import LOCK, RunFolder
from killing import command, complaining, forked, leftovers, tree
from training_runs import Run, assert_same, finish

Work = Callable[[], int | None]
COMMANDS = ("dataset build", "train", "sample", "svg", "font")


@pytest.fixture
def work(request, tiny_config, tiny_model, tmp_path) -> Callable[[str, Path], Work]:
    """A factory for commands, by name, that write into a folder; what they read is elsewhere."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for k in range(2):
        Image.fromarray(render(default_font(), "金銀"[k], 64)).save(pictures / f"glyph-{k}.png")
    (pictures / "record.json").write_text('{"prompt": "gold", "files": ["glyph-0.png"]}')
    tiny_config.train.max_steps = 2
    (tmp_path / "config.toml").write_text(dump_config(tiny_config))

    def make(name: str, out: Path) -> Work:
        match name:
            case "dataset build":
                face, unihan = default_font(), read_unihan()
                few = sorted(unihan.entries)[7000:7040]
                build = partial(build_dataset, [face], unihan, out / "x.parquet", 32, codepoints=few)
                return lambda: complaining(build)
            case "train":
                return command("train", "--config", tmp_path / "config.toml", "--out", out / "run")
            case "sample":
                return command("sample", "gold", "-n", 2, "--steps", 1, "--model", tiny_model, "--out", out / "out")
            case "svg":
                return command("svg", pictures, "--out", out / "svg")
        return command("font", "--from", pictures, "--out", out / "font" / "My.ttf")

    return make


def limited(work: Work, size: int) -> Work:
    """The same where no file may be larger than `size`, as on a disk with that much room."""

    def run() -> int | None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return work()

    return run


@pytest.mark.parametrize("name", COMMANDS[:-1])
def test_a_disk_that_is_full_is_one_line_and_loses_nothing(work, name, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    run = forked(limited(work(name, folder), 600), folder)
    assert run.status == 2, run.said
    assert "Traceback" not in run.said
    assert "disk is full" in run.said or "File too large" in run.said
    assert leftovers(folder) == []
    assert [file for file, content in tree(folder).items() if len(content) == 600] == []
    assert forked(work(name, folder), folder).status == 0  # with room again


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of 128 KiB, if this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", ["train", "sample"])
def test_a_small_disk_that_fills_up(work, name, small_disk, tmp_path):
    (small_disk / "large").write_bytes(bytes(120 * 1024))  # two pages are left
    run = forked(work(name, small_disk), tmp_path)
    assert run.status == 2, run.said
    assert "No space left" in run.said or "disk is full" in run.said
    assert "Traceback" not in run.said
    assert leftovers(small_disk) == []


def obedient(work: Work) -> Work:
    """The same without root's right to write where others may not (capset(2), version 3)."""

    def run() -> int | None:
        header, nothing = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None).capset(ctypes.byref(header), ctypes.byref(nothing)) == 0
        return work()

    return run


@pytest.mark.skipif(sys.platform != "linux", reason="capset is Linux's")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_that_may_not_be_written_is_one_line(work, name, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    if name == "dataset build":
        (folder / "x.parquet").write_bytes(b"old")
    before = tree(folder)

    def locked_up() -> int | None:
        folder.chmod(0o555)
        try:
            return obedient(work(name, folder))()
        finally:
            folder.chmod(0o755)

    run = forked(locked_up, folder)
    folder.chmod(0o755)
    assert run.status == 2, run.said
    assert len(run.said.strip().splitlines()) == 1, run.said
    assert str(folder) in run.said
    assert tree(folder) == before
    assert leftovers(folder) == []


def test_a_second_trainer_is_refused_until_the_first_is_dead(work, tiny_config, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    train, out = work("train", folder), folder / "run"
    if (first := os.fork()) == 0:
        try:
            RunFolder(out, tiny_config).claim()
            signal.pause()
        finally:
            os._exit(1)
    try:
        while not (out / LOCK).exists() or not (out / LOCK).read_text():
            time.sleep(0.01)
        before = tree(folder)
        run = forked(train, folder)
        assert (run.status, tree(folder)) == (2, before), run.said
        assert f"another process ({first}) is training in {out}" in run.said
        dry = command("train", "--config", tmp_path / "config.toml", "--out", out, "--dry-run")
        assert forked(dry, folder).status == 0  # it only looks
    finally:
        os.kill(first, signal.SIGKILL)
        os.waitpid(first, 0)
    assert forked(train, folder).status == 0


def test_a_run_that_ended_lets_the_next_one_in(tiny_config, tmp_path):
    tiny_config.train.max_steps = 1
    first = Run(tiny_config, tmp_path)
    finish(first)
    second = RunFolder(tmp_path, tiny_config)
    second.claim()
    second.close()


def test_a_clock_that_is_set_back_changes_nothing(tiny_config, tmp_path, monkeypatch):
    """Time runs backwards, and the older checkpoint is dated after the newer."""
    tiny_config.train.checkpoint_every = 3
    whole = Run(tiny_config, tmp_path / "whole")
    finish(whole)
    now = [2e9]

    def backwards() -> float:
        now[0] -= 3600
        return now[0]

    monkeypatch.setattr(time, "time", backwards)
    stopped = Run(deepcopy(tiny_config), tmp_path / "parts")
    steps = stopped.steps()
    while next(steps).step < 7:
        pass
    steps.close()
    older, newer = list_checkpoints(tmp_path / "parts" / "checkpoints")
    os.utime(older, (3e9, 3e9))
    os.utime(newer, (1, 1))
    resumed = Run(deepcopy(tiny_config), tmp_path / "parts")
    assert resumed.state.step == 6
    finish(resumed)
    assert_same(whole, resumed)


def test_sigterm_ends_training_with_a_checkpoint_and_a_model(tiny_config, tmp_path):
    tiny_config.train.max_steps = 100_000
    (tmp_path / "config.toml").write_text(dump_config(tiny_config))
    out = tmp_path / "run"

    def watched() -> int:
        if (watcher := os.fork()) == 0:  # asks its parent to stop once it has logged a step
            while not (out / "metrics.jsonl").exists():
                time.sleep(0.01)
            os.kill(os.getppid(), signal.SIGTERM)
            os._exit(0)
        status = main(["train", "--config", str(tmp_path / "config.toml"), "--out", str(out)])
        os.waitpid(watcher, 0)
        return status

    run = forked(watched, tmp_path)
    assert run.status == 0, run.said
    assert "stopping after this step, with a checkpoint" in run.said
    last = len((out / "metrics.jsonl").read_text().splitlines())
    assert [path.name for path in list_checkpoints(out / "checkpoints")][-1] == f"step-{last:08d}"
    assert (out / "model" / "model_index.json").is_file()
    assert leftovers(tmp_path) == []


def test_sigterm_leaves_no_temporary_files_in_other_commands(work, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()
    rename, count = os.replace, [0]

    def interrupted(*paths) -> None:
        count[0] += 1
        if count[0] == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        rename(*paths)

    monkeypatch.setattr(os, "replace", interrupted)
    run = forked(work("sample", folder), folder)
    assert run.status != 0
    assert "Traceback" not in run.said or "SystemExit: 143" in run.said
    assert leftovers(folder) == []
    assert len(tree(folder)) == 1


def test_a_thread_that_runs_out_of_memory_is_one_line(tiny_data, capsys, monkeypatch):
    def starved(*args, **more):
        raise MemoryError

    monkeypatch.setattr("glyffuser.data.schema.Image.open", starved)
    assert main(["evaluate", "--data", str(tiny_data)]) == 2
    assert "not enough memory" in capsys.readouterr().err


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others_and_the_run_goes_on_from_its_checkpoint(request, tiny_config, tmp_path):
    if request.config.getoption("--kills") is None:
        pytest.skip("in the long run only: --kills")
    tiny_config.train.max_steps, tiny_config.train.checkpoint_every = 100_000, 2
    (tmp_path / "config.toml").write_text(dump_config(tiny_config))
    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    started += ["-m", "glyffuser.commands.cli", "train", "--config", str(tmp_path / "config.toml")]
    out = tmp_path / "run"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen([*started, "--out", str(out)], stderr=subprocess.DEVNULL, env=environment)
    while not list_checkpoints(out / "checkpoints"):
        assert process.poll() is None
        time.sleep(0.2)
    workers = [int(word) for word in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    os.kill(workers[1], signal.SIGKILL)
    assert process.wait(120) != 0
    tiny_config.train.max_steps = int(list_checkpoints(out / "checkpoints")[-1].name[5:]) + 1
    assert [p.step for p in finish(Run(tiny_config, out))] == [tiny_config.train.max_steps]
    shutil.rmtree(out)
