"""Checkpoints: exact, whole or absent, and what happens when one is damaged."""

import errno
import hashlib
import itertools
import json
import multiprocessing
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from glyffuser.base.errors import UserError
from glyffuser.train import checkpoint
from glyffuser.train.checkpoint import (
    FILES,
    SUMS,
    contiguous,
    flatten,
    list_checkpoints,
    prune,
    resume,
    save_checkpoint,
    start_from,
    trim_log,
)


class Run(NamedTuple):
    network: nn.Module
    ema: EMAModel
    optimizer: torch.optim.Optimizer


def make_run(seed: int = 0, steps: int = 0, width: int = 4) -> Run:
    """A small network after some steps on noise."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width), nn.Linear(width, 2))
    ema = EMAModel(network.parameters(), decay=0.8, foreach=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, fused=True)
    run = Run(network, ema, optimizer)
    for _ in range(steps):
        update(run)
    return run


def update(run: Run) -> None:
    run.optimizer.zero_grad()
    run.network(torch.randn(8, 3)).square().mean().backward()
    run.optimizer.step()
    run.ema.step(run.network.parameters())


def state(run: Run) -> dict[str, Tensor]:
    averaged = {f"ema.{i}": p.clone() for i, p in enumerate(run.ema.shadow_params)}
    weights = {f"network.{name}": p.clone() for name, p in run.network.state_dict().items()}
    return weights | averaged | {name: p.clone() for name, p in flatten(run.optimizer).items()}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def names(folder: Path) -> list[str]:
    """Everything in the folder, including hidden leftovers."""
    return sorted(p.name for p in folder.iterdir())


def test_round_trip_is_exact_and_training_goes_on_alike(tmp_path):
    run, restored = make_run(0, steps=3), make_run(1)
    path = save_checkpoint(tmp_path, 3, *run, {"minutes": 0.1 + 0.2, "best_loss": float("inf")})
    assert sorted(p.name for p in path.iterdir()) == sorted([*FILES, SUMS])
    found = resume(tmp_path, *restored)
    assert found == (path, {"step": 3, "ema_step": 3, "minutes": 0.1 + 0.2, "best_loss": float("inf")})
    assert_equal(state(run), state(restored))
    for each in (run, restored):
        torch.manual_seed(2)
        for _ in range(2):
            update(each)
    assert_equal(state(run), state(restored))


def test_nothing_to_resume(tmp_path):
    assert resume(tmp_path / "missing", *make_run()) is None


def test_the_newest_is_resumed(tmp_path):
    for step in (9, 10, 100):
        save_checkpoint(tmp_path, step, *make_run(step), {})
    restored = make_run()
    found = resume(tmp_path, *restored)
    assert found is not None
    assert found[1]["step"] == 100
    assert_equal(state(make_run(100)), state(restored))


@pytest.mark.parametrize("fatal", range(5))
@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device"), SafetensorError("I/O error (os error 28)")],
    ids=["interrupt", "disk full", "disk full, says safetensors"],
)
def test_an_error_at_any_write_leaves_the_one_before(tmp_path, monkeypatch, fatal, error):
    before = make_run(0, steps=2)
    save_checkpoint(tmp_path, 2, *before, {})
    count = 0

    def failing(write):
        def wrapper(*args, **kwargs):
            nonlocal count
            count += 1
            if count == fatal + 1:
                raise error
            return write(*args, **kwargs)

        return wrapper

    monkeypatch.setattr(checkpoint, "save_file", failing(checkpoint.save_file))
    monkeypatch.setattr(Path, "write_text", failing(Path.write_text))
    with pytest.raises((KeyboardInterrupt, OSError)):
        save_checkpoint(tmp_path, 4, *make_run(1, steps=4), {})
    assert count == fatal + 1
    assert names(tmp_path) == ["step-00000002"]
    restored = make_run(3)
    resume(tmp_path, *restored)
    assert_equal(state(before), state(restored))


def save_for_ever(folder: Path, expected: Path, told: Connection) -> None:
    run = make_run(0, steps=2, width=20_000)
    save_file(contiguous(state(run)), expected)
    for step in itertools.count(1):
        save_checkpoint(folder, step, *run, {})
        prune(folder, 2, step)
        told.send(step)


def test_a_killed_process_leaves_whole_checkpoints_only(tmp_path):
    folder, expected = tmp_path / "checkpoints", tmp_path / "expected.safetensors"
    folder.mkdir()
    told, telling = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=save_for_ever, args=(folder, expected, telling))
    process.start()
    telling.close()  # so that waiting for a process that fails ends
    last = [told.recv() for _ in range(3)][-1]
    # Wait until it is in the middle of writing the next one.
    while not any(p.name.startswith(".") for p in folder.iterdir()):
        assert process.is_alive()
    process.kill()
    process.join()
    told.close()
    assert process.exitcode == -signal.SIGKILL
    restored = make_run(3, width=20_000)
    found = resume(folder, *restored)
    assert found is not None
    assert found[1]["step"] >= last
    assert_equal(load_file(expected), state(restored))


def flipped(data: bytes) -> bytes:
    """The data with one bit of the last byte but one flipped: in a tensor, still a number."""
    return data[:-2] + bytes([data[-2] ^ 1]) + data[-1:]


@pytest.mark.parametrize("name", [*FILES, SUMS])
@pytest.mark.parametrize(
    "harm", [lambda data: b"", lambda data: data[:10], lambda data: data[:-2], flipped], ids=["0", "10", "-2", "bit"]
)
def test_a_damaged_one_falls_back_to_the_one_before(tmp_path, name, harm):
    before = make_run(0, steps=2)
    save_checkpoint(tmp_path, 2, *before, {})
    damaged = save_checkpoint(tmp_path, 4, *make_run(1, steps=4), {}) / name
    damaged.write_bytes(harm(damaged.read_bytes()))
    restored = make_run(3)
    with pytest.warns(UserWarning, match="going on from step-00000002, since newer is damaged .*step-00000004"):
        found = resume(tmp_path, *restored)
    assert found is not None
    assert found[1]["step"] == 2
    assert_equal(state(before), state(restored))
    # The next checkpoint takes the damaged one's place.
    save_checkpoint(tmp_path, 4, *restored, {})
    assert resume(tmp_path, *make_run()) is not None


def test_sums_are_those_of_sha256sum(tmp_path):
    path = save_checkpoint(tmp_path, 2, *make_run(), {})
    wanted = [f"{hashlib.sha256((path / name).read_bytes()).hexdigest()}  {name}" for name in sorted(FILES)]
    assert (path / SUMS).read_text().splitlines() == wanted


def test_a_checkpoint_of_an_earlier_version_has_no_sums(tmp_path):
    run = make_run(0, steps=2)
    (save_checkpoint(tmp_path, 2, *run, {}) / SUMS).unlink()
    restored = make_run(3)
    assert resume(tmp_path, *restored) is not None
    assert_equal(state(run), state(restored))


def test_an_incomplete_one_is_none(tmp_path):
    path = save_checkpoint(tmp_path, 2, *make_run(), {})
    (path / "ema.safetensors").unlink()
    assert list_checkpoints(tmp_path) == []
    assert resume(tmp_path, *make_run()) is None


def test_all_damaged_is_one_line(tmp_path):
    for step in (2, 4):
        (save_checkpoint(tmp_path, step, *make_run(), {}) / "network.safetensors").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        resume(tmp_path, *make_run())
    message = str(caught.value)
    assert all(word in message for word in ("step-00000002", "step-00000004", str(tmp_path), "choose another --out"))
    assert "\n" not in message


def test_another_network_is_one_line(tmp_path):
    save_checkpoint(tmp_path, 2, *make_run(width=4), {})
    with pytest.raises(UserError, match=r"no checkpoint in .* fits this run") as caught:
        resume(tmp_path, *make_run(width=5))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keep", "step", "left"),
    [(2, 30, [10, 30]), (1, 30, [30]), (9, 30, [5, 10, 30]), (1, 10, [10])],  # 30 is later than step 10: unreadable
)
def test_prune_keeps_the_newest(tmp_path, keep, step, left):
    for each in (5, 10, 30):
        save_checkpoint(tmp_path, each, *make_run(), {})
    (tmp_path / "notes").mkdir()
    prune(tmp_path, keep, step)
    assert names(tmp_path) == ["notes", *(f"step-{each:08d}" for each in left)]


def test_log_is_cut_where_training_goes_on(tmp_path):
    path = tmp_path / "metrics.jsonl"
    trim_log(path, 2)
    assert not path.exists()
    lines = [json.dumps({"step": step, "loss": 1.0}) + "\n" for step in (1, 2, 3)]
    damaged = (b'{"step": 3, "lo', b"{}", b"null", b"\xff\xfe")
    for content in ("".join(lines).encode(), *("".join(lines[:2]).encode() + end for end in damaged)):
        path.write_bytes(content)
        trim_log(path, 2)
        assert path.read_text() == "".join(lines[:2])


def test_styles_and_parts_keep_their_rows_whatever_their_numbers(tmp_path, make_pipe, small_unet):
    pipe = make_pipe(styles=("sans", "serif"), components="氵金")
    pipe.save_pretrained(tmp_path)
    named = {"styles": ("kai", "sans"), "components": "金火氵"}  # as many styles, not the same
    sizes = {name: pipe.unet.config[name] for name in ("block_out_channels", "attention_levels")}
    network = small_unet(pipe.unet.process, **sizes, **named)
    with pytest.warns(UserWarning, match="start anew") as told:
        start_from(network, tmp_path)
    assert [str(warning.message) for warning in told] == [
        "1 of 2 styles start anew, for example kai",
        "1 of 3 components start anew, for example 火",
    ]
    styles, before = network.style_embedding.weight, pipe.unet.style_embedding.weight
    assert torch.equal(styles, torch.stack([before[0], torch.zeros_like(before[0]), before[1]]))
    parts, before = network.part_embedding.weight, pipe.unet.part_embedding.weight
    assert torch.equal(parts, torch.stack([before[0], before[2], torch.zeros_like(before[0]), before[1]]))
    assert torch.equal(network.stem.weight, pipe.unet.stem.weight)
