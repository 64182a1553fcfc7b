"""Writing: the old file or the new one, and nothing else left behind."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from glyffuser.base import files
from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path, output_folder, remove_leftovers, replace_folder, write_bytes, write_text
from glyffuser.base.locks import take_lock


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, including hidden ones, with the contents of files."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


def test_new_file_in_a_new_folder(tmp_path):
    write_text(tmp_path / "a" / "b" / "file", "naïve")
    assert tree(tmp_path / "a" / "b") == {"file": "naïve".encode()}


def test_target_stays_old_until_the_end(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
        assert temporary.parent.parent == tmp_path  # the same file system
    assert tree(tmp_path) == {"file": b"new"}


def begin_and_raise(path: Path, error: type[BaseException]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("before", [{}, {"file": b"old"}])
def test_an_interruption_leaves_what_was_there(tmp_path, before, error):
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error):
        begin_and_raise(tmp_path / "file", error)
    assert tree(tmp_path) == before


def test_a_failing_rename_leaves_what_was_there(tmp_path, monkeypatch):
    write_bytes(tmp_path / "file", b"old")

    def fail(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_bytes(tmp_path / "file", b"new")
    assert tree(tmp_path) == {"file": b"old"}


def test_file_and_folder_do_not_replace_one_another(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="folder is a folder, not a file"):
        write_text(tmp_path / "folder", "new")
    with pytest.raises(UserError, match="file is a file, not a folder"), atomic_path(tmp_path / "file") as temporary:
        temporary.mkdir()
    assert tree(tmp_path) == {"folder": None, "file": b"mine"}


def test_a_folder_replaces_a_full_one(tmp_path):
    target = tmp_path / "model"
    for content in ("old", "new"):
        with atomic_path(target) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert tree(tmp_path) == {"model": None, "model/new": b"new"}


def test_an_interrupted_folder_leaves_what_was_there(tmp_path):
    write_text(tmp_path / "model" / "weights", "old")
    with pytest.raises(RuntimeError):
        begin_and_raise(tmp_path / "model", RuntimeError)
    assert tree(tmp_path) == {"model": None, "model/weights": b"old"}


def test_a_folder_that_cannot_be_put_in_place_gives_the_old_one_back(tmp_path):
    write_text(tmp_path / "model" / "weights", "old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "missing", tmp_path / "model")
    assert tree(tmp_path) == {"model": None, "model/weights": b"old"}


def test_what_was_written_for_the_owner_alone_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "model") as folder:
        folder.mkdir()
        save_file({"weight": torch.zeros(1)}, folder / "network.safetensors")
        (folder / "config.json").touch(0o600)
    with atomic_path(tmp_path / "program") as program:
        program.touch(0o700)
    plain = (tmp_path / "plain").stat().st_mode
    for name in ("network.safetensors", "config.json"):
        assert (tmp_path / "model" / name).stat().st_mode == plain
    assert (tmp_path / "program").stat().st_mode == plain | 0o700


def test_a_full_disk_is_one_error_whoever_finds_out(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, atomic_path(tmp_path / "file"):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert caught.value.errno == errno.ENOSPC


def killed_while(work: Callable[[], object]) -> None:
    """Do `work` in a process of its own, which is then killed."""
    if (child := os.fork()) == 0:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def half_written(path: Path) -> Any:
    """Begin to write a file; the writing lasts as long as the result is held."""
    context = atomic_path(path)
    context.__enter__().write_text("half")
    return context


def test_leftovers_of_a_killed_process_go_and_all_else_stays(tmp_path):
    (tmp_path / ".mine").write_text("kept")
    (tmp_path / ".my.folder.part").mkdir()  # not ours, though it looks like it
    write_text(tmp_path / ".film.abcdefgh.part" / "notes", "kept")
    before = tree(tmp_path)
    held: list[Any] = []
    killed_while(lambda: held.append(half_written(tmp_path / "file")))
    assert len(tree(tmp_path)) == len(before) + 2
    remove_leftovers(tmp_path)
    assert tree(tmp_path) == before
    remove_leftovers(tmp_path / "missing")


def test_what_a_living_process_writes_is_no_leftover(tmp_path):
    context = half_written(tmp_path / "file")
    remove_leftovers(tmp_path)
    context.__exit__(None, None, None)
    assert tree(tmp_path) == {"file": b"half"}


def test_the_next_writer_clears_up(tmp_path):
    held: list[Any] = []
    for name in ("one", "two"):
        killed_while(partial(lambda path: held.append(half_written(path)), tmp_path / name))
    assert tree(tmp_path) != {}
    killed_while(lambda: write_text(tmp_path / "three", "whole"))  # a process that has not looked there before
    assert tree(tmp_path) == {"three": b"whole"}


@pytest.mark.parametrize("swapped", [True, False])
def test_a_kill_after_any_rename_leaves_the_old_folder_or_the_new(tmp_path, monkeypatch, swapped):
    if not swapped:  # as on systems that have no call to exchange two folders
        monkeypatch.setattr(files, "_swap", lambda one, other: False)
    target, rename = tmp_path / "model", os.replace

    def write(fatal: int) -> None:
        def dying(*paths):
            nonlocal fatal
            rename(*paths)
            fatal -= 1
            if fatal == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        monkeypatch.setattr(os, "replace", dying)
        with atomic_path(target) as temporary:
            temporary.mkdir()
            (temporary / "new").write_text("new")

    for fatal in (1, 2, 3):
        shutil.rmtree(target, ignore_errors=True)
        write_text(target / "old", "old")
        killed_while(partial(write, fatal))
        remove_leftovers(tmp_path)
        assert tree(tmp_path) in ({"model": None, "model/old": b"old"}, {"model": None, "model/new": b"new"})


def test_a_lock_has_one_holder_and_ends_with_it(tmp_path):
    (tmp_path / "lock").touch()
    mine = take_lock(tmp_path / "lock")
    assert mine is not None
    assert take_lock(tmp_path / "lock") is None
    os.close(mine)
    killed_while(lambda: take_lock(tmp_path / "lock"))
    again = take_lock(tmp_path / "lock")
    assert again is not None
    os.close(again)


def test_output_folder_is_made_once(tmp_path):
    assert output_folder(str(tmp_path / "a" / "b")) == tmp_path / "a" / "b"
    assert output_folder(tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("path", ["file", "file/below", "file/far/below"])
def test_a_file_in_the_way_of_a_folder_is_named(tmp_path, path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=f"{tmp_path / 'file'}.* is a file, not a folder; choose another --out"):
        output_folder(tmp_path / path)
    assert tree(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that not even root can write")
def test_a_folder_that_cannot_be_written_is_named():
    with pytest.raises(UserError, match=r"cannot make the folder /proc/self/out: .*; choose another --out"):
        output_folder("/proc/self/out")
    with pytest.raises(
        UserError, match=r"(/proc/self/fd is not writable|cannot write in /proc/self/fd).*; choose another"
    ):
        write_text("/proc/self/fd/file", "new")
