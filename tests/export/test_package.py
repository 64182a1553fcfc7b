"""The command `font`: a font and what is written beside it, also in a browser."""

import base64
import io
import json
import re

import numpy as np
import pytest
from fontTools.ttLib import TTFont
from PIL import Image

from glyffuser.commands.cli import main
from glyffuser.data.fonts import default_font, render
from glyffuser.generate.request import Request


def run(*argv):
    return main([str(a) for a in argv])


def complaint(capsys):
    line = capsys.readouterr().err
    assert line.count("\n") == 1, line
    return line


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A folder as `glyffuser sample` writes it for two prompts, with real characters for pictures."""
    folder = tmp_path_factory.mktemp("sampled")
    for prompt, chars in (("gold", "金鑫"), ("water & wine", "水")):
        stem = prompt.replace(" & ", "-")
        files = [f"{stem}-0-{k}.png" for k in range(len(chars))]
        for file, char in zip(files, chars, strict=True):
            Image.fromarray(render(default_font(), char)).save(folder / file)
        (folder / f"{stem}-0.png").write_bytes((folder / files[0]).read_bytes())  # the grid
        (folder / f"{stem}-0.json").write_text(json.dumps(Request(prompt).record() | {"files": files, "model": "m"}))
    return folder


@pytest.fixture(scope="module")
def written(sampled, tmp_path_factory):
    out = tmp_path_factory.mktemp("fonts") / "River Fire.ttf"
    assert run("font", "--from", sampled, "--out", out) == 0
    return out


def test_a_font_and_what_belongs_beside_it(written):
    folder = written.parent
    beside = ["River Fire-OFL.txt", "River Fire-prompts.json", "River Fire-specimen.html", "River Fire-specimen.png"]
    assert sorted(path.name for path in folder.iterdir()) == [*beside, "River Fire.ttf"]
    facts = json.loads((folder / "River Fire-prompts.json").read_text(encoding="utf-8"))
    assert [(glyph["meaning"], glyph["typed"], glyph["codepoint"]) for glyph in facts["glyphs"]] == [
        ("gold", ":gold:", "U+E000"),
        ("gold", ":gold-2:", "U+E001"),
        ("water & wine", ":water-wine:", "U+E002"),
    ]
    names = TTFont(written)["name"]
    assert names.getDebugName(1) == "River Fire"
    assert "SIL OPEN FONT LICENSE" in (folder / "River Fire-OFL.txt").read_text(encoding="utf-8")
    assert "Adobe" in names.getDebugName(0)  # whose Latin letters the font holds


def test_the_page_is_whole_and_says_what_exists(written):
    page = (written.parent / "River Fire-specimen.html").read_text(encoding="utf-8")
    assert not re.findall(r"(?:src|href)=|url\((?!data:)|https?://", page)
    assert "water &amp; wine" in page
    assert 'aria-label="金" class="same"' in page  # the glyph is that very character
    font = TTFont(io.BytesIO(base64.b64decode(re.findall(r"base64,([^)]+)", page)[0])))
    assert font.flavor == "woff2"
    assert 0xE002 in font.getBestCmap()


def test_the_poster_shows_every_glyph(written):
    with Image.open(written.parent / "River Fire-specimen.png") as image:
        poster = np.asarray(image.convert("L"))
    dark = poster < 60
    assert 0.005 < dark.mean() < 0.3
    cells = np.flatnonzero(dark[460:700].any(axis=0))
    assert 1 + (np.diff(cells) > 100).sum() == 3


@pytest.mark.parametrize("suffix", ["otf", "woff2"])
def test_the_suffix_says_which_format(sampled, tmp_path, capsys, suffix):
    out = tmp_path / f"mine.{suffix}"
    assert run("font", "--from", sampled, "--out", out, "--family", "Mine", "--json") == 0
    assert json.loads(capsys.readouterr().out)["typed"] == [":gold:", ":gold-2:", ":water-wine:"]
    font = TTFont(out)
    assert ("CFF " in font, font.flavor) == ((True, None) if suffix == "otf" else (False, "woff2"))
    assert font["name"].getDebugName(1) == "Mine"


def test_prompts_are_drawn_first(tiny_model, tmp_path, capsys, monkeypatch):
    begun: list[tuple[str, int]] = []

    def draw(pipe, prompts, request, numbers, tick, crew):  # the tiny model draws noise
        begun.extend((prompt, request.seed) for prompt in prompts)
        return np.stack([render(default_font(), "金水"["water" in prompt], 64) for prompt in prompts])

    monkeypatch.setattr("glyffuser.generate.files.draw", draw)
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\ufeff# mine\nwater\n\ngold\n", encoding="utf-8")
    chosen = ["--best-of", 1, "--model", tiny_model]
    last = 2**64 - 1
    assert run("font", "--list", prompts, *chosen, "--seed", last, "--out", tmp_path / "listed.ttf", "--json") == 0
    assert json.loads(capsys.readouterr().out)["typed"] == [":water:", ":gold:"]
    assert begun == [("water", last), ("gold", 0)]  # each from its own noise
    assert (tmp_path / "listed-pictures" / "gold-0-0.png").is_file()
    assert run("font", "gold", *chosen, "--out", tmp_path / "one.ttf") == 0
    assert ":gold:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], ["--list", "--from"]),
        (["gold", "--from", "x"], ["either"]),
        (["gold", "--out", "mine.png"], ["mine.png", ".ttf", ".woff2"]),
        (["gold", "Gold!"], ["'gold' and 'Gold!'"]),
        (["gold", "silver", "-n", "4096", "--best-of", "1"], ["8192", "private-use"]),
        (["--from", "nowhere"], ["nowhere"]),
        (["--from", "nowhere", "-n", "4"], ["--from", "draws none"]),
        (["--from", "nowhere", "--model", "mine"], ["--from", "draws none"]),
        (["gold", "--sampler", "list"], ["glyffuser sample --sampler list"]),
        (["gold", "--spacing", "list"], ["--spacing list"]),
        (["gold", "--upscale", "512"], ["leave out --upscale"]),
        (["--list", "nowhere.txt"], ["nowhere.txt"]),
        (["gold", "--out", "/proc/nowhere/mine.ttf"], ["/proc/nowhere", "--out"]),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(argv, words, tiny_model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("font", *argv, *(() if "--from" in argv else ("--model", tiny_model))) == 2
    line = complaint(capsys)
    assert all(word in line for word in words), line
    assert list(tmp_path.iterdir()) == []


def test_a_blank_picture_is_named_and_no_font_is_written(sampled, tmp_path, capsys):
    folder = tmp_path / "sampled"
    folder.mkdir()
    for path in sampled.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    Image.new("L", (128, 128), 255).save(folder / "gold-0-1.png")
    (tmp_path / "fonts").mkdir()
    assert run("font", "--from", folder, "--out", tmp_path / "fonts" / "mine.ttf") == 2
    line = complaint(capsys)
    assert "gold-0-1.png" in line
    assert "blank" in line
    assert list((tmp_path / "fonts").iterdir()) == []


def test_a_browser_shows_the_glyph_of_what_is_typed(written, browser):
    """`:gold:`, typed key by key, looks like its private-use character, and not like the next one."""
    data = base64.b64encode(written.read_bytes()).decode()
    page = browser.new_page()
    page.set_content(
        f"<style>@font-face {{ font-family: mine; src: url(data:font/ttf;base64,{data}) }}"
        "body { margin: 0 } input, div { font: 100px mine; width: 400px; height: 150px; border: 0; padding: 0;"
        "margin: 0; outline: 0; caret-color: transparent; line-height: 150px }</style>"
        "<input><div>\ue000</div><div>\ue001</div>"
    )
    page.evaluate("document.fonts.load('100px mine')")
    page.locator("input").press_sequentially(":gold:")
    typed, same, other = (
        np.asarray(Image.open(io.BytesIO(found.screenshot())).convert("L")).astype(int)
        for found in (page.locator("input"), *page.locator("div").all())
    )
    assert (same < 128).mean() > 0.02
    assert np.abs(typed - same).mean() < 1
    assert np.abs(typed - other).mean() > 5
    page.close()


def test_the_page_reads_well_light_and_dark(written, browser):
    for scheme, dark in (("light", False), ("dark", True)):
        page = browser.new_page(color_scheme=scheme, viewport={"width": 500, "height": 900})
        page.goto((written.parent / "River Fire-specimen.html").as_uri())
        picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
        assert bool(np.median(picture) < 60) is dark
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.close()
