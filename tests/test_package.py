"""What pip is told of the package."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]


def test_all_installs_every_extra_that_a_user_may_want():
    extras = PROJECT["optional-dependencies"]
    (whole,) = extras["all"]
    named = re.fullmatch(r"glyffuser\[(.*)\]", whole)
    assert named is not None
    assert set(named[1].split(",")) == extras.keys() - {"all", "dev"}
    assert "glyffuser[all]" in extras["dev"]  # who works on it wants all of it


def test_every_file_that_is_no_code_goes_into_the_package():
    source = ROOT / "src" / "glyffuser"
    listed = {
        path for pattern in SETTINGS["tool"]["setuptools"]["package-data"]["glyffuser"] for path in source.glob(pattern)
    }
    there = {path for path in source.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert there - listed == set()
