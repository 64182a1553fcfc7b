"""SVG files of pictures, and the command that writes them."""

import json
import os
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from glyffuser.commands.cli import main
from glyffuser.data.fonts import default_font, render


def run(*argv):
    return main([str(a) for a in argv])


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, char in (("gold", "金"), ("water", "水")):
        Image.fromarray(render(default_font(), char)).save(folder / f"{name}.png")
    return folder


def test_every_picture_of_a_folder_becomes_an_svg(pictures, tmp_path, capsys):
    assert run("svg", pictures, "--out", tmp_path / "out", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert [fact["svg"] for fact in facts] == [str(tmp_path / "out" / f"{name}.svg") for name in ("gold", "water")]
    for fact in facts:
        (path,) = ElementTree.parse(fact["svg"]).getroot().iter("{http://www.w3.org/2000/svg}path")
        assert path.attrib["d"].count("M") == fact["contours"]
    assert run("svg", pictures / "gold.png") == 0
    assert (pictures / "gold.svg").read_bytes() == (tmp_path / "out" / "gold.svg").read_bytes()


@pytest.mark.parametrize(("fill", "words"), [(255, "blank"), (0, "mostly black"), (128, "grey")])
def test_one_bad_picture_and_nothing_is_written(pictures, tmp_path, capsys, fill, words):
    Image.fromarray(np.full((128, 128), fill, np.uint8)).save(pictures / "z.png")
    assert run("svg", pictures, "--out", tmp_path / "out") == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert words in line
    assert "z.png" in line
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_written_is_one_line(pictures, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    os.link(pictures / "gold.png", other / "gold.png")
    assert run("svg", pictures, other, "--out", tmp_path / "out") == 2
    assert "gold.svg" in capsys.readouterr().err
    assert run("svg", pictures, "--out", "/proc/nowhere") == 2
    assert "/proc/nowhere" in capsys.readouterr().err
    assert run("svg") == 2
    assert "glyffuser svg out/" in capsys.readouterr().err


def test_a_missing_extra_is_told_in_one_line(pictures, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert run("svg", pictures) == 2
    assert "pip install 'glyffuser[export]'" in capsys.readouterr().err


def test_sample_writes_outlines_where_asked(tiny_model, tmp_path, capsys, monkeypatch):
    def draw(pipe, prompts, request, numbers, tick, crew):  # the tiny model draws noise
        return np.stack([render(default_font(), "金銀"[number], 64) for number in numbers])

    monkeypatch.setattr("glyffuser.generate.files.draw", draw)
    assert (
        run("sample", "gold", "-n", 2, "--steps", 1, "--model", tiny_model, "--out", tmp_path, "--svg", "--json") == 0
    )
    (fact,) = json.loads(capsys.readouterr().out)
    assert fact["svg"] == [str(tmp_path / f"gold-0-{k}.svg") for k in (0, 1)]
    assert (tmp_path / "gold-0-1.svg").is_file()
