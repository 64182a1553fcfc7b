"""A network that can be told a radical: what a user may ask for, and what happens with older models."""

import json

import pytest
import torch
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.base.noise import seeded
from glyffuser.generate.load import load_pipeline


@pytest.fixture(scope="module")
def told(make_pipe):
    """A pipeline whose network can be told a radical."""
    return make_pipe(num_class_embeds=215)


def draw_seeds(pipe, seeds, **how):
    return pipe(
        "gold",
        num_images_per_prompt=len(seeds),
        num_inference_steps=2,
        generator=[seeded(0, k) for k in seeds],
        output_type="pt",
        **how,
    ).images


def test_a_radical_is_a_wish_and_none_the_default(told):
    assert told.condition(["", "gold"]).radical.tolist() == [0, 0]
    alone = draw_seeds(told, range(2))
    assert torch.equal(draw_seeds(told, range(2), radical=0), alone)
    water, metal = (draw_seeds(told, range(2), radical=radical) for radical in (85, 167))
    assert not torch.allclose(water, alone, atol=1e-3)
    assert not torch.allclose(water, metal, atol=1e-3)
    kept = told.unet.class_embedding.weight.data.clone()
    told.unet.class_embedding.weight.data[85] = kept[167]
    assert_close(draw_seeds(told, range(2), radical=85), metal)
    told.unet.class_embedding.weight.data.copy_(kept)


def test_radicals_out_of_range_or_unheard_of_are_refused(told, make_pipe):
    with pytest.raises(UserError, match="between 1 and 214, or 0"):
        draw_seeds(told, [0], radical=215)
    with pytest.raises(UserError, match="no radical"):
        draw_seeds(make_pipe(), [0], radical=85)
    plain = make_pipe()  # a model that was trained without radicals has none to withhold
    assert torch.equal(draw_seeds(plain, range(2), radical=0), draw_seeds(plain, range(2)))


def test_models_whose_prior_drew_the_radical_are_refused_in_one_line(told, tmp_path):
    told.save_pretrained(tmp_path)
    path = tmp_path / "model_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps(index | {"prior": [None, None]}))  # as models without a prior once had it
    assert_close(draw_seeds(load_pipeline(tmp_path), range(2)), draw_seeds(told, range(2)))
    path.write_text(json.dumps(index | {"prior": ["glyffuser", "RadicalPrior"]}))
    with pytest.raises(UserError, match="train it anew"):
        load_pipeline(tmp_path)
