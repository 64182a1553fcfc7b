"""Checkpoints: everything a run needs to continue exactly where it was, written atomically, without pickle.

A checkpoint is a folder `step-00001000/` with three safetensors files (network, averaged weights, optimiser), two more
for each network that is trained beside (its weights, its optimiser), state.json, and the SHA-256 of all these, as the
command sha256sum writes and checks them. It appears under its name only when complete. Data order and noise need no
state: both are functions of the seed and of how many glyphs have been seen; see batches.py.
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers.training_utils import EMAModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from glyffuser.base.errors import UserError, in_one_line
from glyffuser.base.files import atomic_path, sha256, write_text
from glyffuser.generate.load import load_pipeline
from glyffuser.networks.build import BESIDE, load_companion

FILES = ("network.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json")
SUMS = "SHA256SUMS"


class Damaged(ValueError):
    """A file of a checkpoint is not as it was written."""


class Auxiliary(NamedTuple):
    """A network that is trained beside the main one, and its optimiser."""

    network: nn.Module
    optimizer: torch.optim.Optimizer


def save_checkpoint(
    folder: Path,
    step: int,
    network: nn.Module,
    ema: EMAModel,
    optimizer: torch.optim.Optimizer,
    extra: Mapping[str, Any],
    beside: Mapping[str, Auxiliary] | None = None,
) -> Path:
    """Write `folder`/step-<step>; a full disk (OSError) or a kill leaves only the older checkpoints."""
    path = folder / checkpoint_name(step)
    with atomic_path(path) as temporary:
        temporary.mkdir()
        save_file(contiguous(network.state_dict()), temporary / "network.safetensors")
        averaged = {f"{i:05d}": p for i, p in enumerate(ema.shadow_params)}
        save_file(contiguous(averaged), temporary / "ema.safetensors")
        save_file(contiguous(flatten(optimizer)), temporary / "optimizer.safetensors")
        for name, other in (beside or {}).items():
            save_file(contiguous(other.network.state_dict()), temporary / f"{name}.safetensors")
            save_file(contiguous(flatten(other.optimizer)), temporary / f"{name}_optimizer.safetensors")
        state = {"step": step, "ema_step": ema.optimization_step, **extra}
        (temporary / "state.json").write_text(json.dumps(state, indent=1))
        sums = [f"{sha256(file)}  {file.name}\n" for file in sorted(temporary.iterdir())]
        (temporary / SUMS).write_text("".join(sums))
    return path


def load_checkpoint(
    path: Path,
    network: nn.Module,
    ema: EMAModel,
    optimizer: torch.optim.Optimizer,
    beside: Mapping[str, Auxiliary] | None = None,
) -> dict[str, Any]:
    """Restore all of these in place and return the contents of state.json.

    Raises Damaged for a file that is not as it was written; OSError, SafetensorError, ValueError, KeyError, TypeError
    or RuntimeError for files that do not fit.
    """
    check_sums(path)
    state: dict[str, Any] = json.loads((path / "state.json").read_text())
    network.load_state_dict(load_file(path / "network.safetensors"))
    averaged = load_file(path / "ema.safetensors")
    for i, parameter in enumerate(ema.shadow_params):
        parameter.copy_(averaged[f"{i:05d}"])
    ema.optimization_step = state["ema_step"]
    unflatten(optimizer, load_file(path / "optimizer.safetensors"))
    for name, other in (beside or {}).items():
        other.network.load_state_dict(load_file(path / f"{name}.safetensors"))
        unflatten(other.optimizer, load_file(path / f"{name}_optimizer.safetensors"))
    return state


def check_sums(path: Path) -> None:
    """Damaged unless every file of a checkpoint has the SHA-256 that it was written with.

    Checkpoints of earlier versions have no list of sums and are accepted as they are.
    """
    if not (path / SUMS).is_file():
        return
    wanted = {line[66:]: line[:64] for line in (path / SUMS).read_text(encoding="utf-8").splitlines()}
    for name in sorted({*wanted, *FILES}):
        if sha256(path / name) != wanted.get(name):
            raise Damaged(f"{name} has changed since it was written")


def resume(
    folder: Path,
    network: nn.Module,
    ema: EMAModel,
    optimizer: torch.optim.Optimizer,
    beside: Mapping[str, Auxiliary] | None = None,
) -> tuple[Path, dict[str, Any]] | None:
    """Load the newest checkpoint that is whole, with a warning if a newer one is not; None if there are no checkpoints.

    Raises UserError if all are damaged, or belong to another network.
    """
    problems: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            state = load_checkpoint(path, network, ema, optimizer, beside)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            problems.append(f"{path.name}: {in_one_line(error)}")
            continue
        if problems:
            warnings.warn(f"going on from {path.name}, since newer is damaged ({'; '.join(problems)})", stacklevel=2)
        return path, state
    if problems:
        raise UserError(
            f"no checkpoint in {folder} fits this run ({'; '.join(problems)}); choose another --out, or the settings "
            "the run was started with"
        )
    return None


def checkpoint_name(step: int) -> str:
    """The folder name of a step; names sort in the order of steps."""
    return f"step-{step:08d}"


def list_checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints in `folder`, oldest first."""
    return sorted(p for p in folder.glob("step-*") if all((p / name).is_file() for name in FILES))


def newest_facts(folder: Path) -> dict[str, Any]:
    """What the newest state.json that can be read holds, checked for nothing else; empty if there is none."""
    for path in reversed(list_checkpoints(folder)):
        try:
            return dict(json.loads((path / "state.json").read_text()))
        except (OSError, ValueError, TypeError):
            continue
    return {}


def prune(folder: Path, keep: int, step: int) -> None:
    """Delete all but the newest `keep` checkpoints up to `step`; later ones could not be read on resuming."""
    checkpoints = list_checkpoints(folder)
    past = [path for path in checkpoints if path.name <= checkpoint_name(step)]
    for path in set(checkpoints) - set(past[-keep:]):
        shutil.rmtree(path)


def trim_log(path: Path, step: int) -> None:
    """Drop lines after `step`, and any half-written one, from a JSONL log: training is about to write them again."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step:
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(line)
    write_text(path, "".join(kept))


def contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU, in contiguous memory order, as safetensors needs them."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def flatten(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's per-parameter state as "<parameter number>.<name>" -> tensor."""
    states = optimizer.state_dict()["state"]
    return {f"{i}.{name}": torch.as_tensor(value) for i, state in states.items() for name, value in state.items()}


def unflatten(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `flatten`; learning rates and the like stay those of `optimizer`."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        i, name = key.split(".", 1)
        states.setdefault(int(i), {})[name] = tensor
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})


def start_from(network: Any, folder: Path) -> None:
    """Copy the weights of a model folder or run folder where name and shape fit, and those of styles and components by
    their names; warn of the others.
    """
    source = load_companion(folder, type(network)) if type(network) in BESIDE.values() else load_pipeline(folder).unet
    own, before = network.state_dict(), source.state_dict()
    for table, setting in (("style_embedding.weight", "styles"), ("part_embedding.weight", "components")):
        if table in own and table in before and own[table].shape[1:] == before[table].shape[1:]:
            names, known = (["", *made.config[setting]] for made in (network, source))  # row 0 says that none is told
            there = dict(zip(known, before[table], strict=True))
            rows = zip(names, own[table].to(before[table].device), strict=True)
            before[table] = torch.stack([there.get(name, row) for name, row in rows])
            if new := [name for name in names if name not in there]:
                some = f"{len(new)} of {len(names) - 1} {setting}"
                warnings.warn(f"{some} start anew, for example {new[0]}", stacklevel=2)
    fitting = {name: weight for name, weight in before.items() if name in own and own[name].shape == weight.shape}
    if len(fitting) < len(own) / 2:
        raise UserError(f"only {len(fitting)} of {len(own)} weights fit those in {folder}; see its unet/config.json")
    if fresh := sorted(own.keys() - fitting.keys()):
        warnings.warn(f"{len(fresh)} of {len(own)} weights start anew, for example {fresh[0]}", stacklevel=2)
    network.load_state_dict(own | fitting)
