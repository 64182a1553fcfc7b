"""`glyffuser find`: by meaning and by picture, for people and for machines, with the bundled model."""

import json

import pytest
from PIL import Image

from glyffuser.commands.cli import main
from glyffuser.data.fonts import default_font, render


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A real character as a PNG: 鯉, a carp."""
    path = tmp_path_factory.mktemp("find") / "carp.png"
    Image.fromarray(render(default_font(), "鯉")).save(path)
    return path


def test_meanings_and_pictures_are_answered_with_characters(picture, capsys):
    assert main(["find", "gold", "--picture", str(picture), "-n", "3", "--json"]) == 0
    text, glyph = json.loads(capsys.readouterr().out)
    assert text["meaning"] == "gold"
    assert len(text["found"]) == 3
    assert any("gold" in found["definition"] for found in text["found"])
    assert glyph["picture"] == str(picture)
    assert glyph["looks_like"][0]["char"] == "鯉"
    assert glyph["looks_like"][0]["codepoint"] == "U+9BC9"
    assert len(glyph["might_mean"]) == 3


def test_people_read_a_line_a_character(capsys):
    assert main(["find", "a kind of fish", "-n", "2"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head == "a kind of fish:"
    assert len(lines) == 2
    assert all("U+" in line for line in lines)


def test_what_cannot_be_read_is_one_line_and_status_2(tmp_path, capsys):
    Image.new("L", (64, 32)).save(tmp_path / "wide.png")
    for argv, words in (([" "], "empty"), (["--picture", str(tmp_path / "wide.png")], "square")):
        assert main(["find", *argv]) == 2
        captured = capsys.readouterr()
        assert words in captured.err
        assert (captured.out, captured.err.count("\n")) == ("", 1)
