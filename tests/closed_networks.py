"""ONNX files in closed form, in place of an export: Python can compute exactly what a page draws with them.

Each takes the inputs of the part that it replaces, with the same names and types. The text encoder looks tokens up in
a table, the tower multiplies the mean state, and the denoiser is that of Gaussian data of standard deviation SPREAD,
whose mean picture follows from the mean state and the tower's vector (Karras et al. 2022, equation 3).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from glyffuser.diffusion.conditions import Condition
from glyffuser.export.onnx import SETTINGS, TOKENIZER, Part, parts, save_tokenizer, settings
from glyffuser.generate.pipeline import GlyffuserPipeline

SPREAD = 0.2
TYPES = {torch.float32: TensorProto.FLOAT, torch.int64: TensorProto.INT64, torch.bool: TensorProto.BOOL}


class Closed:
    """A pipeline's networks in closed form: as files, and as the denoiser that these amount to."""

    def __init__(self, pipe: GlyffuserPipeline):
        self.pipe, self.parts = pipe, parts(pipe)
        rng, config = np.random.default_rng(0), pipe.unet.config
        self.shape = (config.in_channels, config.sample_size, config.sample_size)
        pixels = int(np.prod(self.shape))
        self.table = rng.normal(size=(len(pipe.text_encoder.tokenizer), pipe.text_encoder.dim)).astype(np.float32)
        self.to_mean = rng.normal(size=(pipe.text_encoder.dim, pixels)).astype(np.float32) / 2
        self.tower = rng.normal(size=(pipe.text_encoder.dim, config.pooled_dim)).astype(np.float32)
        self.pooled_to_mean = rng.normal(size=(config.pooled_dim, pixels)).astype(np.float32) / 4

    def export(
        self,
        pipe: GlyffuserPipeline,
        out: str | Path,
        precision: str = "fp32",
        report: Callable[[float, str], None] = lambda part, text: None,
    ) -> None:
        """Do what `export_onnx` does, at no cost."""
        Path(out).mkdir(parents=True, exist_ok=True)
        makers = {"text_encoder": self._text_encoder, "tower": self._tower, "denoiser": self._denoiser}
        for part in self.parts:
            onnx.save(makers[part.name](part), Path(out) / f"{part.name}.onnx")
        save_tokenizer(pipe, Path(out) / TOKENIZER)
        (Path(out) / SETTINGS).write_text(
            json.dumps(settings(pipe, self.parts, precision, Path(out))), encoding="utf-8"
        )

    def mean(self, prompt: str) -> np.ndarray:
        """The mean picture of a prompt's data, float32 (1, C, H, W)."""
        pooled = self.table[self.pipe.text_encoder.tokenizer(prompt).input_ids].mean(axis=0)
        picture = np.tanh(pooled @ self.to_mean + (pooled @ self.tower) @ self.pooled_to_mean)
        return picture.reshape(1, *self.shape)

    def denoise(self, x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
        """D(x, sigma, cond), for a condition whose states are mean pictures (B, 1, C H W)."""
        assert cond is not None
        mean = cond.states.reshape(len(x), *self.shape)
        return ((SPREAD**2 * x + sigma**2 * mean) / (SPREAD**2 + sigma**2)).to(x.dtype)

    def condition(self, prompt: str) -> Condition:
        """The condition of a prompt, in the form that `denoise` takes."""
        return Condition(torch.from_numpy(self.mean(prompt)).reshape(1, 1, -1), torch.ones(1, 1, dtype=torch.bool))

    def _text_encoder(self, part: Part) -> onnx.ModelProto:
        nodes = [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.BOOL),
            helper.make_node("Cast", ["attention_mask"], ["ones"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["ones", "last"], ["column"]),
            helper.make_node("Mul", ["rows", "column"], ["states"]),
        ]
        return _model(part, nodes, {"table": self.table, "last": np.array([2])})

    def _tower(self, part: Part) -> onnx.ModelProto:
        nodes = [*_mean_state(), helper.make_node("MatMul", ["mean_state", "tower"], ["pooled"])]
        return _model(part, nodes, {"tower": self.tower, "axis": np.array([1])})

    def _denoiser(self, part: Part) -> onnx.ModelProto:
        nodes = [
            *_mean_state(),
            helper.make_node("MatMul", ["mean_state", "to_mean"], ["of_states"]),
            helper.make_node("MatMul", ["pooled", "pooled_to_mean"], ["of_pooled"]),
            helper.make_node("Add", ["of_states", "of_pooled"], ["flat"]),
            helper.make_node("Tanh", ["flat"], ["bounded"]),
            helper.make_node("Reshape", ["bounded", "shape"], ["mean"]),
            helper.make_node("Mul", ["sigma", "sigma"], ["sigma2"]),
            helper.make_node("Mul", ["x", "spread2"], ["kept"]),
            helper.make_node("Mul", ["mean", "sigma2"], ["expected"]),
            helper.make_node("Add", ["kept", "expected"], ["above"]),
            helper.make_node("Add", ["spread2", "sigma2"], ["below"]),
            helper.make_node("Div", ["above", "below"], ["x0"]),
        ]
        constants: dict[str, Any] = {
            "to_mean": self.to_mean,
            "pooled_to_mean": self.pooled_to_mean,
            "axis": np.array([1]),
        }
        constants |= {"shape": np.array([-1, *self.shape]), "spread2": np.float32(SPREAD**2)}
        return _model(part, nodes, constants)


def _mean_state() -> list[onnx.NodeProto]:
    """The nodes for the mean of the states (B, L, D), padding excluded."""
    return [
        helper.make_node("Cast", ["mask"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ones", "axis"], ["count"]),
        helper.make_node("ReduceSum", ["states", "axis"], ["sum"], keepdims=0),
        helper.make_node("Div", ["sum", "count"], ["mean_state"]),
    ]


def _model(part: Part, nodes: list[onnx.NodeProto], constants: dict[str, Any]) -> onnx.ModelProto:
    """A model with a part's inputs, of the same types, and its outputs."""
    inputs = [
        helper.make_tensor_value_info(name, TYPES[tensor.dtype], [None] * tensor.ndim)
        for name, tensor in part.inputs.items()
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.BOOL if name == "mask" else TensorProto.FLOAT, None)
        for name in part.outputs
    ]
    kept = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, part.name, inputs, outputs, kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
