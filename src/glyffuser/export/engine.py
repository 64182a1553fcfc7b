"""Drawing with onnxruntime: a pipeline whose denoiser is an ONNX file."""

import json
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor

from glyffuser.base.errors import UserError, in_one_line
from glyffuser.base.files import sha256
from glyffuser.base.weights import weights_hash
from glyffuser.diffusion.conditions import Condition
from glyffuser.diffusion.guidance import Denoiser
from glyffuser.export.onnx import SETTINGS, open_session
from glyffuser.generate.pipeline import GlyffuserPipeline


class OnnxPipeline(GlyffuserPipeline):
    """The pipeline with its denoiser run by onnxruntime; the prompt is read as before. See `with_onnx`."""

    session: onnxruntime.InferenceSession

    def unguided(self) -> Denoiser:
        """See GlyffuserPipeline."""

        def D(x: Tensor, sigma: Tensor, cond: Condition | None) -> Tensor:
            cond = self.condition([""]).repeat(len(x)) if cond is None else cond
            told = {name: part.numpy() for name, part in vars(cond).items() if part is not None}
            try:
                (x0,) = self.session.run(["x0"], {"x": x.numpy(), "sigma": sigma.float().numpy(), **told})
            except Exception as error:  # of a class of its own, see below
                raise UserError(
                    f"the ONNX file of the denoiser does not run: {in_one_line(error)}; export it again"
                ) from error
            return torch.from_numpy(x0)

        return D


def with_onnx(pipe: GlyffuserPipeline, folder: Path) -> OnnxPipeline:
    """The pipeline of the same model with the denoiser that `glyffuser onnx` wrote into `folder`.

    It uses as many threads as torch. UserError if the files are missing, damaged, or of another model.
    """
    facts = _settings(folder)
    if facts["model"] != weights_hash(pipe.unet):
        raise UserError(f"{folder} holds another model; write this one with: glyffuser onnx --model ... --out ...")
    made = OnnxPipeline(**pipe.components)
    try:
        part = facts["parts"]["denoiser"]
        file = folder / Path(part["file"]).name  # beside the settings, whatever path they give
        if sha256(file) != part["sha256"]:
            raise UserError(f"{file} is damaged, or from another export than {SETTINGS}; export the model again")
        made.session = open_session(file, torch.get_num_threads())
    except UserError:
        raise
    except Exception as error:  # onnxruntime's errors each have a class of their own, and no common one
        raise UserError(f"cannot open the denoiser in {folder}: {in_one_line(error)}; export it again") from error
    made.engine = f"onnx {facts['precision']}"
    return made


def _settings(folder: Path) -> dict[str, Any]:
    """The contents of `glyffuser.json`."""
    path = folder / SETTINGS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{folder} holds no ONNX files; write them with: glyffuser onnx --precision int8 --out {folder}"
        ) from error
    except ValueError as error:
        raise UserError(f"{path} is damaged; export the model again") from error
    if not isinstance(facts, dict) or not {"model", "precision", "parts"} <= facts.keys():
        raise UserError(f"{path} is damaged; export the model again")
    return facts
