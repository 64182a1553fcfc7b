"""The documents against the code: rooms, floors, and every file and function that they name."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "glyffuser"
ARCHITECTURE = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
SOURCES = r"[\w./-]+\.(?:py|md|toml)\b"
FOLDERS = "src|tests|benchmarks|docs|judge|weights|guide|evaluate"  # not data/: a room, but also where commands write
WRITTEN = ("runs/", "config.toml")  # by commands: not part of the repository


def floors_of_the_contract() -> list[list[str]]:
    """The rooms of each floor, from the top, as import-linter checks them."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    (contract,) = (c for c in tools["importlinter"]["contracts"] if c["type"] == "layers")
    return [[room.strip().removeprefix("glyffuser.") for room in floor.split("|")] for floor in contract["layers"]]


def first_line(room: str) -> str:
    """The first line of a room's docstring."""
    path = PACKAGE / room / "__init__.py"
    docstring = ast.get_docstring(ast.parse((path if path.is_file() else PACKAGE / f"{room}.py").read_text("utf-8")))
    assert docstring, room
    return docstring.splitlines()[0]


def test_the_rooms_are_those_of_the_contract_and_say_the_same_as_their_docstrings():
    told = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", ARCHITECTURE, re.MULTILINE))
    assert sorted(told) == sorted(room for floor in floors_of_the_contract() for room in floor)
    assert told == {room: first_line(room) for room in told}


def test_every_package_is_a_room():
    rooms = {room for floor in floors_of_the_contract() for room in floor}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages <= rooms
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"} <= rooms


def test_the_picture_of_the_floors_is_the_contract():
    drawn = [[room.strip() for room in line.strip("│").split("│")] for line in re.findall("^│.*│$", ARCHITECTURE, re.M)]
    assert drawn == floors_of_the_contract()


def test_rooms_are_listed_in_reading_order():
    told = re.findall(r"^\| `(\w+)` \|", ARCHITECTURE, re.MULTILINE)
    height = {room: level for level, floor in enumerate(reversed(floors_of_the_contract())) for room in floor}
    assert [height[room] for room in told] == sorted(height[room] for room in told)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_file_that_a_document_names_exists(document):
    text = document.read_text(encoding="utf-8")
    links = {link.partition("#")[0] for link in re.findall(r'(?:\]\(|src=")([^)"]+)', text) if "://" not in link}
    named = {name.removeprefix("../") for name in re.findall(SOURCES, text) if not name.startswith(WRITTEN)}
    folders = set(re.findall(rf"`((?:{FOLDERS})/[\w/-]*)`", text))
    missing = [name for name in sorted(links) if not (document.parent / name).exists()]
    missing += [name for name in sorted(named | folders) if not any((at / name).exists() for at in (ROOT, PACKAGE))]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_function_that_a_document_places_is_there(document):
    """What is written as `file.py: name` is defined in that file."""
    for file, name in re.findall(r"([\w/]+\.py): (\w+)", document.read_text(encoding="utf-8")):
        path = next(at / file for at in (ROOT, PACKAGE) if (at / file).is_file())
        defined = rf"^\s*(?:(?:def|class) {name}\b|{name}\b.* = )"
        assert re.search(defined, path.read_text(encoding="utf-8"), re.MULTILINE), f"{file} has no {name}"
