"""ONNX files against torch: every part, other batches and lengths, smaller precisions, and the documented program."""

import contextlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from glyffuser.base.errors import UserError
from glyffuser.base.files import sha256
from glyffuser.base.names import TEXT_ROUTES
from glyffuser.base.noise import seeded
from glyffuser.base.pictures import to_grey
from glyffuser.commands.cli import main
from glyffuser.config import ETA, INTERVAL, STEPS
from glyffuser.diffusion.guidance import classifier_free
from glyffuser.diffusion.process import Process
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.diffusion.schedules import Schedule
from glyffuser.export.engine import with_onnx
from glyffuser.export.onnx import Part, difference, export_onnx, open_session, parts, write
from glyffuser.generate.draw import draw
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.generate.schedulers import GlyffuserScheduler
from glyffuser.text.encoder import TextEncoder
from glyffuser.text.tower import TextTower
from tiny import shake

DOCS = Path(__file__).parents[2] / "docs" / "ONNX.md"


@pytest.fixture(scope="module")
def make_model(small_unet, tiny_encoder):
    """A factory for pipelines with random weights whose network takes everything that one may be told.

    Torch takes seconds to export each block, so there are few.
    """

    def make(process: Process, **settings) -> GlyffuserPipeline:
        torch.manual_seed(0)
        tower = TextTower(16, width=8, hidden=16, components="金木").eval()  # first, so that all have the same
        # Groups of several channels: groups of one, on 2 x 2 pixels, amplify any rounding.
        small = {"num_class_embeds": 215, "pooled_dim": 8, "layers_per_block": 1, "norm_groups": 4}
        attending = {"attention_levels": (False, False)}  # the middle does in any case
        unet = small_unet(process, **small | attending | settings).eval()
        shake(unet)
        encoder = TextEncoder(str(tiny_encoder), words_only=True)
        scheduler = GlyffuserScheduler.for_schedule(process.schedule, eta=ETA)
        return GlyffuserPipeline(unet, encoder, scheduler, tower if unet.config.pooled_dim else None)

    return make


@pytest.fixture(scope="module")
def model(make_model) -> GlyffuserPipeline:
    return make_model(Process(Schedule("flow", shift=3.0), "sample"))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> Path:
    """The model's own folder."""
    out = tmp_path_factory.mktemp("saved") / "model"
    model.save_pretrained(out)
    return out


@pytest.fixture(scope="module")
def exported(saved, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    """What the command made of the model: its folder, and what it printed."""
    out, printed = tmp_path_factory.mktemp("exported") / "onnx", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(["onnx", "--model", str(saved), "--out", str(out), "--json"]) == 0
    return out, json.loads(printed.getvalue())


@pytest.fixture(scope="module")
def folder(exported) -> Path:
    """The exported model."""
    return exported[0]


def test_the_command_writes_all_parts_and_says_how_near_they_are(exported):
    folder, printed = exported
    names = ["text_encoder", "tower", "denoiser"]
    assert [Path(file["file"]) for file in printed["files"]] == [folder / f"{name}.onnx" for name in names]
    assert [file["bytes"] for file in printed["files"]] == [(folder / f"{n}.onnx").stat().st_size for n in names]
    assert all(0 < file["difference"] < 1e-4 for file in printed["files"])
    assert {path.name for path in folder.iterdir()} == {f"{n}.onnx" for n in names} | {
        "tokenizer.json",
        "glyffuser.json",
    }


def test_every_part_agrees_with_torch_at_other_batches_and_lengths(model, folder):
    for batch, length in ((1, 4), (5, 11)):
        for part in parts(model, batch, length, seed=batch):
            assert difference(part, folder / f"{part.name}.onnx") < 1e-4, (part.name, batch)


TRANSFORMER: dict[str, Any] = {"kind": "transformer", "attention_levels": (True,)}


ONE_LEVEL: dict[str, Any] = {"block_out_channels": (16,), "attention_levels": (False,), "mlp_ratio": 2.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("route", "process", "settings"),
    [
        ("attention", Process(Schedule("linear"), "epsilon"), {"norm_groups": 0, "components": "木水"}),
        ("pooled", Process(Schedule("cosine"), "v_prediction"), TRANSFORMER | {"pooled_dim": 8}),
        ("none", Process(Schedule("flow"), "flow_prediction"), TRANSFORMER | {"styles": ("kai",)}),
    ],
)
def test_other_networks_processes_and_routes_are_drawn_by_their_files(
    route, process, settings, make_model, folder, tmp_path, single, monkeypatch
):
    """Also where the network reads no states, or no vector. Encoder and tower are the same in all."""

    def quick(part: Part, path: Path) -> None:
        write(part, path) if part.name == "denoiser" else shutil.copyfile(folder / path.name, path)

    monkeypatch.setattr("glyffuser.export.onnx.write", quick)
    assert TEXT_ROUTES[0] == "both"  # the fixture's
    pipe = make_model(process, **{"text_route": route, "pooled_dim": 0} | ONE_LEVEL | settings)
    # Where the noise is predicted, its errors come back sigma times as large; files are compared at 1.3.
    steep = process.prediction_type == "epsilon"
    assert all(file.difference < 1e-4 * (1.3 if steep else 1) for file in export_onnx(pipe, tmp_path))
    part = parts(pipe)[-1]
    for sigma in (0.05, 1.3, 12.0):
        x = (1 + sigma**2) ** 0.5 * torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
        told = {name: tensor[[0, 1, 2, 0]] for name, tensor in part.inputs.items() if tensor.ndim and name != "x"}
        seen = Part(part.name, part.module, {"x": x, "sigma": torch.tensor(sigma), **told}, part.outputs)
        assert difference(seen, tmp_path / "denoiser.onnx") < 1e-4 * max(1, sigma if steep else 1)
    request = Request("" if route == "none" else "gold", n=2, steps=2)
    by_torch, by_onnx = (draw(engine, [request.prompt] * 2, request) for engine in (pipe, with_onnx(pipe, tmp_path)))
    np.testing.assert_allclose(by_onnx.astype(float), by_torch.astype(float), atol=1)


def test_words_alone_are_told_of(model, folder):
    """Marks and punctuation are masked in the file as they are by the encoder."""
    states, mask = model.text_encoder.encode(["a, b (c)"])
    fed = model.text_encoder.tokenizer(["a, b (c)"], return_tensors="np")
    given = {name: fed[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
    found = open_session(folder / "text_encoder.onnx").run(["states", "mask"], given)
    assert found[1].tolist() == mask.tolist()
    assert 0 < mask.sum() < mask.numel()
    np.testing.assert_allclose(found[0], states.numpy(), atol=1e-5)


def test_batch_and_length_are_free(folder):
    inputs = {entry.name: entry for entry in onnx.load(folder / "denoiser.onnx").graph.input}
    sides = {name: [d.dim_param or d.dim_value for d in e.type.tensor_type.shape.dim] for name, e in inputs.items()}
    assert sides["x"] == ["batch", 1, 16, 16]
    assert sides["states"] == ["batch", "length", 16]
    assert sides["sigma"] == []


def test_settings_hold_what_a_sampler_needs(model, folder):
    facts = json.loads((folder / "glyffuser.json").read_text())
    assert facts["sigmas"] == pytest.approx(model.schedule.sigmas(facts["steps"]).tolist())
    assert (facts["schedule"], facts["shift"], facts["prediction_type"]) == ("flow", 3.0, "sample")
    assert facts["interval"] == list(INTERVAL)
    assert all((folder / part["file"]).is_file() for part in facts["parts"].values())


@pytest.fixture
def single(monkeypatch):
    """Torch draws in float32, whichever precision is fast."""
    monkeypatch.setattr("glyffuser.generate.pipeline.fast_matmul", lambda device: contextlib.nullcontext())


def snippet() -> str:
    """The program in the docs."""
    (program,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    return program


def test_the_docs_draw_the_same_glyphs_without_torch(model, folder, single, tmp_path):
    (tmp_path / "onnx").symlink_to(folder)
    checked = snippet() + "\nimport sys\nassert not {'torch', 'glyffuser', 'transformers'} & set(sys.modules)\n"
    subprocess.run([sys.executable, "-c", checked], cwd=tmp_path, check=True)
    head, pixels = (tmp_path / "glyphs.pgm").read_bytes().split(b"\n", 1)
    assert head == b"P5 64 16 255"
    drawn = np.frombuffer(pixels, np.uint8).reshape(16, 4, 16).swapaxes(0, 1)
    np.testing.assert_allclose(drawn.astype(int), redrawn(model, 4).astype(int), atol=6)
    assert drawn.std() > 10


def redrawn(model: GlyffuserPipeline, n: int) -> np.ndarray:
    """The glyphs of the documented program, drawn by torch from the same random numbers."""
    random = np.random.default_rng(0)
    cond = model.condition(["gold"] * n)

    def noise(x: torch.Tensor, *interval: object) -> torch.Tensor:
        return torch.from_numpy(random.standard_normal(x.shape)).float()

    sigmas = model.schedule.sigmas(STEPS)
    x = sigmas[0] * noise(torch.empty(n, 1, 16, 16))
    D = classifier_free(model.denoiser(), model.usual.guidance, model.condition([""]), INTERVAL)
    *_, last = SAMPLERS["dpm++2m-sde"](D, x.float(), sigmas, cond, noise, eta=model.usual.eta_of(None))
    return to_grey(last.x)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "share", "far"), [("fp16", 0.75, 0.05), ("int8", 0.75, 0.5)])
def test_smaller_precisions_are_smaller_and_near(precision, share, far, model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("glyffuser.export.onnx.write", lambda part, path: shutil.copyfile(folder / path.name, path))
    (denoiser,) = (f for f in export_onnx(model, tmp_path, precision) if f.path.stem == "denoiser")
    weights = [w for w in onnx.load(denoiser.path).graph.initializer if len(w.dims) == 4]
    kind = {"fp16": onnx.TensorProto.FLOAT16, "int8": onnx.TensorProto.INT8}[precision]
    assert weights
    assert {w.data_type for w in weights} == {kind}
    whole = [w for w in onnx.load(folder / "denoiser.onnx").graph.initializer if len(w.dims) == 4]
    assert sum(len(w.raw_data) for w in weights) < share * sum(len(w.raw_data) for w in whole)
    assert 0 < denoiser.difference < far
    assert json.loads((tmp_path / "glyffuser.json").read_text())["precision"] == precision


def test_the_pipeline_draws_the_same_with_onnxruntime(model, folder, single):
    made = with_onnx(model, folder)
    assert made.engine == "onnx fp32"
    for guidance in (2.0, 1.0):
        asked: dict[str, Any] = {"num_inference_steps": 5, "num_images_per_prompt": 2, "guidance_scale": guidance}
        drawn = [list(pipe.stream("gold", generator=seeded(0, 0), **asked))[-1].x for pipe in (model, made)]
        torch.testing.assert_close(drawn[0], drawn[1], atol=2e-3, rtol=0)


def test_files_of_another_model_or_none_or_damaged_ones_are_told(model, folder, make_pipe, tmp_path):
    with pytest.raises(UserError, match="another model"):
        with_onnx(make_pipe(), folder)
    with pytest.raises(UserError, match="glyffuser onnx"):
        with_onnx(model, tmp_path)
    facts = (folder / "glyffuser.json").read_text()
    (tmp_path / "denoiser.onnx").write_bytes(b"half a file")
    whole, half = sha256(folder / "denoiser.onnx"), sha256(tmp_path / "denoiser.onnx")
    assert whole in facts
    as_if = facts.replace(whole, half)
    for text, words in (
        (facts, "another export"),
        (as_if, "cannot open the denoiser"),
        ("{", "damaged"),
        ("[]", "damaged"),
    ):
        (tmp_path / "glyffuser.json").write_text(text)
        with pytest.raises(UserError, match=words):
            with_onnx(model, tmp_path)


def test_a_denoiser_that_does_not_run_is_told(model, folder):
    """A file that opens and has the right checksum may still fail to run: here, for a picture of two channels."""
    drawing = with_onnx(model, folder).unguided()
    with pytest.raises(UserError, match=r"does not run: .*; export it again"):
        drawing(torch.zeros(1, 2, 16, 16), torch.tensor(1.0), None)


def test_an_unknown_precision_is_told():
    with pytest.raises(UserError, match=r"'bf16'.*fp32, fp16, int8"):
        export_onnx(None, "nowhere", "bf16")  # type: ignore[arg-type]


def test_sample_draws_with_the_files_the_same_again(saved, folder, tmp_path):
    engine = ["--model", str(saved), "--out", str(tmp_path), "--engine", "onnx", "--onnx", str(folder)]
    assert main(["sample", "gold", "-n", "2", "--steps", "2", *engine]) == 0
    record = tmp_path / "gold-0.json"
    assert json.loads(record.read_text())["engine"] == "onnx fp32"
    before = (tmp_path / "gold-0.png").read_bytes()
    assert main(["sample", "--again", str(record), *engine]) == 0
    assert (tmp_path / "gold-0.png").read_bytes() == before


def test_an_engine_that_is_unknown_or_has_no_files_is_told(tiny_model, tmp_path, capsys):
    for asked, words in ((("tpu",), "torch, onnx"), (("onnx", "--onnx", str(tmp_path)), "glyffuser onnx")):
        assert main(["sample", "gold", "--model", str(tiny_model), "--engine", *asked]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--precision", "fp8"], ["'fp8'", "int8"]),
        (["--model", "nowhere"], ["nowhere"]),
        (["--out", "{file}"], ["is a file"]),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(argv, words, tiny_model, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    argv = [word.replace("{file}", str(tmp_path / "file")) for word in argv]
    whole = ["onnx", "--model", str(tiny_model), "--out", str(tmp_path / "out"), *argv]
    assert main(whole) == 2
    captured = capsys.readouterr()
    assert len(captured.err.strip().splitlines()) == 1
    assert all(word in captured.err for word in words)
    assert not list(tmp_path.glob("out/*"))


def test_a_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["onnx"]) == 2
    assert "onnxruntime" in (said := capsys.readouterr().err)
    assert "glyffuser[onnx]" in said
