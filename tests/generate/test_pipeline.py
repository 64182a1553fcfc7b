"""The pipeline: settings, prompts, generators, saving and loading, and the messages for wrong settings."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.base.names import SPACINGS
from glyffuser.base.noise import noise_source, seeded
from glyffuser.base.pictures import levelled
from glyffuser.base.weights import weights_hash
from glyffuser.diffusion.samplers import SAMPLERS
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.schedulers import GlyffuserScheduler

SIZE = 16
MakePipe = Callable[..., GlyffuserPipeline]


@pytest.fixture
def pipe(make_pipe: MakePipe) -> GlyffuserPipeline:
    return make_pipe()


def draw(pipe: GlyffuserPipeline, prompt: Any = "gold", **settings: Any) -> Tensor:
    """Images (B, 1, H, W) after a few steps."""
    defaults: dict[str, Any] = {"num_inference_steps": 4, "generator": seeded(0, 0), "output_type": "pt"}
    return pipe(prompt, **defaults | settings).images  # type: ignore[union-attr]


def test_saving_and_loading_gives_the_same_pictures(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    loaded = GlyffuserPipeline.from_pretrained(tmp_path)
    assert torch.equal(draw(loaded), draw(pipe))
    assert weights_hash(loaded.unet) == weights_hash(pipe.unet)
    networks = (loaded.unet, loaded.text_encoder)
    assert not any(weight.data_ptr() % 64 for network in networks for weight in network.parameters())
    assert not list(tmp_path.rglob("*.bin"))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1  # the text encoder stays where it is installed


def test_saved_models_name_the_package_alone(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    index = json.loads((tmp_path / "model_index.json").read_text())
    assert index["_class_name"] == "GlyffuserPipeline"
    assert {key: value for key, value in index.items() if not key.startswith("_")} == {
        "unet": ["glyffuser", "UNet"],
        "text_encoder": ["glyffuser", "TextEncoder"],
        "scheduler": ["glyffuser", "GlyffuserScheduler"],
        "vae": [None, None],
        "tower": [None, None],
    }


def test_models_saved_before_the_rooms_were_made_load(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    path = tmp_path / "model_index.json"
    places = {
        "unet": "glyffuser.models.unet",
        "text_encoder": "glyffuser.text",
        "scheduler": "glyffuser.schedulers",
    }
    index = json.loads(path.read_text())
    path.write_text(json.dumps(index | {name: [place, index[name][1]] for name, place in places.items()}))
    assert torch.equal(draw(load_pipeline(tmp_path)), draw(pipe))


@pytest.mark.parametrize("name", ["flux", "stable_diffusion", "glyffuser"])
def test_a_folder_may_be_named_like_a_pipeline(pipe, tmp_path, name):
    pipe.save_pretrained(tmp_path / name)
    assert torch.equal(draw(load_pipeline(tmp_path / name)), draw(pipe))


def test_eta_makes_ddim_the_ddpm_sampler(pipe):
    assert torch.equal(draw(pipe, sampler="ddim", eta=1.0), draw(pipe, sampler="ddpm"))
    assert not torch.equal(draw(pipe, sampler="ddim", eta=0.5), draw(pipe, sampler="ddpm"))
    for settings, words in (
        ({"sampler": "euler", "eta": 0.5}, "no eta; choose one of ddim, dpm"),
        ({"sampler": "ddim", "eta": 2.0}, "the eta of ddim must be between 0 and 1, not 2"),
        ({"eta": -1.0}, "between 0 and 1000"),
        ({"eta": math.nan}, "between 0 and 1000"),
    ):
        with pytest.raises(UserError, match=words):
            draw(pipe, **settings)


def test_a_model_has_an_eta_of_its_own_for_its_own_sampler(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    path = tmp_path / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"sampler": "dpm++2m-sde", "eta": 5.0}))
    own = load_pipeline(tmp_path)
    assert torch.equal(draw(own), draw(pipe, sampler="dpm++2m-sde", eta=5.0))
    assert torch.equal(draw(own, sampler="dpm++2m-sde"), draw(own))
    assert torch.equal(draw(own, eta=1.0), draw(pipe, sampler="dpm++2m-sde"))
    assert torch.equal(draw(own, sampler="ddim"), draw(pipe, sampler="ddim"))
    for wrong, words in (
        ({"eta": "5"}, "the eta '5'; export it again"),
        ({"eta": -1.0}, "between 0 and 1000, not -1"),
        ({"sampler": "heun"}, "heun has no eta"),
        ({"sampler": "hein"}, "unknown sampler 'hein'"),
        ({"sampler": ["heun"]}, "export it again"),
    ):
        path.write_text(json.dumps(config | {"sampler": "dpm++2m-sde", "eta": 5.0} | wrong))
        with pytest.raises(UserError, match=words):
            load_pipeline(tmp_path)


def test_a_denoiser_of_the_pipeline_is_what_it_samples_with(pipe):
    generator = torch.Generator().manual_seed(3)
    *_, last = pipe.stream("gold", num_inference_steps=1, guidance_scale=3.0, sampler="euler", generator=generator)
    sigmas = pipe.schedule.sigmas(1)
    noise = noise_source(torch.Generator().manual_seed(3), 1)(last.x)
    x0 = pipe.denoiser(3.0)(sigmas[0] * noise, sigmas[0], pipe.condition(["gold"]))
    assert torch.allclose(x0, last.x, atol=1e-3)


def test_a_loaded_model_is_in_single_precision(pipe, tmp_path):
    pipe.unet.to(torch.bfloat16)
    pipe.save_pretrained(tmp_path)
    assert load_file(tmp_path / "unet" / "diffusion_pytorch_model.safetensors")["stem.weight"].dtype == torch.bfloat16
    loaded = load_pipeline(tmp_path)
    assert loaded.unet.dtype == torch.float32
    assert not loaded.unet.training
    for ours, stored in zip(loaded.unet.parameters(), pipe.unet.parameters(), strict=True):
        assert torch.equal(ours, stored.float())


def test_samplers_by_name(pipe):
    results = {name: draw(pipe, sampler=name) for name in SAMPLERS}
    for name, images in results.items():
        pipe.scheduler = GlyffuserScheduler(sampler=name, num_train_timesteps=1000)
        assert pipe.sampler_name == name
        assert torch.equal(draw(pipe), images)
    assert torch.equal(results.pop("euler-ancestral"), results["ddpm"])  # the same in our coordinates
    pictures = list(results.values())
    assert not any(torch.equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i])
    # A named sampler of ours takes precedence over a scheduler of diffusers.
    pipe.scheduler = DDIMScheduler()
    assert pipe.sampler_name == "DDIMScheduler"
    assert torch.equal(draw(pipe, sampler="heun"), results["heun"])


def test_spacings_by_name(pipe):
    pictures = [draw(pipe, spacing=name) for name in SPACINGS if name != "trailing"]  # as "linspace" here
    assert torch.equal(pictures[0], draw(pipe))
    assert not any(torch.equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i])


def test_prompt_guidance_and_negative_prompt_matter(pipe):
    plain = draw(pipe, guidance_scale=1.0)
    guided = draw(pipe)
    for other in [
        draw(pipe, "fish", guidance_scale=1.0),
        guided,
        draw(pipe, negative_prompt="fish"),
        draw(pipe, guidance_interval=(0.1, 2.0)),
    ]:
        assert not torch.allclose(other, plain, atol=1e-3)
    assert not torch.allclose(draw(pipe, negative_prompt="fish"), guided, atol=1e-3)
    assert torch.equal(draw(pipe, negative_prompt=""), guided)
    assert torch.equal(draw(pipe, negative_prompt="fish", guidance_scale=1.0), plain)
    assert torch.equal(draw(pipe, guidance_interval=(1e6, 2e6)), plain)
    # Steering away from the prompt that one steers towards changes only the rounding.
    assert_close(draw(pipe, negative_prompt="gold"), plain, rtol=0, atol=0.05)


def test_glyphs_of_the_first_prompt_come_first(pipe):
    generators = [seeded(0, k) for k in range(4)]
    images = draw(pipe, ["gold", "a kind of fish"], num_images_per_prompt=2, generator=generators)
    for i, prompt in enumerate(["gold", "gold", "a kind of fish", "a kind of fish"]):
        assert_close(draw(pipe, prompt, generator=seeded(0, i)), images[i : i + 1], rtol=0, atol=0.05)
    assert not torch.allclose(images[0], images[1], atol=0.1)


@pytest.mark.parametrize("sampler", ["dpm++2m", "ddpm"])
def test_a_glyph_does_not_depend_on_its_batch(pipe, sampler):
    def batch(*numbers: int) -> Tensor:
        generators = [seeded(5, k) for k in numbers]
        return draw(pipe, num_images_per_prompt=len(numbers), sampler=sampler, generator=generators)

    assert torch.equal(batch(0, 1, 2), batch(0, 1, 2))
    assert_close(batch(0, 1, 2)[2:], batch(2), rtol=0, atol=0.05)  # rounding may differ with the size of a batch
    assert not torch.allclose(batch(0), batch(2), atol=0.3)


def test_one_generator_serves_a_batch(pipe):
    images = draw(pipe, num_images_per_prompt=2)
    assert torch.equal(images, draw(pipe, num_images_per_prompt=2))
    assert not torch.allclose(images[0], images[1], atol=0.1)


def test_call_returns_the_last_step_of_the_stream(pipe):
    settings: dict[str, Any] = {"num_inference_steps": 4, "generator": seeded(0, 0)}
    *_, last = pipe.stream("gold", **settings)
    assert torch.equal(draw(pipe), last.x)
    settings["generator"] = seeded(0, 0)
    assert torch.equal(pipe("gold", **settings, output_type="pt", return_dict=False)[0], last.x)


@pytest.mark.parametrize("scheduler", [None, DDIMScheduler])
def test_callback_sees_every_step_and_may_change_where_sampling_goes(pipe, scheduler):
    if scheduler:
        pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    else:
        pipe.scheduler = GlyffuserScheduler(sampler="euler")
    seen: list[tuple[int, float]] = []
    other = [step.x.clone() for step in pipe.stream("gold", num_inference_steps=4, generator=seeded(1, 1))]

    def watch(pipeline, i, t, tensors):
        assert pipeline is pipe
        assert tensors["latents"].shape == tensors["x0"].shape == (1, 1, SIZE, SIZE)
        seen.append((i, t))
        return {"latents": other[i]} if i == 1 else {}

    changed = draw(pipe, callback_on_step_end=watch)
    assert [i for i, _ in seen] == [0, 1, 2, 3]
    assert torch.equal(changed, other[-1])
    assert not torch.equal(draw(pipe, callback_on_step_end=lambda *_: None), changed)


def test_output_types(pipe):
    tensor, array, (picture,) = (draw(pipe, output_type=kind) for kind in ("pt", "np", "pil"))
    assert (array.shape, array.dtype) == ((1, SIZE, SIZE, 1), np.float32)
    assert_close(torch.from_numpy(array).permute(0, 3, 1, 2), levelled(tensor))
    assert (picture.mode, picture.size) == ("L", (SIZE, SIZE))
    np.testing.assert_allclose(np.asarray(picture) / 255, array[0, :, :, 0], atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prompt": ""}, ["prompt is empty"]),
        ({"prompt": []}, ["prompt is empty"]),
        ({"prompt": ["gold", " "]}, ["prompt is empty"]),
        ({"prompt": "水"}, ["cannot read '水'"]),
        ({"negative_prompt": "水"}, ["cannot read '水'"]),
        ({"num_images_per_prompt": 0}, ["glyphs must be 1 or more", "0"]),
        ({"num_inference_steps": 0}, ["between 1 and 1000", "0"]),
        ({"num_inference_steps": 1001}, ["between 1 and 1000", "1001"]),
        ({"sampler": "plms"}, ["'plms'", *SAMPLERS]),
        ({"guidance_scale": float("nan")}, ["guidance must be a finite number", "nan"]),
        ({"guidance_scale": float("inf")}, ["guidance must be a finite number", "inf"]),
        ({"generator": [seeded(0, 0)] * 2}, ["2 generators for 1 glyphs"]),
        ({"output_type": "jpeg"}, ["'jpeg'", "pil, np, pt"]),
    ],
)
def test_a_mistake_is_named_in_one_line(pipe, settings, words):
    with pytest.raises(UserError) as caught:
        draw(pipe, **{"prompt": "gold"} | settings)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_without_text_cannot_be_steered(make_pipe):
    pipe = make_pipe(text_route="none")
    assert draw(pipe, "").shape == (1, 1, SIZE, SIZE)
    for settings in ({"negative_prompt": "fish"}, {"guidance_scale": 2.0}):
        with pytest.raises(UserError, match="takes no text to steer by"):
            draw(pipe, "", **settings)


def test_seeded_generators_share_no_noise():
    drawn = [torch.randn(8, generator=seeded(seed, k)) for seed in (0, 1, 2) for k in (0, 1, 2)]
    assert not any(torch.equal(a, b) for i, a in enumerate(drawn) for b in drawn[:i])
    assert torch.equal(torch.randn(8, generator=seeded(2**64 - 1, 3)), torch.randn(8, generator=seeded(2**64 - 1, 3)))


def test_noise_of_one_generator_each_is_theirs():
    x = torch.empty(2, 1, 4, 4)
    expected = [torch.randn(1, 1, 4, 4, generator=seeded(0, k)) for k in (0, 1)]
    assert torch.equal(noise_source([seeded(0, 0), seeded(0, 1)], 2)(x), torch.cat(expected))


def test_weights_hash_tells_models_apart(make_pipe):
    pipe = make_pipe()
    before = weights_hash(pipe.unet)
    assert before == weights_hash(make_pipe().unet)
    pipe.unet.conv_out.bias.data[0] += 1e-3
    assert weights_hash(pipe.unet) != before
