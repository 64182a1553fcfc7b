"""Two real processes, started once by torchrun and examined from all sides; the oracle is a single process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from glyffuser.commands.cli import main
from glyffuser.config import Config, dump_config, override
from glyffuser.generate.load import load_pipeline
from tiny import make_config
from training_runs import Run, finish, log, tensors, towered

PLAIN = ["train.mixed_precision=no", "model.dropout=0.0", "train.decay=0.0"]
PROMPTS = "gold\n\n  a kind of fish \nwater\n"

WORKER = """
import hashlib, json, sys, time
from pathlib import Path
from types import SimpleNamespace
import torch
from accelerate.state import AcceleratorState, GradientState
from glyffuser.commands.cli import main
from glyffuser.config import load_config
from glyffuser.train import loop as train
from glyffuser.train import optimizer, previews
sys.path.insert(0, {tests!r})
from training_runs import Run, glyphs, tensors

def again():
    AcceleratorState._reset_state(True)
    GradientState._reset_state()

torch.set_num_threads(1)
previews.STEPS = 2
out, commands = Path(sys.argv[1]), json.loads(sys.argv[2])
run = Run(load_config(out / "clocks.toml"), out / "clocks")
drawn = [glyphs(run.parts, step) for step in range(4)]
rank = run.parts.accelerator.process_index
train.time = SimpleNamespace(perf_counter=lambda: time.perf_counter() * (1 + 9 * rank))
losses = []
for progress in run.steps():
    losses.append(progress.loss)
    run.stop.requested = rank == 1 and progress.step == 4
state = [t.detach().numpy().tobytes() for t in tensors(run.state).values()]
facts = {{
    "processes": run.parts.accelerator.num_processes,
    "glyphs": drawn,
    "losses": losses,
    "state": hashlib.sha256(b"".join(state)).hexdigest(),
    "codes": [],
}}
matrices, worked = torch.randn(5, 6, 20, generator=torch.Generator().manual_seed(1)), []
alone, whole = optimizer.orthogonal, optimizer.orthogonal(matrices)
optimizer.orthogonal = lambda some: worked.append(len(some)) or alone(some)
made = optimizer.shared(matrices)
optimizer.orthogonal = alone
facts |= {{"worked": worked, "made": made.tolist(), "off": float((made - whole).abs().max())}}
for command in commands:
    again()
    facts["codes"].append(main(command))
Path(out, f"rank-{{rank}}.json").write_text(json.dumps(facts))
torch.distributed.destroy_process_group()
"""


def configs(data: Path, encoder: Path) -> dict[str, Config]:
    """The run with two clocks, whose learning rate depends on the time, and those that a single process repeats."""
    clocks = towered(override(make_config(data, encoder), ["train.max_minutes=50.0", "train.decay=1.0"]))
    override(clocks, ["train.max_steps=10000", "train.batch_size=16"])
    plain = override(make_config(data, encoder), [*PLAIN, "train.preview_every=3"])
    fast = override(make_config(data, encoder), [*PLAIN, "train.mixed_precision=bf16", "train.accumulate=2"])
    return {"clocks": clocks, "plain": plain, "fast": override(fast, ["train.optimizer=muon", "train.lr=2e-3"])}


@pytest.fixture(scope="module")
def two(tiny_data, tiny_encoder, make_pipe, tmp_path_factory):
    """What two processes made: `out` holds their folders, `errors` their messages, `ranks` what each of them saw."""
    out = tmp_path_factory.mktemp("two")
    for name, config in configs(tiny_data, tiny_encoder).items():
        (out / f"{name}.toml").write_text(dump_config(config))
    make_pipe().save_pretrained(out / "model")
    (out / "prompts.txt").write_text(PROMPTS)
    train = [["train", "--config", f"{out}/{name}.toml", "--out", f"{out}/{name}"] for name in ("plain", "fast")]
    sample = ["sample", "--list", f"{out}/prompts.txt", "-n", "1", "--steps", "3", "--model", f"{out}/model"]
    commands = [
        *([*command, "--max-steps", "4"] for command in train),
        [*sample, "--out", f"{out}/drawn"],
        [*train[0], "--set", "train.batch_size=9"],
        ["info"],
    ]
    (out / "worker.py").write_text(WORKER.format(tests=str(Path(__file__).parent)))
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    arguments = [out / "worker.py", out, json.dumps(commands)]
    done = subprocess.run([*start, *arguments], check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    ranks = [json.loads((out / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    return SimpleNamespace(out=out, errors=done.stderr, ranks=ranks)


@pytest.mark.slow
def test_they_train_one_network_and_see_no_glyph_twice(two):
    first, second = two.ranks
    assert first["processes"] == second["processes"] == 2
    assert first["state"] == second["state"]
    assert first["losses"] == second["losses"]
    assert len(first["losses"]) == 4  # one of them asked for the stop
    both = [g for facts in (first, second) for batch in facts["glyphs"] for g in batch]
    assert sorted(both) == list(range(64))  # 4 steps of 16 glyphs: one pass
    assert load_pipeline(two.out / "clocks" / "model") is not None
    assert len(log(two.out / "clocks")) == 4  # only one process writes


@pytest.mark.slow
def test_they_share_the_work_of_the_optimiser_and_have_the_same_of_it(two):
    first, second = two.ranks
    assert first["made"] == second["made"]
    assert max(first["off"], second["off"]) < 0.02  # bfloat16
    assert first["worked"] == second["worked"] == [3]  # of five matrices


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rel"), [("plain", 1e-5), ("fast", 2e-2)])
def test_the_loss_is_that_of_one_process_which_can_also_go_on_with_the_run(
    two, tiny_data, tiny_encoder, name, rel, monkeypatch
):
    monkeypatch.setattr("glyffuser.train.previews.STEPS", 2)
    config = override(configs(tiny_data, tiny_encoder)[name], ["train.max_steps=6", "train.accumulate=1"])
    whole, gone_on = Run(config, two.out / f"{name}-whole"), Run(config, two.out / name)
    assert (gone_on.state.step, gone_on.state.seen) == (4, 32)
    finish(whole)
    finish(gone_on)
    ours, theirs = log(gone_on.out), log(whole.out)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs] == list(range(1, 7))
    assert [line["loss"] for line in ours] == pytest.approx([line["loss"] for line in theirs], rel=rel)
    assert [line["lr"] for line in ours] == [line["lr"] for line in theirs]
    if name == "plain":
        assert [line["grad_norm"] for line in ours] == pytest.approx([line["grad_norm"] for line in theirs], rel=rel)
        one, other = tensors(gone_on.state), tensors(whole.state)
        for kind in ("network", "ema"):  # as a whole: Adam turns a gradient of mere rounding into a large step
            keys = [key for key in one if key.startswith(kind)]
            apart = sum(float((one[key] - other[key]).square().sum()) for key in keys) ** 0.5
            assert apart < 2e-3 * sum(float(other[key].square().sum()) for key in keys) ** 0.5
        pictures = sorted((two.out / name / "samples").iterdir())
        assert [picture.name for picture in pictures] == ["step-00000003.png", "step-00000006.png"]
        scores = [json.loads(line)["step"] for line in (two.out / name / "scores.jsonl").read_text().splitlines()]
        assert scores == [3, 6]


@pytest.mark.slow
def test_they_draw_the_same_bytes_as_one_process(two):
    alone = ["sample", "gold", "a kind of fish", "water", "-n", "1", "--steps", "3", "--model", f"{two.out}/model"]
    assert main([*alone, "--out", f"{two.out}/alone"]) == 0
    pictures = sorted(path.name for path in (two.out / "alone").glob("*.png"))
    assert pictures == [f"{slug}-0{k}.png" for slug in ("a-kind-of-fish", "gold", "water") for k in ("-0", "")]
    for name in pictures:
        assert (two.out / "drawn" / name).read_bytes() == (two.out / "alone" / name).read_bytes(), name
    assert np.asarray(Image.open(two.out / "drawn" / "gold-0.png")).std() > 10


@pytest.mark.slow
def test_what_is_wrong_is_said_once(two):
    assert [facts["codes"] for facts in two.ranks] == [[0, 0, 0, 2, 2]] * 2
    said = [line for line in two.errors.splitlines() if line.startswith("glyffuser:")]
    assert len(said) == 2
    assert said[0].endswith("9 glyphs cannot be shared evenly by 2 processes; try --set train.batch_size=10")
    assert "start it without torchrun" in said[1]
