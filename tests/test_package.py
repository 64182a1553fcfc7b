"""What pip is told of the package."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_all_installs_every_extra_that_a_user_may_want():
    extras = PROJECT["optional-dependencies"]
    (whole,) = extras["all"]
    named = re.fullmatch(r"glyffuser\[(.*)\]", whole)
    assert named is not None
    assert set(named[1].split(",")) == extras.keys() - {"all", "dev"}
    assert "glyffuser[all]" in extras["dev"]  # who works on it wants all of it
