"""Smaller ONNX files: half precision, and eight-bit integers.

fp16 leaves in single precision what half precision would spoil: the timestep, whose embedding turns by up to a thousand
radians, and the process around the network, whose scales range from a hundredth to a hundred.

int8 rounds the weights of every channel of a layer on a scale of its own. In the denoiser, the inputs of the layers are
rounded too, on scales that a few drawings have shown to be wide enough (Jacob et al. 2018, Quantization and training of
neural networks, section 2), so that a processor multiplies integers; the text encoder, whose inputs differ more from
text to text, measures them afresh each time. The tower is too small to gain from it.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor

from glyffuser.base.noise import noise_source, seeded
from glyffuser.config import INTERVAL, SAMPLER
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import classifier_free
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.generate.pipeline import GlyffuserPipeline

PRECISIONS = ("fp32", "fp16", "int8")
SCOPES = "pkg.torch.onnx.name_scopes"  # where torch writes which module a node comes from
# What int8 is fitted to: drawings of these prompts, none of which is in the evaluation.
SHOWN = (
    "a bird's nest",
    "molten iron",
    "cold water",
    "a high wall",
    "to run away",
    "soup",
    "an old woman",
    "ripe fruit",
)
SHOWN_STEPS = 10
WORK = ["Conv", "Gemm", "MatMul"]  # the layers that int8 changes


def reduce(path: Path, precision: str, pipe: GlyffuserPipeline) -> None:
    """Rewrite a file of the export in place, in one of PRECISIONS; a part that would gain nothing is left as it is.

    `pipe` is the model that the file is part of.
    """
    if precision == "fp16":
        model = onnx.load(path)
        kept = delicate(model) if path.stem == "denoiser" else []
        onnx.save(convert_float_to_float16(model, keep_io_types=True, node_block_list=kept), path)
    elif precision == "int8" and path.stem in ("denoiser", "text_encoder"):
        quantised(path, pipe)


def delicate(model: onnx.ModelProto) -> list[str]:
    """The nodes that fp16 leaves in single precision: outside the network, and on the way to a sine or cosine."""
    makers = {output: node for node in model.graph.node for output in node.output}
    kept = {node.name for node in model.graph.node if "network" not in scopes(node)}
    waiting = [node for node in model.graph.node if node.op_type in ("Sin", "Cos")]
    while waiting:
        node = waiting.pop()
        if node.name not in kept:
            kept.add(node.name)
            waiting += [makers[name] for name in node.input if name in makers]
    return sorted(kept)


def scopes(node: onnx.NodeProto) -> str:
    """The modules that a node comes from, as torch wrote them."""
    return next((entry.value for entry in node.metadata_props if entry.key == SCOPES), "network")


def quantised(path: Path, pipe: GlyffuserPipeline) -> None:
    """Rewrite the denoiser or the text encoder in place, with int8 weights."""
    prepared = path.with_name(f"prepared-{path.name}")
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)  # it recommends the preparation that has just been done
    try:
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        if path.stem == "text_encoder":
            quantize_dynamic(prepared, path, [*WORK, "Gather"], per_channel=True, weight_type=QuantType.QInt8)
        else:
            quantize_static(
                prepared,
                path,
                Drawings(pipe),
                QuantFormat.QDQ,
                WORK,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
    finally:
        logger.setLevel(before)
    prepared.unlink()


class Drawings(CalibrationDataReader):
    """What a denoiser is given while glyphs are drawn, in the form onnxruntime asks for."""

    def __init__(self, pipe: GlyffuserPipeline):
        self.given = drawings(pipe)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The inputs of one evaluation by name, or None after the last."""
        return next(self.given, None)


def drawings(pipe: GlyffuserPipeline) -> Iterator[dict[str, np.ndarray]]:
    """The inputs of every evaluation while glyphs of SHOWN are drawn in a few steps."""
    plain, seen = pipe.denoiser(), []

    def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        assert cond is not None
        told = {name: part for name, part in vars(cond).items() if part is not None}
        inputs = {"x": x, "sigma": sigma.float(), **told}
        seen.append({name: part.cpu().numpy() for name, part in inputs.items()})
        return plain(x, sigma, cond)

    config, schedule = pipe.unet.config, pipe.schedule
    noise = noise_source([seeded(0, k) for k in range(len(SHOWN))], len(SHOWN))
    x = noise(torch.empty(len(SHOWN), config.in_channels, config.sample_size, config.sample_size))
    sigmas = schedule.sigmas(min(SHOWN_STEPS, schedule.T))
    guided = classifier_free(D, pipe.usual.guidance, pipe.condition([""]), INTERVAL)
    for _ in SAMPLERS[SAMPLER](guided, sigmas[0] * x, sigmas, pipe.condition(list(SHOWN)), noise):
        yield from seen
        seen.clear()
