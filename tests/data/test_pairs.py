"""The file of pairs: what goes in comes out, changes are all or nothing, and other files are refused with a reason."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from glyffuser.base.errors import UserError
from glyffuser.data.dataset import load_dataset
from glyffuser.data.pairs import Pair, PairFile, picture, read_pairs, read_senses, schema, write_pairs
from glyffuser.data.schema import png

NOW = datetime(2024, 5, 6, 7, 8, 9, 123000, UTC)


def pair(number: int, choice: str = "left", side: int = 16) -> Pair:
    left, right = np.random.default_rng(number).integers(0, 256, (2, side, side), np.uint8)
    told = {"model": "0" * 16, "settings": "{}", "choice": choice, "judge": "person", "time": NOW}
    return Pair(number, "gold", 2**64 - 1, 2 * number, 2 * number + 1, png(left), png(right), **told)  # type: ignore[arg-type]


def test_pairs_come_back_as_they_were(tmp_path):
    pairs = [pair(0), pair(1, "right"), pair(2, "bad")]
    write_pairs(tmp_path / "pairs.parquet", pairs)
    assert read_pairs(tmp_path / "pairs.parquet") == pairs


def test_the_document_has_the_schema():
    text = (Path(__file__).parents[2] / "docs" / "ALIGN.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(\w+)` \| (\w+) \|", text, re.MULTILINE)
    kinds = {"struct": "picture", "timestamp": "time"}
    assert told == [(f.name, kinds.get(re.split(r"\W", str(f.type))[0], str(f.type))) for f in schema()]


def test_other_libraries_see_the_pictures(tmp_path):
    datasets = pytest.importorskip("datasets")
    write_pairs(tmp_path / "pairs.parquet", [pair(0)])
    (row,) = datasets.Dataset.from_parquet(str(tmp_path / "pairs.parquet"), cache_dir=str(tmp_path))
    assert (np.asarray(row["left"]) == picture(pair(0).left, "it")).all()


def test_the_preferred_picture_comes_first():
    left, right = (picture(data, "it") for data in (pair(3).left, pair(3).right))
    assert (pair(3, "left").preferred() == [left, right]).all()
    assert (pair(3, "right").preferred() == [right, left]).all()
    with pytest.raises(ValueError, match="neither"):
        pair(3, "bad").preferred()
    with pytest.raises(UserError, match="differ in size"):
        replace(pair(3), right=pair(4, side=20).left).preferred()


def test_a_file_grows_and_takes_back(tmp_path):
    path = tmp_path / "pairs.parquet"
    file = PairFile(path)
    for number in range(3):
        assert file.next == number
        file.add(pair(number))
        assert read_pairs(path) == file.pairs
    assert file.take_back() == replace(pair(2), choice="", judge="", time=None)
    assert read_pairs(path) == [pair(0), pair(1)]
    assert PairFile(path).next == 2


def test_a_full_disk_changes_nothing(tmp_path, monkeypatch):
    file = PairFile(tmp_path / "pairs.parquet")
    file.add(pair(0))

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    for change in (lambda: file.add(pair(1)), file.take_back):
        with pytest.raises(OSError, match="No space"):
            change()
    assert file.pairs == read_pairs(file.path) == [pair(0)]


@pytest.mark.parametrize("name", ["model", "settings", "judge", "seed"])
def test_a_file_goes_on_with_the_same_alone(tmp_path, name):
    file = PairFile(tmp_path / "pairs.parquet")
    file.check(pair(0))
    file.add(pair(0))
    file.check(pair(1))
    changed: dict[str, Any] = {name: 5 if name == "seed" else "other"}
    other = replace(pair(1), **changed)
    with pytest.raises(UserError, match=f"holds pairs with {name}"):
        file.check(other)


def test_other_files_are_refused(tmp_path, tiny_data):
    path = tmp_path / "pairs.parquet"
    with pytest.raises(UserError, match="does not exist; make it"):
        read_pairs(path)
    path.write_bytes(b"PAR1, or not")
    with pytest.raises(UserError, match="damaged or not a Parquet file"):
        read_pairs(path)
    with pytest.raises(UserError, match="of another schema"):
        read_pairs(tiny_data)
    write_pairs(path, [pair(0)])
    table = parquet.read_table(path)
    column = table.schema.get_field_index("choice")
    parquet.write_table(table.set_column(column, schema().field("choice"), pa.array(["best"])), path)
    with pytest.raises(UserError, match="choice of pair 0 is 'best'"):
        read_pairs(path)


def test_files_that_a_tool_joined_are_read(tmp_path):
    for number in range(2):
        write_pairs(tmp_path / f"{number}.parquet", [pair(number), pair(2 + number, "bad")])
    joined, files = tmp_path / "joined.parquet", [tmp_path / f"{number}.parquet" for number in range(2)]
    wanted = [pair(0), pair(2, "bad"), pair(1), pair(3, "bad")]
    table = pa.concat_tables([parquet.read_table(file) for file in files]).replace_schema_metadata(None)
    parquet.write_table(table.append_column("notes", pa.array(["", "", "", "mine"])), joined)
    assert read_pairs(joined) == wanted
    pandas = pytest.importorskip("pandas")
    pandas.concat([pandas.read_parquet(file) for file in files]).to_parquet(joined)
    assert read_pairs(joined) == wanted


def test_a_file_that_is_not_complete_or_damaged_besides_its_rows_is_refused(tmp_path):
    path = tmp_path / "pairs.parquet"
    write_pairs(path, [pair(0)])
    table = parquet.read_table(path)
    for told, reason in ((b"\xff", "is damaged"), (b"[]", "is damaged"), (b'{"schema_version": 2}', "another schema")):
        parquet.write_table(table.replace_schema_metadata({b"glyffuser_pairs": told}), path)
        with pytest.raises(UserError, match=reason):
            read_pairs(path)
    for column in ("prompt", "left"):
        number = table.schema.get_field_index(column)
        parquet.write_table(table.set_column(number, column, pa.nulls(1, table.schema.field(column).type)), path)
        with pytest.raises(UserError, match=f"a pair has no {column}; leave it out"):
            read_pairs(path)
    named = pa.array([{"bytes": None, "path": "0-0.png"}], table.schema.field("right").type)  # a picture elsewhere
    parquet.write_table(table.set_column(table.schema.get_field_index("right"), "right", named), path)
    with pytest.raises(UserError, match="a pair has no right; leave it out"):
        read_pairs(path)


@pytest.mark.parametrize("data", [b"", b"no picture", png(np.zeros((4, 4), np.uint8))[:40]])
def test_a_damaged_picture_is_named(data):
    with pytest.raises(UserError, match="a picture of pair 7 is damaged"):
        replace(pair(7), left=data).preferred()


def test_a_bomb_is_not_unpacked():
    with pytest.raises(UserError, match="larger than 2048 pixels"):
        picture(png(np.zeros((1, 4000), np.uint8)), "it")


def test_senses_of_a_split(tiny_data):
    data = load_dataset(tiny_data, "train")
    found = read_senses(tiny_data, "train")
    assert set(found) == {sense for senses in data.senses for sense in senses}
    assert len(found) == len(set(found))
