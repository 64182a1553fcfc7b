"""ONNX: the networks of a model as files that other programs run without torch, and what a sampler needs beside them.

A file is one function of arrays, with any batch and any length of text:

    text_encoder   input_ids, attention_mask (B, L)         -> states (B, L, D), mask (B, L)
    tower          states, mask                             -> pooled (B, W)
    denoiser       x, sigma, states, mask[, radical, pooled, parts, style] -> x0 (B, C, H, W)

The denoiser is the network with its process, D(x, sigma, cond): the one thing that samplers call, so that they need to
know neither timesteps nor what the network predicts.
"""

import json
import logging
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from glyffuser import __version__
from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path, output_folder, scratch_path, sha256
from glyffuser.base.pictures import MARGIN
from glyffuser.base.weights import weights_hash
from glyffuser.config import INTERVAL, SAMPLER
from glyffuser.data.components import MOST_PARTS, SIDES
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import denoiser
from glyffuser.diffusion.process import Process
from glyffuser.diffusion.schedules import Schedule
from glyffuser.export.precision import PRECISIONS, reduce
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.networks.conditioned import ConditionedNetwork, arguments

SETTINGS, TOKENIZER = "glyffuser.json", "tokenizer.json"
AXES = ("batch", "length")  # of token ids, states and masks; other inputs have only the first
TEXTS = ("input_ids", "attention_mask", "states", "mask")

Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Part:
    """One file: the module in it, example inputs by name, from a batch of 3, and the names of its outputs."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Exported:
    """A file that was written: its size, and the greatest difference of its outputs from torch's in float32."""

    path: Path
    bytes: int
    difference: float


@dataclass(frozen=True)
class Tabulated(Schedule):
    """A schedule that knows its log noise levels (T,): ONNX has no running product to compute them with."""

    table: Tensor = field(default_factory=lambda: torch.empty(0))

    def log_sigmas(self) -> Tensor:
        """See Schedule."""
        return self.table


class Denoise(nn.Module):
    """A network with its process, as one function of arrays."""

    def __init__(self, network: ConditionedNetwork):
        super().__init__()
        schedule, kind = network.process.schedule, network.process.prediction_type
        self.network = network
        self.process = Process(Tabulated(**vars(schedule), table=schedule.log_sigmas()), kind)

    def forward(
        self,
        x: Tensor,
        sigma: Tensor,
        states: Tensor,
        mask: Tensor,
        radical: Tensor | None = None,
        pooled: Tensor | None = None,
        parts: Tensor | None = None,
        style: Tensor | None = None,
    ) -> Tensor:
        """x = x0 + sigma * eps (B, C, H, W), sigma a scalar, and the fields of a `Condition` -> x0 (B, C, H, W)."""

        def predict(xt: Tensor, t: Tensor, cond: Condition | None) -> Tensor:
            assert cond is not None
            return self.network(xt, t, **arguments(cond), return_dict=False)[0]

        return denoiser(predict, self.process)(x, sigma, Condition(states, mask, radical, pooled, parts, style))


def export_onnx(
    pipe: GlyffuserPipeline,
    out: str | Path,
    precision: str = PRECISIONS[0],
    report: Report = lambda part, text: None,
) -> list[Exported]:
    """Write the parts of a model, its tokenizer and `glyffuser.json` into the folder `out`.

    `precision`: "fp32"; "fp16", weights and arithmetic in half precision, inputs and outputs still float32; or "int8",
    see `export/precision.py`. `report(fraction, text)` tells how far it is. All files appear together, at the end.
    Raises UserError for an unknown precision, a latent model, or a folder that cannot be written.
    """
    check(precision)
    if pipe.vae is not None:
        raise UserError("a latent model cannot be written as ONNX files; take one that works on pixels")
    out = output_folder(out)
    written = []
    with scratch_path(out / "export") as folder:
        folder.mkdir()
        made = parts(pipe)
        for i, part in enumerate(made):
            report(i / len(made), f"exporting the {part.name.replace('_', ' ')}")
            path = folder / f"{part.name}.onnx"
            write(part, path)
            reduce(path, precision, pipe)
            written.append(Exported(out / path.name, path.stat().st_size, difference(part, path)))
        save_tokenizer(pipe, folder / TOKENIZER)
        facts = settings(pipe, made, precision, folder)
        (folder / SETTINGS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        for path in sorted(folder.iterdir(), key=lambda path: (path.name == SETTINGS, path.name)):  # settings last
            with atomic_path(out / path.name) as temporary:
                shutil.copyfile(path, temporary)
    report(1.0, "done")
    return written


def check(precision: str) -> None:
    """UserError unless it is one of PRECISIONS."""
    if precision not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}; choose one of {', '.join(PRECISIONS)}")


def parts(pipe: GlyffuserPipeline, batch: int = 3, length: int = 7, seed: int = 0) -> list[Part]:
    """The parts of a model, with random inputs of one batch and one length of text."""
    source, config = torch.Generator().manual_seed(seed), pipe.unet.config
    size = len(pipe.text_encoder.tokenizer)
    ids = torch.randint(size, (batch, length), generator=source)
    real = torch.ones(batch, length, dtype=torch.long)
    real[1:, length // 2 :] = 0
    with torch.no_grad():
        states, mask = pipe.text_encoder(ids, real)
    read = {"states": states, "mask": mask}
    x = torch.randn(batch, config.in_channels, config.sample_size, config.sample_size, generator=source)
    told = {"x": 1.7 * x, "sigma": torch.tensor(1.3), **read}
    made = [Part("text_encoder", pipe.text_encoder, {"input_ids": ids, "attention_mask": real}, ("states", "mask"))]
    if pipe.tower is not None:
        made.append(Part("tower", pipe.tower, read, ("pooled",)))
        with torch.no_grad():
            told["pooled"] = pipe.tower(states, mask)
    if config.num_class_embeds:
        told["radical"] = torch.randint(config.num_class_embeds, (batch,), generator=source)
    if config.components:
        components = torch.randint(len(config.components) + 1, (batch, MOST_PARTS, 1), generator=source)
        places = torch.randint(len(SIDES) + 1, (batch, MOST_PARTS, 1), generator=source)
        told["parts"] = torch.cat([components, places], dim=2)
    if config.styles:
        told["style"] = torch.randint(len(config.styles) + 1, (batch,), generator=source)
    return [*made, Part("denoiser", Denoise(pipe.unet), told, ("x0",))]


def write(part: Part, path: Path) -> None:
    """Write one part in float32, with batch and length left open."""
    shapes = {
        name: {axis: AXES[axis] for axis in range(min(tensor.ndim, 2 if name in TEXTS else 1))}
        for name, tensor in part.inputs.items()
    }
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)  # it warns about torchvision, which nothing here needs
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                part.module.eval(),
                kwargs=part.inputs,
                dynamic_shapes=shapes,
                input_names=list(part.inputs),
                output_names=list(part.outputs),
                dynamo=True,
                verbose=False,
            )
    finally:
        logger.setLevel(before)
    assert program is not None
    program.save(path, external_data=False)


def open_session(path: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """An ONNX file, ready to run on the CPU; by default on as many threads as there are cores."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def difference(part: Part, path: Path) -> float:
    """The greatest difference of a file's outputs from torch's."""
    with torch.no_grad():
        wanted = part.module(**part.inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = open_session(path).run(list(part.outputs), {name: x.numpy() for name, x in part.inputs.items()})
    pairs = zip(wanted, found, strict=True)
    return max(float(np.abs(one.numpy().astype(np.float64) - other).max()) for one, other in pairs)


def save_tokenizer(pipe: GlyffuserPipeline, path: Path) -> None:
    """Write the tokenizer as the `tokenizers` package reads it, set to cut long texts and to pad a batch."""
    whole = pipe.text_encoder.tokenizer
    if not whole.is_fast:
        raise UserError(f"the tokenizer of {pipe.text_encoder.source} has no file of its own; choose another encoder")
    tokenizer = Tokenizer.from_str(whole.backend_tokenizer.to_str())
    tokenizer.enable_truncation(pipe.text_encoder.limit)
    tokenizer.enable_padding(pad_id=whole.pad_token_id, pad_token=whole.pad_token)
    tokenizer.save(str(path))


def settings(pipe: GlyffuserPipeline, made: list[Part], precision: str, folder: Path) -> dict[str, Any]:
    """Everything that a sampler needs beside the files in `folder`, ready for JSON."""
    config, process = pipe.unet.config, pipe.unet.process
    schedule = process.schedule
    return {
        "glyffuser": __version__,
        "model": weights_hash(pipe.unet),
        "precision": precision,
        "shape": [config.in_channels, config.sample_size, config.sample_size],
        **process.to_config(),
        "sigma_min": schedule.sigma_min(),
        "sigma_max": schedule.sigma_max(),
        "sampler": getattr(pipe.scheduler.config, "sampler", SAMPLER),
        "eta": pipe.usual.eta_of(None),
        "steps": pipe.usual.steps,
        "sigmas": schedule.sigmas(pipe.usual.steps).tolist(),
        "guidance": pipe.usual.guidance,
        "interval": list(INTERVAL),
        "levels": {"margin": MARGIN},
        "max_length": pipe.text_encoder.limit,
        "tokenizer": TOKENIZER,
        "parts": {
            part.name: {
                "file": f"{part.name}.onnx",
                "sha256": sha256(folder / f"{part.name}.onnx"),
                "inputs": list(part.inputs),
                "outputs": list(part.outputs),
            }
            for part in made
        },
    }
