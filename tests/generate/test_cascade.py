"""Enlarging finished glyphs."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.pictures import grey
from glyffuser.commands.cli import main
from glyffuser.config import UPSCALER
from glyffuser.data.fonts import default_font, render
from glyffuser.diffusion.conditions import Small
from glyffuser.generate.cascade import enlarge, load_upscalers, plan, tiled_denoiser, tiles, window
from glyffuser.generate.files import read_record, sample_to_folder
from glyffuser.generate.load import load_pipeline
from glyffuser.generate.request import Request
from glyffuser.networks.upscaler import enlarged


@pytest.fixture
def glyphs():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)


@pytest.mark.parametrize(("side", "tile", "multiple"), [(512, 192, 4), (128, 128, 4), (32, 16, 4), (100, 40, 5)])
def test_tiles_cover_the_picture_and_overlap(side, tile, multiple):
    starts = tiles(side, tile, multiple)
    assert (starts[0], starts[-1] + tile) == (0, side)
    assert all(start % multiple == 0 for start in starts)
    gaps = np.diff(starts)
    assert (gaps <= tile - multiple).all()  # rounding a start may cost some of the overlap
    assert window(tile).min() > 0


def test_joined_tiles_are_the_mean_of_their_answers(small_upscaler):
    """An untrained network answers with the enlarged small picture: exactly where that is even, nearly elsewhere."""
    network = small_upscaler()
    even = Small(torch.full((1, 1, 8, 8), 0.4), torch.zeros(1))
    x = torch.randn(1, 1, 32, 32)
    answer = tiled_denoiser(network, even)(x, torch.tensor(1.0), None)
    torch.testing.assert_close(answer, torch.full_like(x, 0.4))
    slope = torch.linspace(-1, 1, 8).expand(1, 1, 8, 8)
    answer = tiled_denoiser(network, Small(slope, torch.zeros(1)))(x, torch.tensor(1.0), None)
    assert (answer - enlarged(slope, 4)).abs().max() < 0.1
    assert answer[0, 0, 0].diff().min() > -0.02  # no seam


def test_without_noise_an_untrained_one_is_the_bicubic_curve(small_upscaler, glyphs):
    network = small_upscaler(crop=32)
    low = torch.from_numpy(glyphs)[:, None].float() / 127.5 - 1
    from glyffuser.base.pictures import to_grey

    np.testing.assert_array_equal(enlarge([network], glyphs, noise=0.0), to_grey(enlarged(low, 4)))


def test_a_glyph_depends_on_its_own_number_alone(small_upscaler, glyphs):
    chain = [small_upscaler(noisy=True)]
    all_three = enlarge(chain, glyphs, seed=3)
    alone = enlarge(chain, glyphs[1:2], seed=3, numbers=[1])
    assert np.abs(all_three[1].astype(int) - alone[0]).max() <= 1
    assert (enlarge(chain, glyphs, seed=3) == all_three).all()
    assert (enlarge(chain, glyphs, seed=4) != all_three).any()


def test_stages_follow_one_another(small_upscaler, glyphs):
    small, large = small_upscaler(), small_upscaler(sample_size=64, low_size=32)
    assert plan(8, 64, [large, small]) == [small, large]
    assert plan(8, 8, [small]) == []
    seen: list[tuple[int, int]] = []
    assert enlarge([small, large], glyphs, steps=2, tick=lambda *at: seen.append(at)).shape == (3, 64, 64)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(("size", "wanted"), [(16, 32), (8, 64), (8, 16), (32, 8)])
def test_an_upscaler_of_another_resolution_is_refused(small_upscaler, size, wanted):
    with pytest.raises(UserError, match=rf"glyphs of {size} pixels .* to {wanted}: .* lead from 8 to 32 pixels"):
        plan(size, wanted, [small_upscaler()])
    with pytest.raises(UserError, match="no upscaler is given"):
        plan(size, wanted, [])


def test_sampled_glyphs_are_enlarged_recorded_and_drawn_again(small_upscaler, tiny_model, tmp_path):
    pipe = load_pipeline(tiny_model)
    upscaler = small_upscaler(noisy=True, sample_size=64, low_size=32)
    request = Request("gold", n=2, steps=2, upscale=64)
    (first,) = sample_to_folder(pipe, [request], tmp_path / "first", upscalers=[upscaler])
    assert Image.open(first.glyphs[0]).size == (64, 64)
    facts = json.loads(first.json.read_text())
    assert (facts["upscale"], len(facts["upscalers"])) == (64, 1)
    again = read_record(first.json, pipe, [upscaler])
    (second,) = sample_to_folder(pipe, [again], tmp_path / "again", upscalers=[upscaler])
    assert [p.read_bytes() for p in first.glyphs] == [p.read_bytes() for p in second.glyphs]
    with pytest.raises(UserError, match=r"was enlarged by .* --upscaler"):
        read_record(first.json, pipe, [small_upscaler(sample_size=64, low_size=32)])
    with pytest.raises(UserError, match="no upscaler is given"):
        read_record(first.json, pipe)


def test_of_several_upscalers_from_one_size_the_last_one_counts(small_upscaler):
    first, last = small_upscaler(), small_upscaler()
    assert plan(8, 32, [first, last]) == [last]


def test_an_upscaler_that_was_named_in_vain_is_told_before_anything_is_drawn(
    small_upscaler, tiny_model, tmp_path, capsys
):
    small_upscaler(sample_size=64, low_size=32).save_pretrained(tmp_path / "used" / "model")
    small_upscaler(sample_size=32, low_size=8).save_pretrained(tmp_path / "vain" / "model")
    named = ["--upscaler", str(tmp_path / "used"), "--upscaler", str(tmp_path / "vain")]
    tiny = ["--model", str(tiny_model), "--out", str(tmp_path / "out")]
    assert main(["sample", "gold", "--upscale", "64", *tiny, *named]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"{tmp_path / 'vain'} enlarges glyphs of 8 pixels to 32" in line
    assert not list(tmp_path.glob("out/*"))


def test_the_bundled_upscaler_comes_nearer_to_a_large_rendering_than_a_curve_does():
    real = render(default_font(), "湖", 512)
    small = real.reshape(128, 4, 128, 4).mean((1, 3)).round().astype(np.uint8)
    (drawn,) = enlarge(load_upscalers([UPSCALER]), small[None])
    curve = grey(enlarged(torch.from_numpy(small)[None, None].float() / 127.5 - 1, 4))[0]

    def error(picture: np.ndarray) -> float:
        return float(np.abs(picture.astype(int) - real).mean())

    assert error(drawn) < error(curve) / 4


def test_sample_enlarges_by_the_bundled_upscaler_unless_another_is_named(small_upscaler, tmp_path):
    draw = ["sample", "gold", "-n", "1", "--steps", "1", "--upscale", "512", "--out"]
    assert main([*draw, str(tmp_path / "bundled")]) == 0
    assert Image.open(tmp_path / "bundled" / "gold-0-0.png").size == (512, 512)
    small_upscaler(sample_size=512, low_size=128, crop=128).save_pretrained(tmp_path / "model")
    assert main([*draw, str(tmp_path / "other"), "--upscaler", str(tmp_path)]) == 0
    told = [json.loads((tmp_path / way / "gold-0.json").read_text())["upscalers"] for way in ("bundled", "other")]
    assert told[0] != told[1]
    assert main(["sample", "--again", str(tmp_path / "bundled" / "gold-0.json"), "--out", str(tmp_path / "again")]) == 0


def test_nothing_is_written_where_no_upscaler_fits(small_upscaler, tiny_model, tmp_path):
    with pytest.raises(UserError, match="glyphs of 32 pixels"):
        sample_to_folder(load_pipeline(tiny_model), [Request("gold", upscale=512)], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
