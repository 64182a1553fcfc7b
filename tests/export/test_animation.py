"""Films: what they show agrees with what is drawn, paths end where they should, loops close, mistakes leave nothing."""

import itertools
import json
import os
import sys
from dataclasses import replace

import av
import numpy as np
import pytest
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.films import write_film
from glyffuser.commands.cli import main
from glyffuser.export.animation import Film, denoising, frame, path, positions
from glyffuser.generate.draw import draw
from glyffuser.generate.request import Request

FEW = Request("gold", n=3, steps=4)


@pytest.fixture(scope="module")
def pipe(make_pipe):
    return make_pipe()


def greys(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


def drawn(pipe, prompt: str, seed: int) -> np.ndarray:
    request = Request(prompt, n=3, steps=4, seed=seed)
    return greys(frame([draw(pipe, [prompt] * 3, request)]))


@pytest.mark.parametrize("shown", ["xt", "x0", "both"])
def test_denoising_ends_with_the_glyphs_of_sample(shown, pipe):
    film = denoising(pipe, FEW, shown)
    assert len(film.frames) == 4
    glyphs = draw(pipe, ["gold"] * 3, FEW)
    assert (greys(film.frames[film.poster]) == greys(frame([glyphs] * (1 + (shown == "both"))))).all()
    assert len({picture.size for picture in film.frames}) == 1


def test_noised_glyphs_begin_as_noise(pipe):
    noisy, clean = (denoising(pipe, Request("gold", n=4, steps=20), shown).frames for shown in ("xt", "x0"))
    inside = greys(noisy[0])[16:32, 16:32]
    assert inside.std() > 80  # clipped standard normal numbers: black and white, few greys
    assert greys(noisy[0]).std() != greys(clean[0]).std()


@pytest.mark.parametrize(("prompts", "seeds"), [(("gold", "a fish"), (0, 0)), (("gold", "gold"), (0, 7))])
def test_paths_end_where_they_should(prompts, seeds, pipe):
    start, end = (replace(FEW, prompt=p, seed=seed) for p, seed in zip(prompts, seeds, strict=True))
    film = path(pipe, start, end, [0.0, 0.5, 1.0])
    for picture, prompt, seed in ((film.frames[0], prompts[0], seeds[0]), (film.frames[2], prompts[1], seeds[1])):
        assert abs(greys(picture) - drawn(pipe, prompt, seed)).max() <= 1
    ends = [greys(film.frames[i]) for i in (0, 2)]
    assert (ends[0] != ends[1]).any()
    assert all((greys(film.frames[1]) != end).any() for end in ends)


def test_a_position_is_drawn_the_same_whatever_else_is(pipe):
    alone = path(pipe, FEW, replace(FEW, seed=7), [0.25])
    among = path(pipe, FEW, replace(FEW, seed=7), [0.0, 0.25, 0.5, 0.25, 0.75, 1.0])
    assert abs(greys(alone.frames[0]) - greys(among.frames[1])).max() <= 1
    assert among.frames[1] is among.frames[3]


def test_a_loop_between_styles_has_no_jump(pipe, make_styled):
    """Drawn pictures go there and back in small steps, across the seam too."""
    start, end = (replace(FEW, style=style) for style in ("sans", "serif"))
    frames = [greys(picture) for picture in path(make_styled(pipe), start, end, positions(16, loop=True)).frames]
    steps = [abs(after - before).mean() for before, after in itertools.pairwise([*frames, frames[0]])]
    across = abs(frames[8] - frames[0]).mean()
    assert across > 1
    assert max(steps) < 0.4 * across  # along a straight line it would be 0.19 in the middle
    assert max(steps[-1], steps[0]) <= max(steps[1:-1])


@pytest.mark.parametrize("frames", [2, 3, 8, 9, 48])
def test_a_loop_closes(frames):
    there = positions(frames, loop=False)
    assert (there[0], there[-1], len(there)) == (0.0, 1.0, frames)
    around = positions(frames, loop=True)
    assert len(around) == frames
    steps = [abs(b - a) for a, b in itertools.pairwise([*around, around[0]])]
    assert max(steps) <= np.pi / frames + 1e-9  # the seam is a step like any other
    assert min(steps) > 0 or frames % 2  # no picture stands still
    assert around[1:] == around[:0:-1]


def test_there_and_back_repeats_neither_end():
    film = Film([Image.new("L", (4, 4), k) for k in range(4)], 3)
    shades = [picture.getpixel((0, 0)) for picture in film.held(2).there_and_back().frames]
    assert shades == [0, 1, 2, 3, 3, 3, 3, 3, 2, 1]


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".webp", ".gif"])
def test_films_hold_their_frames(suffix, tmp_path):
    shades = [0, 60, 120, 180, 240]
    write_film([Image.new("L", (64, 48), shade) for shade in shades], 10, tmp_path / f"film{suffix}")
    if suffix in (".mp4", ".webm"):
        with av.open(str(tmp_path / f"film{suffix}")) as film:
            found = [f.to_ndarray(format="rgb24").mean() for f in film.decode(video=0)]
            assert film.streams.video[0].average_rate == 10
    else:
        whole = Image.open(tmp_path / f"film{suffix}")
        found = []
        for k in range(whole.n_frames):  # type: ignore[attr-defined]
            whole.seek(k)
            found.append(np.asarray(whole.convert("RGB")).mean())
        assert whole.info["duration"] == 100
    np.testing.assert_allclose(found, shades, atol=6)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_frames_need_not_come_in_whole_numbers_a_second(suffix, tmp_path):
    write_film([Image.new("L", (64, 48), 50 * k) for k in range(5)], 2.5, tmp_path / f"film{suffix}")
    with av.open(str(tmp_path / f"film{suffix}")) as film:
        assert film.streams.video[0].average_rate == 2.5
        assert film.duration == 2_000_000  # microseconds


def test_noise_is_smaller_as_mp4_than_as_gif(pipe, tmp_path):
    frames = denoising(pipe, Request("gold", n=9, steps=30), "xt").frames
    for suffix in ("mp4", "gif"):
        write_film(frames, 24, tmp_path / f"film.{suffix}")
    assert (tmp_path / "film.mp4").stat().st_size < (tmp_path / "film.gif").stat().st_size


def test_even_noise_keeps_within_three_megabits_a_second(tmp_path):
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (256, 256), np.uint8)) for _ in range(48)]
    write_film(frames, 24, tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").stat().st_size < 1.5 * 2 * 3e6 / 8  # two seconds, starting with a full buffer


def run(*argv) -> int:
    return main([str(a) for a in argv])


def test_the_command_writes_film_and_poster(tiny_model, tmp_path, capsys):
    out = tmp_path / "films" / "gold.webm"
    small = ("--model", tiny_model, "--steps", 3, "-n", 2, "--out", out, "--json")
    assert run("animate", "gold", *small) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["frames"] == 3 + 24  # the last stays for a second
    assert facts["bytes"] == out.stat().st_size
    assert {p.name for p in out.parent.iterdir()} == {"gold.webm", "gold-poster.png"}
    for asked in (("--between", "gold", "fish"), ("gold", "--seeds", 0, 1)):
        assert run("animate", *asked, "--frames", 4, "--loop", *small) == 0
        assert json.loads(capsys.readouterr().out)["frames"] == 4


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["give an English meaning"]),
        ([""], ["give an English meaning"]),
        (["金"], ["cannot read"]),
        (["gold", "--between", "a", "b"], ["--between"]),
        (["--between", "a", "b", "--seeds", "0", "1"], ["--between", "--seeds"]),
        (["gold", "--styles", "sans", "serif"], ["knows no styles"]),
        (["gold", "--styles", "sans", "serif", "--seeds", "0", "1"], ["--styles", "--seeds"]),
        (["gold", "--show", "eps"], ["'eps'", "xt, x0, both"]),
        (["gold", "-n", "65"], ["64", "65"]),
        (["gold", "--steps", "0"], ["steps"]),
        (["gold", "--seeds", "0", "1", "--sampler", "plms"], ["'plms'", "ddim"]),
        (["gold", "--frames", "1"], ["--frames"]),
        (["gold", "--fps", "0"], ["--fps"]),
        (["gold", "--seeds", "0", "-1"], ["seeds"]),
        (["gold", "--out", "{tmp}/film.avi"], ["'.avi'", ".mp4, .webm, .webp, .gif"]),
        (["gold", "--out", "{tmp}/folder.mp4"], ["is a folder"]),
        (["gold", "--out", "{tmp}/file/film.mp4"], ["is a file"]),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(argv, words, tiny_model, tmp_path, capsys):
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    out = [] if "--out" in argv else ["--out", tmp_path / "film.mp4"]
    asked = [str(word).replace("{tmp}", str(tmp_path)) for word in argv]
    assert run("animate", *asked, *out, "--model", tiny_model) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in words), lines[0]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_told(tiny_model, tmp_path, capsys):
    tmp_path.chmod(0o500)
    assert run("animate", "gold", "--model", tiny_model, "--out", tmp_path / "film.mp4") == 2
    assert "not writable" in capsys.readouterr().err


def test_without_pyav_the_extra_is_named(monkeypatch, tiny_model, tmp_path, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run("animate", "gold", "--model", tiny_model, "--out", tmp_path / "film.mp4") == 2
    assert "glyffuser[export]" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"glyffuser\[export\]"):
        write_film([Image.new("L", (4, 4))], 10, tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []
