"""A network that is told a style: which one, what it changes, what it leaves, and that it survives saving."""

import json

import pytest
import torch
from torch.testing import assert_close

from glyffuser.base.errors import UserError
from glyffuser.base.noise import seeded
from glyffuser.generate.files import read_record, sample_to_folder
from glyffuser.generate.hands import shares_of
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.paths import draw_path
from glyffuser.generate.request import Request

HANDS = ("sans", "serif")


@pytest.fixture(scope="module")
def plain(make_pipe):
    return make_pipe()


@pytest.fixture(scope="module")
def styled(plain, make_styled):
    return make_styled(plain)


def draw(pipe, **how):
    settings = {"num_inference_steps": 2, "generator": [seeded(0, k) for k in range(3)], "output_type": "pt"}
    return pipe("gold", num_images_per_prompt=3, **settings, **how).images


def test_every_style_draws_its_own_glyphs_and_none_those_of_a_network_without(styled, plain):
    sans, serif = draw(styled, style="sans"), draw(styled, style="serif")
    assert (sans - serif).abs().mean() > 0.01
    assert torch.equal(draw(styled), draw(plain))  # row 0 is still zero


def test_one_glyph_a_row_has_the_style_of_its_row(styled, plain):
    unet, rows = styled.unet, [2, 0, 1]
    cond = plain.condition(["gold", "fish", "tree"])
    x, told = torch.randn(3, 1, 16, 16), {"encoder_hidden_states": cond.states, "encoder_attention_mask": cond.mask}
    with torch.no_grad():
        together = unet(x, 500, **told, style_labels=torch.tensor(rows)).sample
        for row, label in enumerate(rows):
            alone = unet(x, 500, **told, style_labels=torch.full((3,), label)).sample
            assert_close(together[row], alone[row], atol=1e-5, rtol=1e-4)


def test_guidance_leaves_the_style_alone(styled):
    """Guided from the empty prompt towards the empty prompt, a denoiser is the unguided one, in any style."""
    x, sigma, everywhere = torch.randn(1, 1, 16, 16), torch.tensor(1.0), (0.0, float("inf"))
    cond = styled.condition([""], style="serif")
    guided = styled.denoiser(5.0, None, everywhere, style="serif")(x, sigma, cond)
    assert_close(guided, styled.denoiser(1.0)(x, sigma, cond), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_between_styles_a_denoiser_expects_what_lies_between(styled, guidance):
    """In one step a sampler returns the expected image, so what is drawn is mixed according to the shares."""
    how = {"guidance_scale": guidance, "num_inference_steps": 1, "output_type": "pt"}

    def drawn(style, prompt="gold"):
        return styled(prompt, style=style, generator=[seeded(0, 0)], **how).images

    sans, serif = drawn("sans"), drawn("serif")
    for style, share in (("sans:1, serif:0", 0.0), ("sans:2, serif:6", 0.75), ("sans:0, serif:3", 1.0)):
        assert_close(drawn(style), sans + share * (serif - sans), atol=1e-4, rtol=0)
    both = "gold:0.5, fish:0.5"  # a mixture of prompts, too
    halves = (drawn("sans", both) + drawn("serif", both)) / 2
    assert_close(drawn("sans:1, serif:1", both), halves, atol=1e-4, rtol=0)


def test_every_prompt_has_the_style_that_is_given_for_it(styled):
    how = {"num_inference_steps": 2, "output_type": "pt"}
    given = styled(["gold", "fish"], style=["serif", "sans"], generator=[seeded(0, 0), seeded(0, 1)], **how).images
    for k, (prompt, style) in enumerate((("gold", "serif"), ("fish", "sans"))):
        alone = styled(prompt, style=style, generator=[seeded(0, k)], **how).images
        assert_close(given[k], alone[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("styles", [[], ["serif"], ["sans", "serif", "sans"]])
def test_styles_that_are_not_one_per_prompt_are_refused(styled, styles):
    with pytest.raises(UserError, match=f"{len(styles)} styles for 2 prompts; pass one, or one per prompt"):
        styled(["gold", "fish"], style=styles, num_inference_steps=1)


def test_a_path_goes_from_one_style_to_the_other(styled):
    start, end = (Request("gold", steps=3, style=style) for style in HANDS)
    way = draw_path(styled, start, end, [0.0, 0.5, 1.0], [2])[:, 0].astype(int)
    for picture, request in ((way[0], start), (way[2], end)):
        wanted = draw_path(styled, request, request, [0.0], [2])[0, 0].astype(int)
        assert abs(picture - wanted).max() <= 1
    assert abs(way[0] - way[2]).max() > 10
    assert all((way[1] != way[end]).any() for end in (0, 2))


def test_shares_of_styles_are_parts_of_one_glyph(styled):
    names, shares = shares_of(["sans:1, serif:3", "serif", "sans"], 3)
    assert names == ["sans", "serif"]
    assert shares.tolist() == [[0.25, 0.0, 1.0], [0.75, 1.0, 0.0]]
    assert shares_of(None, 2)[0] == [None]
    with pytest.raises(UserError, match="no share of -1 of the style serif"):
        draw(styled, style="sans:1, serif:-1")


def test_styles_are_known_by_name_from_a_saved_model(styled, tmp_path):
    styled.save_pretrained(tmp_path)
    again = load_pipeline(tmp_path)
    assert again.styles == list(HANDS)
    assert_close(draw(again, style="serif"), draw(styled, style="serif"))


def test_the_same_labels_are_in_the_embeddings_group(styled):
    groups = styled.unet.parameter_groups()
    assert [p.shape for p in groups["embeddings"]] == [(3, styled.unet.style_embedding.embedding_dim)]
    assert sum(map(len, groups.values())) == len(list(styled.unet.parameters()))


def test_unknown_styles_are_refused_with_those_that_fit(styled, plain):
    with pytest.raises(UserError, match="'kai'; it knows sans, serif"):
        draw(styled, style="kai")
    with pytest.raises(UserError, match="knows no styles"):
        draw(plain, style="sans")


def test_a_record_holds_the_style_and_one_of_an_earlier_version_none(styled, tmp_path):
    request = Request("gold", n=1, steps=1, style="serif")
    (made,) = sample_to_folder(styled, [request], tmp_path)
    assert read_record(made.json, styled).style == "serif"
    facts = json.loads(made.json.read_text())
    del facts["style"]
    made.json.write_text(json.dumps(facts))
    assert read_record(made.json, styled).style is None
