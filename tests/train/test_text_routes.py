"""Training with each route of the text, and without any text: the run, what it leaves, and how that is sampled."""

import json
from typing import Any

import pytest
import torch
from diffusers import UniPCMultistepScheduler

from glyffuser.base.errors import UserError
from glyffuser.base.names import TEXT_ROUTES
from glyffuser.commands.cli import main
from glyffuser.config import GUIDANCE, override
from glyffuser.generate.load import load_pipeline
from tiny import shake
from training_runs import Run, finish


def trained(config, route, out, *settings):
    run = Run(override(config, [f"model.text_route={route}", *settings]), out)
    return run, finish(run)


@pytest.mark.parametrize("route", TEXT_ROUTES)
def test_a_run_by_each_route_leaves_a_model_that_listens_to_it(tiny_config, tmp_path, route):
    _, steps = trained(tiny_config, route, tmp_path)
    assert steps[-1].loss < 10
    pipe = load_pipeline(tmp_path / "model")
    assert pipe.unet.config.text_route == route
    assert pipe.unconditional == (route == "none")
    assert pipe.usual.guidance == (1.0 if route == "none" else GUIDANCE)
    pipe.scheduler, own = UniPCMultistepScheduler.from_config(pipe.scheduler.config), pipe.scheduler
    assert pipe.usual.guidance == (1.0 if route == "none" else GUIDANCE)
    pipe.scheduler = own
    torch.manual_seed(0)
    shake(pipe.unet)
    same: dict[str, Any] = {"num_inference_steps": 2, "guidance_scale": 1.0, "return_dict": False}
    drawn = [
        pipe(prompt, generator=torch.Generator().manual_seed(0), **same)[0][0]
        for prompt in (("", "") if route == "none" else ("a river", "fire"))
    ]
    assert (drawn[0].tobytes() == drawn[1].tobytes()) == (route == "none")


def test_without_text_no_caption_but_the_empty_one_is_encoded(tiny_config, tmp_path):
    run, _ = trained(tiny_config, "none", tmp_path, "train.max_steps=1")
    assert run.parts.batches.captions.texts == [""]
    assert len(run.parts.batches) == 64


def test_the_preset_unconditional_trains_and_is_sampled_without_a_prompt(tiny_data, tiny_encoder, tmp_path, capsys):
    keep = [f"data.path={tiny_data}", f"text.encoder={tiny_encoder}", "model.sample_size=32", "model.patch_size=4"]
    keep += ["model.block_out_channels=[8,16]", "model.attention_head_dim=8", "train.batch_size=8", "train.max_steps=4"]
    keep += ["train.warmup_steps=1", "train.preview_every=100"]
    argv = ["train", "--preset", "unconditional", "--out", str(tmp_path / "run")]
    assert main([*argv, *(part for each in keep for part in ("--set", each))]) == 0
    capsys.readouterr()
    out = tmp_path / "out"
    sample = ["sample", "--model", str(tmp_path / "run"), "-n", "2", "--steps", "2", "--out", str(out)]
    assert main([*sample, "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["prompt"] == ""
    assert sorted(path.name for path in out.iterdir()) == [
        f"glyph-0{end}" for end in ("-0.png", "-1.png", ".json", ".png")
    ]
    first = (out / "glyph-0-0.png").read_bytes()
    assert first != (out / "glyph-0-1.png").read_bytes()
    assert main([*sample[:3], "--again", str(out / "glyph-0.json"), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "glyph-0-0.png").read_bytes() == first
    capsys.readouterr()
    for wrong, words in (("gold", "takes no text"), ("--guidance=3", "guidance")):
        assert main([*sample, wrong]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert words in line


def test_a_model_that_takes_text_wants_a_prompt(tiny_model, tmp_path, capsys):
    assert main(["sample", "--model", str(tiny_model), "--out", str(tmp_path)]) == 2
    assert "give at least one English meaning" in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["num_class_embeds=215", "components=5"])
def test_of_labels_that_will_never_be_told_a_warning_is_given(tiny_config, tmp_path, setting):
    with pytest.warns(UserWarning, match="text_route=none there is none: they will have no effect"):
        trained(tiny_config, "none", tmp_path, f"model.{setting}")


def test_a_tower_beside_attention_alone_is_refused(tiny_config, tmp_path):
    with pytest.raises(UserError, match=r"--set text\.tower=0"):
        trained(tiny_config, "attention", tmp_path, "text.tower=8", "text.tower_steps=2")
