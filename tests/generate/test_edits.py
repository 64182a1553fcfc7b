"""Options of editing: from a request to pictures, and back from the record beside them."""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.names import TEXT_ROUTES
from glyffuser.base.noise import seeded
from glyffuser.base.pictures import levelled
from glyffuser.config import INTERVAL
from glyffuser.data.components import Part
from glyffuser.data.fonts import Rasteriser, default_font
from glyffuser.diffusion.editing import Edit
from glyffuser.diffusion.guidance import classifier_free, denoiser
from glyffuser.diffusion.samplers import PATHWISE, SAMPLERS
from glyffuser.generate.draw import draw
from glyffuser.generate.edits import EMBEDDED, edit_settings, embedded
from glyffuser.generate.files import read_record, sample_to_folder
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import Request
from glyffuser.generate.told import part_numbers
from glyffuser.networks.unet import UNet

LAKE = Request("gold", n=2, steps=3, init="湖")


@pytest.fixture(scope="module")
def pipe(tiny_model):
    return load_pipeline(tiny_model)


@pytest.fixture(scope="module")
def lake(pipe):
    return Rasteriser(default_font(), pipe.unet.config.sample_size).render("湖")


def picture(path, side, value=0, size=None):
    """Save a grey picture, `value` in its left half and white in its right; returns the path."""
    pixels = np.full(size or (side, side), 255, np.uint8)
    pixels[:, : side // 2] = value
    Image.fromarray(pixels).save(path)
    return str(path)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_without_edits_the_pipeline_is_the_plain_chain(make_pipe, sampler):
    pipe, steps = make_pipe(), 3
    generators = [seeded(0, k) for k in range(2)]

    def noise(x, *_):
        return torch.cat([torch.randn(1, *x.shape[1:], generator=generator) for generator in generators])

    x = noise(torch.empty(2, 1, 16, 16))
    cond, sigmas = pipe.condition(["gold"], 2), pipe.schedule.sigmas(steps)
    plain = denoiser(pipe.network, pipe.unet.process)
    D = classifier_free(plain, pipe.usual.guidance, pipe.condition([""]), INTERVAL)
    settings = {"num_images_per_prompt": 2, "num_inference_steps": steps, "sampler": sampler}
    for step in pipe.stream("gold", generator=[seeded(0, k) for k in range(2)], **settings):
        result = step.x
    full = {"edit": Edit(torch.zeros(1, 1, 16, 16), 1.0)}  # at full strength a picture has no influence
    for step in pipe.stream("gold", generator=[seeded(0, k) for k in range(2)], **settings, **full):
        again = step.x
    assert torch.equal(result, again)
    if sampler not in PATHWISE:
        *_, wanted = SAMPLERS[sampler](D, sigmas[0] * x, sigmas, cond, noise)
        assert torch.equal(result, wanted.x)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 4, 5])
def test_every_sampler_edits_at_every_strength(pipe, sampler, steps):
    for strength in (0.01, 0.5, 0.99):
        for keep in (None, "left"):
            request = replace(LAKE, steps=steps, sampler=sampler, strength=strength, keep=keep)
            assert draw(pipe, ["gold"], request).shape == (1, 32, 32)


@pytest.mark.parametrize("keep", ["left", "right", "top", "bottom", "MASK"])
def test_what_is_kept_is_the_picture_through_the_levels_curve(pipe, lake, tmp_path, keep):
    if keep == "MASK":
        keep = picture(tmp_path / "mask.png", 32)
    request = replace(LAKE, keep=keep)
    edit = edit_settings(pipe, embedded(request))["edit"]
    image = torch.from_numpy(lake.astype(np.float32) / 127.5 - 1)[None, None]
    assert torch.equal(edit.image, image)
    wanted = (levelled(image)[0, 0].numpy() * 255).round().astype(np.uint8)
    drawn = draw(pipe, ["gold"] * 2, request)
    kept = edit.kept[0, 0].numpy()
    assert 0.1 < kept.mean() < 0.9
    assert (drawn[:, kept] == wanted[kept]).all()
    assert (drawn[:, ~kept] != wanted[~kept]).any()


@pytest.mark.parametrize("route", TEXT_ROUTES)
def test_models_of_every_route_hold_a_part(make_pipe, route):
    pipe, request = make_pipe(text_route=route), replace(LAKE, prompt="" if route == "none" else "gold", keep="left")
    drawn, edit = draw(pipe, [request.prompt] * 2, request), edit_settings(pipe, request)["edit"]
    kept = edit.kept[0, 0].numpy()
    wanted = (levelled(edit.image)[0, 0].numpy() * 255).round().astype(np.uint8)
    assert (drawn[:, kept] == wanted[kept]).all()
    assert (drawn[0, ~kept] != drawn[1, ~kept]).any()


def test_left_and_right_are_the_rest_of_each_other(pipe):
    masks = [edit_settings(pipe, replace(LAKE, keep=side))["edit"].kept for side in ("left", "right", "top", "bottom")]
    assert torch.equal(masks[0], ~masks[1])
    assert torch.equal(masks[2], ~masks[3])


def test_a_picture_file_is_scaled_and_its_transparent_part_is_paper(pipe, tmp_path):
    large = np.zeros((64, 64, 4), np.uint8)
    large[:32, :, 3] = 255  # black above, nothing below
    Image.fromarray(large).save(tmp_path / "large.png")
    edit = edit_settings(pipe, replace(LAKE, init=str(tmp_path / "large.png")))["edit"]
    assert edit.image.shape == (1, 1, 32, 32)
    assert edit.image[0, 0, :14].max() < -0.9
    assert edit.image[0, 0, 18:].min() > 0.9


def test_again_gives_the_same_bytes_though_the_files_are_gone(pipe, tmp_path):
    init, mask = picture(tmp_path / "init.png", 48, 40), picture(tmp_path / "mask.png", 32)
    request = replace(LAKE, init=init, keep=mask, strength=0.7, prompt="gold:1, fish:0.5", sampler="ddpm")
    (first,) = sample_to_folder(pipe, [request], tmp_path / "first")
    facts = json.loads(first.json.read_text())
    assert facts["init"].startswith(EMBEDDED)
    assert facts["strength"] == 0.7
    (tmp_path / "init.png").unlink()
    (tmp_path / "mask.png").unlink()
    (again,) = sample_to_folder(pipe, [read_record(first.json, pipe)], tmp_path / "again")
    assert [p.read_bytes() for p in again.glyphs] == [p.read_bytes() for p in first.glyphs]


def test_records_say_what_was_left_to_a_default_and_older_ones_are_read():
    assert Request("gold").record()["strength"] is None
    assert replace(LAKE).record()["strength"] == 0.75
    assert replace(LAKE, keep="left").record()["strength"] == 1.0
    edited = Request("gold", parts=("氵", "馬:right"), new=False)
    facts = json.loads(json.dumps(edited.record()))
    assert Request.from_record(facts) == replace(edited, strength=1.0)
    older = {name: fact for name, fact in facts.items() if name not in ("init", "strength", "keep", "parts")}
    assert Request.from_record(older) == Request("gold", new=False)
    for name, wrong in (("parts", "氵"), ("parts", [1]), ("strength", "much"), ("init", 3)):
        with pytest.raises(UserError, match=f"its {name} is"):
            Request.from_record(facts | {name: wrong})


def test_a_model_without_parts_holds_that_of_a_real_character(pipe):
    edit = edit_settings(pipe, Request("gold", parts=("氵",)))["edit"]
    kept = edit.kept[0, 0].numpy()
    assert kept[:, :8].all()
    assert not kept[:, 16:].any()
    assert (edit.image[0, 0].numpy()[kept] < 0).sum() > 20  # there is ink
    assert (edit.strength, edit.times) == (1.0, 3)
    with pytest.raises(UserError, match=r"only one; give --with 氵 alone"):
        edit_settings(pipe, Request("gold", parts=("氵", "馬:right")))
    with pytest.raises(UserError, match="trained without parts, so --with"):
        edit_settings(pipe, replace(LAKE, parts=("氵",)))
    with pytest.raises(UserError, match=r"too few characters have 心 above .* below \(bottom\) in 157"):
        edit_settings(pipe, Request("gold", parts=("心:top",)))


@pytest.fixture(scope="module")
def told(make_pipe):
    """A pipeline whose network is told the parts 氵 and 馬."""
    pipe = make_pipe()
    settings = {key: value for key, value in pipe.unet.config.items() if not key.startswith("_")}
    torch.manual_seed(0)
    unet = UNet(**settings | {"components": "氵馬"}).eval()
    unet.load_state_dict(pipe.unet.state_dict(), strict=False)
    unet.part_embedding.weight.data.normal_()
    unet.place_embedding.weight.data.normal_()
    return GlyffuserPipeline(unet, pipe.text_encoder, pipe.scheduler)


def test_a_model_with_parts_is_told_them_and_their_places(told, make_pipe, tmp_path):
    def drawn(*parts):
        return draw(told, ["gold"], Request(steps=2, parts=parts), finish=lambda x: x.numpy())

    plain = draw(make_pipe(), ["gold"], Request(steps=2), finish=lambda x: x.numpy())
    np.testing.assert_allclose(drawn(), plain, atol=1e-5)  # no parts, no change
    left, right = drawn("馬:left"), drawn("馬:right")
    np.testing.assert_allclose(left, drawn("馬"), atol=1e-5)  # its most frequent place
    assert np.abs(left - right).max() > 1e-3
    assert np.abs(drawn("氵", "馬:right") - drawn("氵")).max() > 1e-3
    np.testing.assert_allclose(drawn("氵", "馬:right"), drawn("馬:right", "氵"), atol=1e-5)
    with pytest.raises(UserError, match="does not know the part 木; it knows 氵馬"):
        drawn("木")
    with pytest.raises(UserError, match="from no picture"):
        edit_settings(told, Request("gold", parts=("氵",), strength=0.5))
    both = edit_settings(told, replace(LAKE, parts=("氵",)))
    assert both.keys() == {"parts", "edit"}
    told.save_pretrained(tmp_path)
    again = load_pipeline(tmp_path)
    horse = [Part("馬", "at the left")]
    assert torch.equal(part_numbers(again.unet.config, horse), part_numbers(told.unet.config, horse))
    with pytest.raises(UserError, match="takes no parts"):
        next(make_pipe().stream("gold", parts=[Part("馬", "at the left")]))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (replace(LAKE, strength=0.0), ["--strength", "above 0"]),
        (replace(LAKE, strength=1.5), ["--strength", "at most 1"]),
        (replace(LAKE, strength=float("nan")), ["--strength"]),
        (Request("gold", strength=0.5), ["--strength", "--init"]),
        (Request("gold", keep="left"), ["--keep", "--init"]),
        (replace(LAKE, init="\ue000"), ["Noto Sans CJK SC", "a character that it has"]),
        (replace(LAKE, init="\U0002ffff"), ["a character that it has"]),
        (replace(LAKE, init=""), ["--init is empty"]),
        (replace(LAKE, init="no/such.png"), ["no/such.png", "one character"]),
        (replace(LAKE, keep="middle"), ["middle", "left, right, top, bottom"]),
        (Request("gold", parts=("Q",)), ["'Q'", "not a part"]),
        (Request("gold", parts=("氵:above",)), ["unknown place 'above'", "left, right"]),
        (Request("gold", parts=("氵:bottom",)), ["氵 is never below", "at the left (left) in 1031"]),
        (Request("fire:0, water:0"), ["must not all be 0"]),
        (Request("fire:1, ☃:1"), ["☃"]),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line_before_anything_is_written(pipe, tmp_path, request_, words):
    with pytest.raises(UserError) as error:
        sample_to_folder(pipe, [replace(request_, steps=1, n=1)], tmp_path)
    assert all(word in str(error.value) for word in words)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_pictures_and_masks_of_another_shape_are_refused(pipe, tmp_path):
    wide = picture(tmp_path / "wide.png", 32, size=(32, 40))
    with pytest.raises(UserError, match=r"40 x 32 pixels; give a square"):
        edit_settings(pipe, replace(LAKE, init=wide))
    for mask in (wide, picture(tmp_path / "large.png", 64)):
        with pytest.raises(UserError, match=r"the glyphs are 32 x 32"):
            edit_settings(pipe, replace(LAKE, keep=mask))
    with pytest.raises(UserError, match="nothing to invent"):
        edit_settings(pipe, replace(LAKE, keep=picture(tmp_path / "white.png", 32, 255)))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match="it is not a picture"):
        edit_settings(pipe, replace(LAKE, init=str(tmp_path / "text.png")))
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG")
    with pytest.raises(UserError, match="damaged"):
        edit_settings(pipe, replace(LAKE, init=EMBEDDED + "AAAA"))


def test_a_diffusers_scheduler_does_not_edit(make_pipe):
    from diffusers import EulerDiscreteScheduler

    pipe = make_pipe()
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    with pytest.raises(UserError, match="cannot edit; choose one of our samplers"):
        next(pipe.stream("gold", edit=Edit(torch.zeros(1, 1, 16, 16), 0.5)))
