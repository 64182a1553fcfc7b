"""A network that is told a radical: which one each glyph gets, and that it survives saving."""

import pytest
import torch
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.base.noise import seeded
from glyffuser.generate.pipeline import GlyffuserPipeline, load_pipeline
from glyffuser.networks.unet import UNet
from glyffuser.text.prior import RadicalPrior


@pytest.fixture(scope="module")
def told(make_pipe):
    """A pipeline whose network is told a radical: 85 or 167, as its prior draws."""
    pipe = make_pipe()
    settings = {key: value for key, value in pipe.unet.config.items() if not key.startswith("_")}
    unet = UNet(**settings | {"num_class_embeds": 215}).eval()
    unet.load_state_dict(pipe.unet.state_dict(), strict=False)
    unet.class_embedding.weight.data.normal_(generator=torch.Generator().manual_seed(0))
    prior = RadicalPrior(dim=16)
    prior.radical.weight.data.zero_()
    prior.radical.bias.data.fill_(-30.0)
    prior.radical.bias.data[[84, 166]] = 0.0
    return GlyffuserPipeline(unet, pipe.text_encoder, pipe.scheduler, prior)


def draw_seeds(pipe, seeds, **how):
    return pipe(
        "gold",
        num_images_per_prompt=len(seeds),
        num_inference_steps=2,
        generator=[seeded(0, k) for k in seeds],
        output_type="pt",
        **how,
    ).images


def test_each_glyph_draws_its_radical_from_its_own_noise(told):
    drawn = draw_seeds(told, range(8))
    water, metal = draw_seeds(told, range(8), radical=85), draw_seeds(told, range(8), radical=167)
    is_water = [torch.allclose(a, b, atol=1e-4) for a, b in zip(drawn, water, strict=True)]
    is_metal = [torch.allclose(a, b, atol=1e-4) for a, b in zip(drawn, metal, strict=True)]
    assert all(a != b for a, b in zip(is_water, is_metal, strict=True))
    assert 0 < sum(is_water) < 8
    assert_close(draw_seeds(told, [5])[0], drawn[5], atol=1e-4, rtol=0)


def test_starting_noise_of_ones_own_leaves_the_radicals_as_they_were(told):
    noise = torch.cat([torch.randn(1, 1, 16, 16, generator=seeded(0, k)) for k in range(8)])
    assert_close(draw_seeds(told, range(8), latents=noise), draw_seeds(told, range(8)))


def test_an_empty_prompt_has_no_radical(told):
    assert told.condition(["", "gold"]).radical.tolist() == [0, 85]
    assert told.condition(["gold"], 3).radical.tolist() == [85, 85, 85]


def test_a_prior_survives_saving(told, tmp_path):
    told.save_pretrained(tmp_path)
    again = load_pipeline(tmp_path)
    assert_close(draw_seeds(again, range(2)), draw_seeds(told, range(2)))


def test_radical_0_withholds_it_and_keeps_the_noise(told, make_pipe):
    alone = draw_seeds(told, range(4), radical=0)
    told.unet.class_embedding.weight.data[0] += 1  # row 0 is what the network makes of "not told"
    assert not torch.allclose(draw_seeds(told, range(4), radical=0), alone, atol=1e-3)
    told.unet.class_embedding.weight.data[0] -= 1
    told.unet.class_embedding.weight.data[85] += 1  # no radical has a say
    assert_close(draw_seeds(told, range(4), radical=0), alone)
    told.unet.class_embedding.weight.data[85] -= 1
    plain = make_pipe()  # a model that was trained without radicals has none to withhold
    assert_close(draw_seeds(plain, range(2), radical=0), draw_seeds(plain, range(2)))


def test_radicals_out_of_range_or_unheard_of_are_refused(told, make_pipe):
    with pytest.raises(UserError, match="between 1 and 214, or 0"):
        draw_seeds(told, [0], radical=215)
    with pytest.raises(UserError, match="no radical"):
        draw_seeds(make_pipe(), [0], radical=85)
