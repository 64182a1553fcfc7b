"""Data sets in shards: they hold what one file holds, in a well-mixed order, and report at once what is wrong."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glyffuser.base.errors import UserError
from glyffuser.commands.cli import main
from glyffuser.data.dataset import build_dataset, load_dataset, read_info
from glyffuser.data.fonts import FontFace, load_font
from glyffuser.data.order import GlyphOrder, alike
from glyffuser.data.pictures import open_dataset, open_stream, read_pictures
from glyffuser.data.schema import schema
from glyffuser.data.shards import MANIFEST
from glyffuser.data.unihan import Unihan

SIZE = 32
CODEPOINTS = range(0x6C34, 0x6C34 + 320)  # 水 and what follows it


@pytest.fixture(scope="module")
def faces(noto: FontFace) -> list[FontFace]:
    return [load_font(f"{style}={noto.path}:{index}") for index, style in enumerate(("here", "there", "else"))]


@pytest.fixture(scope="module")
def file(faces: list[FontFace], unihan: Unihan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("file") / "glyphs.parquet"
    return build_dataset(faces, unihan, out, size=SIZE, codepoints=CODEPOINTS).path


@pytest.fixture(scope="module")
def built(faces: list[FontFace], unihan: Unihan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("folder") / "glyphs"
    report = build_dataset(faces, unihan, out, size=SIZE, codepoints=CODEPOINTS, shards=5)
    assert report.shards == 6  # one of them for testing
    assert report.bytes == sum(shard.stat().st_size for shard in out.glob("*.parquet"))
    return out


@pytest.fixture
def folder(built: Path, tmp_path: Path) -> Path:
    """A data set that a test may damage."""
    return Path(shutil.copytree(built, tmp_path / "glyphs"))


@pytest.mark.parametrize("split", [None, "train", "test"])
def test_shards_hold_what_the_file_holds(file: Path, built: Path, split: str | None) -> None:
    one, many = load_dataset(file, split), load_dataset(built, split)  # type: ignore[arg-type]
    for name in (field.name for field in fields(one) if field.name != "info"):
        wanted, found = getattr(one, name), getattr(many, name)
        assert type(wanted) is type(found)
        assert np.array_equal(wanted, found) if isinstance(wanted, np.ndarray) else wanted == found, name
    assert many.info == read_info(built) == read_info(file) | {"shards": 6}


def test_a_stream_has_the_same_glyphs_and_knows_the_same_of_them(built: Path) -> None:
    data, stream = load_dataset(built, "train"), open_stream(built, "train", held=2)
    rows = {(char, font): row for row, (char, font) in enumerate(zip(data.chars, data.fonts, strict=True))}
    assert len(stream) == len(data) == len(rows)
    for row, key in enumerate(zip(stream.chars, stream.fonts, strict=True)):
        there = rows[key]
        assert np.array_equal(stream.pictures[row], data.images[there])
        for name in ("codepoints", "definitions", "senses", "radicals", "strokes", "styles"):
            assert getattr(stream, name)[row] == getattr(data, name)[there]
    assert read_pictures(built, "test").chars == open_stream(built, "test").chars
    characters, drawn = stream.characters()
    assert characters.chars == sorted(set(data.chars))  # in the order of a file, so that the captions match a file's
    assert [characters.chars[i] for i in drawn] == stream.chars
    same = {id(stream.definitions[row]) for row in np.flatnonzero(stream.codepoints == stream.codepoints[0])}
    assert len(same) == 1  # each text is in memory once


def test_every_shard_is_a_data_set_of_one_split(built: Path) -> None:
    shards = json.loads((built / MANIFEST).read_text())["shards"]
    assert [shard["file"] for shard in shards] == [*(f"train-{i:05}.parquet" for i in range(5)), "test-00000.parquet"]
    for shard in shards:
        data = load_dataset(built / shard["file"], shard["split"])
        assert len(data) == shard["rows"] == pq.ParquetFile(built / shard["file"]).metadata.num_rows
    rows = [shard["rows"] for shard in shards if shard["split"] == "train"]
    assert max(rows[:-1]) - min(rows[:-1]) <= 1
    assert 0 < rows[-1] <= rows[0]


def test_datasets_reads_the_folder_with_its_splits(built: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(built), cache_dir=str(tmp_path))
    assert {name: len(part) for name, part in loaded.items()} == read_info(built)["splits"]
    assert loaded["train"][0]["image"].size == (SIZE, SIZE)


def test_the_same_input_gives_the_same_bytes(
    built: Path, faces: list[FontFace], unihan: Unihan, tmp_path: Path
) -> None:
    again = build_dataset(faces, unihan, tmp_path / "again", size=SIZE, codepoints=CODEPOINTS, shards=5).path
    for path in sorted(built.iterdir()):
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_shard_is_a_random_sample(built: Path) -> None:
    """In a file, fonts of one character and characters of one radical stand together; in shards they do not."""
    stream = open_stream(built, "train")
    rows = np.arange(len(stream))
    found, expected = alike(rows, stream.codepoints - stream.codepoints.min(), 64)
    assert found < 3 * expected  # in the order of a file it is 15 times
    data = load_dataset(built, "train")
    assert alike(rows, data.codepoints - data.codepoints.min(), 64)[0] > 10 * expected


def test_a_pass_reads_each_row_group_once_and_holds_few(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = open_stream(built, "train", held=2)
    reader, read = stream.pictures.pngs, []
    order = GlyphOrder(stream.radicals, 0, 0, stream.pictures.blocks, window=2)
    for place in order.whole_pass(0):
        before = set(reader.kept)  # type: ignore[attr-defined]
        assert stream.pictures[int(place)].shape == (SIZE, SIZE)
        read += [block for block in reader.kept if block not in before]  # type: ignore[attr-defined]
        assert len(reader.kept) <= 2  # type: ignore[attr-defined]
    assert sorted(read) == list(range(5))
    assert read != sorted(read)


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path, compression="zstd")


def manifest(folder: Path, change: Callable[[dict], object]) -> None:
    facts = json.loads((folder / MANIFEST).read_text())
    change(facts)
    (folder / MANIFEST).write_text(json.dumps(facts))


def fits(folder: Path, name: str) -> None:
    """Give the manifest a shard's real length, so that only its contents are wrong."""
    size = (folder / name).stat().st_size
    manifest(folder, lambda facts: [s.update(bytes=size) for s in facts["shards"] if s["file"] == name])


def cut(folder: Path, name: str = "train-00003.parquet") -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1000])


def cut_and_told(folder: Path) -> None:
    cut(folder)
    fits(folder, "train-00003.parquet")


def swap(folder: Path) -> None:
    one, two = folder / "train-00000.parquet", folder / "test-00000.parquet"
    contents = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(contents)
    fits(folder, one.name)
    fits(folder, two.name)


def other_columns(folder: Path) -> None:
    rewrite(folder / "train-00001.parquet", lambda table: table.drop_columns(["strokes"]))
    fits(folder, "train-00001.parquet")


def other_data(folder: Path) -> None:
    told = {key: json.loads((folder / MANIFEST).read_text())[key] for key in ("fonts", "styles", "unihan")}
    facts = told | {"schema_version": 1, "size": 64}
    rewrite(folder / "train-00001.parquet", lambda t: t.replace_schema_metadata(schema(facts).metadata))
    fits(folder, "train-00001.parquet")


def strange_file(folder: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), folder / "train-00001.parquet")
    fits(folder, "train-00001.parquet")


WRONG = {
    "missing": (lambda f: (f / "train-00002.parquet").unlink(), r"the shard .*train-00002.parquet is missing; build"),
    "cut": (cut, r"the shard .*train-00003.parquet has \d+ bytes, its manifest says \d+; build the data set again"),
    "cut, and told so": (cut_and_told, r"train-00003.parquet is not a Parquet file; build one with"),
    "swapped": (swap, r"the shard .* is not the one that its manifest describes; build the data set again"),
    "columns": (other_columns, r"the shard .*train-00001.parquet has other columns than a data set of this version"),
    "facts": (other_data, r"the shard .*train-00001.parquet is not the one that its manifest describes"),
    "strange": (strange_file, r"train-00001.parquet is a Parquet file of another schema \(not by glyffuser\)"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), r"glyphs has no manifest.json, so it is no data set; name a"),
    "no JSON": (lambda f: (f / MANIFEST).write_text("{"), r"manifest.json is damaged \(.*\); build it again"),
    "a list": (lambda f: (f / MANIFEST).write_text("[]"), r"manifest.json is damaged \(.*\); build it again"),
    "a key": (lambda f: manifest(f, lambda facts: facts.pop("size")), r"manifest.json contradicts itself; build it"),
    "rows": (lambda f: manifest(f, lambda facts: facts.update(rows=3)), r"manifest.json contradicts itself; build it"),
    "a type": (lambda f: manifest(f, lambda facts: facts["shards"][0].update(rows="3")), r"manifest.json is damaged"),
    "a field": (lambda f: manifest(f, lambda facts: facts["shards"][0].update(x=3)), r"manifest.json is damaged"),
    "a path": (
        lambda f: manifest(f, lambda facts: facts["shards"][0].update(file="../x")),
        r"manifest.json contradicts itself",
    ),
    "a version": (
        lambda f: manifest(f, lambda facts: facts.update(schema_version=9)),
        r"manifest.json is of another schema \(9\); build one with",
    ),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("read", [read_info, load_dataset, lambda folder: open_dataset(folder, "train")])
def test_what_is_wrong_is_said(read: Callable[[Path], object], what: str, folder: Path) -> None:
    change, told = WRONG[what]
    change(folder)
    with pytest.raises(UserError, match=told) as caught:
        read(folder)
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_found_when_its_row_group_is_read(folder: Path) -> None:
    path = folder / "train-00004.parquet"
    column = pq.ParquetFile(path).metadata.row_group(0).column(10)
    assert column.path_in_schema == "image.bytes"
    contents = bytearray(path.read_bytes())
    contents[column.data_page_offset + column.total_compressed_size // 2] ^= 4
    path.write_bytes(contents)
    with pytest.raises(UserError, match=r"train-00004.parquet is damaged \(.*\); build it again"):
        load_dataset(folder, "train")
    stream = open_stream(folder, "train")
    assert stream.pictures[0].shape == (SIZE, SIZE)
    with pytest.raises(UserError, match=r"train-00004.parquet is damaged \(.*\); build it again"):
        stream.pictures[len(stream) - 1]


def test_glyphs_of_another_split_and_of_another_size_are_found(folder: Path) -> None:
    path = folder / "train-00001.parquet"
    rewrite(path, lambda t: t.set_column(t.column_names.index("split"), "split", pa.array(["test"] * len(t))))
    fits(folder, path.name)
    with pytest.raises(UserError, match=r"the shard .*train-00001.parquet holds glyphs of another split than train"):
        open_dataset(folder, "train")


def test_a_picture_of_another_size_is_found(tmp_path: Path, faces: list[FontFace], unihan: Unihan) -> None:
    small, large = (
        build_dataset(faces, unihan, tmp_path / str(size), size=size, codepoints=range(0x6C34, 0x6C54), shards=1).path
        for size in (32, 40)
    )
    facts = json.loads((small / MANIFEST).read_text())
    rewrite(large / "train-00000.parquet", lambda t: t.replace_schema_metadata(schema(facts).metadata))
    shutil.copy(large / "train-00000.parquet", small)
    fits(small, "train-00000.parquet")
    with pytest.raises(UserError, match=r"the picture of . is damaged \(it is 40 x 40 L, not 32 x 32 L\); build"):
        open_stream(small, "train").pictures[3]


@pytest.mark.parametrize("shards", [-1, 10_000])
def test_a_number_of_shards_that_cannot_be(shards: int, faces: list[FontFace], unihan: Unihan, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{shards} shards for \d+ training glyphs; choose between 1 and that"):
        build_dataset(faces, unihan, tmp_path / "x", size=SIZE, codepoints=CODEPOINTS, shards=shards)
    assert list(tmp_path.iterdir()) == []


def test_the_command_builds_and_shows_shards(
    tmp_path: Path, toy_font: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    font, out = toy_font(dict.fromkeys("一三七", (100, 300, 900, 400))), tmp_path / "glyphs"
    assert main(["dataset", "build", "--shards", "0", "--out", str(out)]) == 2
    assert capsys.readouterr().err == "glyffuser: --shards must be at least 1, not 0; leave it out to write one file\n"
    built = ["dataset", "build", "--font", f"mine={font}", "--size", "16", "--shards", "2", "--out", str(out), "--json"]
    assert main(built) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["shards"], report["path"]) == (3, 2, str(out))
    assert main(["dataset", "info", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == read_info(out)
    cut(out, "train-00001.parquet")
    assert main(["dataset", "info", str(out)]) == 2
    told = capsys.readouterr()
    assert (told.out, len(told.err.strip().splitlines())) == ("", 1)


def test_a_build_replaces_a_data_set_and_nothing_else(
    folder: Path, faces: list[FontFace], unihan: Unihan, tmp_path: Path
) -> None:
    def build(out: Path, progress: Callable[[int, int], None] | None = None) -> None:
        build_dataset(faces, unihan, out, SIZE, progress, codepoints=range(0x6C34, 0x6C54), shards=1)

    def stop(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        build(folder, stop)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    build(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        MANIFEST,
        "train-00000.parquet",
    ]  # none is for testing
    assert [path.name for path in tmp_path.iterdir()] == ["glyphs"]
    (folder / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match=r"glyphs holds other things than a data set \(letters.txt\); choose another"):
        build(folder)
    (tmp_path / "mine").mkdir()
    shutil.copy(folder / "train-00000.parquet", tmp_path / "mine")
    with pytest.raises(UserError, match=r"mine holds other things than a data set \(no manifest.json\); choose"):
        build(tmp_path / "mine")
