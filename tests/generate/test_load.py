"""The messages for a model folder that is incomplete, or not a model's."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from glyffuser.base.errors import UserError
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.text.tower import TextTower

MakePipe = Callable[..., GlyffuserPipeline]


@pytest.fixture(scope="module")
def saved(make_pipe: MakePipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    pipe = make_pipe(pooled_dim=8, block_out_channels=(8, 16), attention_levels=(False, False))
    pipe.register_modules(tower=TextTower(16, 8, components="金"))
    pipe.save_pretrained(folder)
    return folder


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
TOWER = "tower/diffusion_pytorch_model.safetensors"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_weights(path: Path, change: Callable[[dict[str, Tensor]], Any]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


BREAKAGES: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "no folder": (shutil.rmtree, ["not a model folder", "model_index.json"]),
    "no index": (lambda f: (f / "model_index.json").unlink(), ["not a model folder", "model_index.json"]),
    "index cut": (lambda f: (f / "model_index.json").write_text('{"_class'), ["cannot load the model in "]),
    "index no table": (lambda f: (f / "model_index.json").write_text("[]"), ["cannot load the model in "]),
    "index not text": (lambda f: (f / "model_index.json").write_bytes(b"\xff\xfe"), ["cannot load the model in "]),
    "another class": (
        lambda f: edit(f / "model_index.json", _class_name="StableDiffusionPipeline"),
        ["holds a StableDiffusionPipeline, not a GlyffuserPipeline"],
    ),
    "unknown module": (
        lambda f: edit(f / "model_index.json", scheduler=["nowhere.at.all", "Scheduler"]),
        ["its scheduler from 'nowhere.at.all'", "glyffuser or diffusers"],
    ),
    "no network": (lambda f: shutil.rmtree(f / "unet"), ["cannot load the model in "]),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), ["has no safetensors weights"]),
    "weights empty": (lambda f: (f / WEIGHTS).write_bytes(b""), ["cannot load the model in "]),
    "weights cut": (
        lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-9]),
        ["cannot load the model in "],
    ),
    "no weights but text": (
        lambda f: (f / WEIGHTS).write_text("version https://git-lfs"),
        ["cannot load the model in "],
    ),
    "wrong shapes": (
        lambda f: change_weights(f / WEIGHTS, lambda w: w.update({"conv_out.bias": torch.zeros(3)})),
        ["do not fit its config: 1 differ", "conv_out.bias (is (3,), should be (16,))"],
    ),
    "a weight missing": (
        lambda f: change_weights(f / WEIGHTS, lambda w: w.pop("conv_out.bias")),
        ["1 differ", "conv_out.bias (is None, should be (16,))"],
    ),
    "a weight of the tower missing": (
        lambda f: change_weights(f / TOWER, lambda w: w.pop("body.0.bias")),
        ["tower do not fit its config: 1 differ", "body.0.bias (is None, should be (1024,))"],
    ),
    "a weight too many": (
        lambda f: change_weights(f / WEIGHTS, lambda w: w.update(extra=torch.zeros(3))),
        ["1 differ", "extra (is (3,), should be None)"],
    ),
    "config of another network": (
        lambda f: edit(f / "unet" / "config.json", block_out_channels=[16, 16]),
        ["do not fit its config"],
    ),
    "an unknown network": (
        lambda f: edit(f / "unet" / "config.json", _class_name="Mamba"),
        ["network of class Mamba", "UNet, Transformer"],
    ),
    "another network than its index names": (
        lambda f: edit(f / "unet" / "config.json", _class_name="Transformer"),
        ["block_out_channels [8, 16]", "single width"],
    ),
    "impossible config": (
        lambda f: edit(f / "unet" / "config.json", attention_levels=[True]),
        ["attention_levels 1"],
    ),
    "an unknown schedule": (
        lambda f: edit(f / "unet" / "config.json", schedule="sine"),
        ["cannot load the model in ", "unknown schedule 'sine'"],
    ),
    "an unknown prediction": (
        lambda f: edit(f / "unet" / "config.json", prediction_type="dice"),
        ["unknown prediction type 'dice'"],
    ),
    "a shift that is a list": (
        lambda f: edit(f / "unet" / "config.json", shift=[3.0]),
        ["a number above 0, not [3.0]"],
    ),
    "a shift that is nothing": (lambda f: edit(f / "unet" / "config.json", shift=0), ["a number above 0, not 0"]),
    "no timesteps": (lambda f: edit(f / "unet" / "config.json", num_train_timesteps=0), ["num_train_timesteps of 0"]),
    "text of another width": (
        lambda f: edit(f / "text_encoder" / "config.json", encoder="minilm"),
        ["the network reads token states of width 16", "the text encoder gives 384"],
    ),
    "no text encoder": (lambda f: shutil.rmtree(f / "text_encoder"), ["cannot load the model in "]),
    "text encoder not installed": (
        lambda f: edit(f / "text_encoder" / "config.json", encoder="nowhere/nothing"),
        ["cannot load the text encoder 'nowhere/nothing'"],
    ),
    "no scheduler": (lambda f: shutil.rmtree(f / "scheduler"), ["cannot load the model in "]),
    "a scheduler that names a hub's": (
        lambda f: (f / "scheduler" / "scheduler_config.json").write_text('"gold"'),
        ["scheduler_config.json holds no table of settings"],
    ),
}


@pytest.mark.parametrize(("damage", "words"), BREAKAGES.values(), ids=BREAKAGES)
def test_a_model_folder_that_is_not_whole_is_named_in_one_line(saved, tmp_path, damage, words):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    damage(folder)
    with pytest.raises(UserError) as caught:
        load_pipeline(folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dim", "width", "words"),
    [
        (24, 8, "width 24, and the text encoder gives 16"),
        (16, 9, "width 8, and the tower gives 9"),
        (0, 0, "tower gives 0"),
    ],
)
def test_a_tower_fits_between_encoder_and_network(make_pipe, tmp_path, dim, width, words):
    pipe = make_pipe(pooled_dim=8, block_out_channels=(8, 16), attention_levels=(False, False))
    pipe.register_modules(tower=TextTower(16, 8, components="金"))
    pipe.save_pretrained(tmp_path / "good")
    assert load_pipeline(tmp_path / "good").tower.config.width == 8
    pipe.register_modules(tower=TextTower(dim, width, components="金") if dim else None)
    pipe.save_pretrained(tmp_path / "bad")
    with pytest.raises(UserError, match=words):
        load_pipeline(tmp_path / "bad")
