import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.commands.cli import main
from glyffuser.data.dataset import BuildReport, build_dataset, load_dataset, read_info, split_of
from glyffuser.data.fonts import FontFace, Rasteriser, load_font
from glyffuser.data.pictures import open_dataset, read_pictures
from glyffuser.data.unihan import Entry, Unihan

SIZE = 32
CODEPOINTS = range(0x6C34, 0x6C34 + 320)  # 水 and what follows it


@pytest.fixture(scope="module")
def built(noto: FontFace, unihan: Unihan, tmp_path_factory: pytest.TempPathFactory) -> BuildReport:
    out = tmp_path_factory.mktemp("data") / "glyphs.parquet"
    return build_dataset([noto], unihan, out, size=SIZE, codepoints=CODEPOINTS)


TOY = Unihan(
    "99.0.0",
    {
        0x4E09: Entry("three; a", 1, 3),  # out of order
        0x4E00: Entry("one; a, an", 1, 1),
        0x4E01: Entry("same as U+4E02 丂", 1, 2),  # nothing left after cleaning
        0x4E02: Entry("breath", 0, 2),  # no radical
        0x4E03: Entry("seven", 1, 2),  # not in the fonts
        0x4E07: Entry("ten thousand", 1, 3),  # only in the second font
        0x4E08: Entry("blank", 1, 3),  # a glyph without ink
    },
    {0x4E05: Entry("", 1, 2), 0x4E06: Entry("", 1, 2)},  # only the first is in a font
)
BOX = (100, 300, 900, 400)


@pytest.fixture
def toy_faces(toy_font: Callable[..., Path]) -> list[FontFace]:
    first = {"一": BOX, "丁": BOX, "丂": BOX, "丅": BOX, "丈": None, "三": (100, 0, 900, 700)}
    second = {"一": BOX, "万": BOX, "三": BOX}
    return [load_font(toy_font(first, "Toy A", "a.ttf")), load_font(toy_font(second, "Toy B", "b.ttf"))]


def test_several_fonts_give_several_rows_and_all_skips_are_counted(toy_faces: list[FontFace], tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    out = tmp_path / "new" / "toy.parquet"
    report = build_dataset(toy_faces, TOY, out, size=SIZE, progress=lambda *call: calls.append(call))
    data = load_dataset(out)
    rows = list(zip(data.chars, data.fonts, strict=True))
    assert rows == [
        ("一", "Toy A Regular"),
        ("一", "Toy B Regular"),
        ("万", "Toy B Regular"),
        ("三", "Toy A Regular"),
        ("三", "Toy B Regular"),
    ]
    assert (report.rows, report.characters, report.senses) == (5, 3, 5)  # one, a, an, ten thousand, three
    # in this order: 丁; 丂; 七 twice, 万 and 丈 once each; 丈
    assert report.skipped == {"empty definition": 1, "no radical": 1, "not in font": 4, "blank": 1}
    assert report.path == out
    assert report.bytes == out.stat().st_size
    assert report.seconds > 0
    assert np.array_equal(data.images[0], data.images[1])
    assert not np.array_equal(data.images[3], data.images[4])
    assert calls[-1] == (10, 10)  # five characters with a definition and a radical, in two fonts
    assert calls == sorted(calls)


@pytest.mark.parametrize("shards", [0, 1])
def test_characters_without_a_definition_are_drawn_if_wanted_and_only_training_sees_them(
    toy_faces: list[FontFace], tmp_path: Path, shards: int
) -> None:
    out = tmp_path / "toy.parquet"
    report = build_dataset(toy_faces[:1], TOY, out, size=SIZE, shards=shards, undefined=True)
    assert (report.rows, report.undefined, report.senses) == (4, 2, 4)  # one, a, an, three
    assert read_info(out)["undefined"] == 2
    assert report.skipped == {"empty definition": 0, "no radical": 1, "not in font": 3, "blank": 1}
    assert load_dataset(out).chars == ["一", "三"]
    seen = open_dataset(out, "train")
    meant = dict(zip(seen.chars, zip(seen.definitions, seen.senses, strict=True), strict=True))
    assert meant.keys() == {"一", "丁", "丅", "三"}  # 丁 has a definition, but nothing that English could say
    assert meant["丁"] == meant["丅"] == ("", [])


def test_real_build(built: BuildReport, unihan: Unihan) -> None:
    defined = sum(codepoint in unihan.entries for codepoint in CODEPOINTS)
    assert built.rows + sum(built.skipped.values()) == defined
    assert built.rows == built.characters == sum(built.splits.values()) > 200
    assert built.splits["test"] == sum(
        split_of(codepoint) == "test" for codepoint in load_dataset(built.path).codepoints
    )
    assert built.senses > 300


def test_info(built: BuildReport, unihan: Unihan) -> None:
    assert read_info(built.path) == {
        "schema_version": 1,
        "fonts": ["Noto Sans CJK SC Regular"],
        "styles": ["sans"],
        "size": SIZE,
        "unihan": unihan.version,
        "rows": built.rows,
        "characters": built.characters,
        "undefined": 0,
        "splits": built.splits,
        "senses": built.senses,
        "skipped": built.skipped,
    }


def test_same_input_same_bytes(built: BuildReport, noto: FontFace, unihan: Unihan, tmp_path: Path) -> None:
    build_dataset([noto], unihan, tmp_path / "again.parquet", size=SIZE, codepoints=reversed(CODEPOINTS))
    assert (tmp_path / "again.parquet").read_bytes() == built.path.read_bytes()


def test_schema(built: BuildReport) -> None:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(built.path)
    assert [(field.name, str(field.type)) for field in file.schema_arrow] == [
        ("codepoint", "int32"),
        ("char", "string"),
        ("definition", "string"),
        ("definition_raw", "string"),
        ("senses", "list<element: string>"),
        ("radical", "int16"),
        ("strokes", "int16"),
        ("font", "string"),
        ("style", "string"),
        ("split", "string"),
        ("image", "struct<bytes: binary, path: string>"),
    ]
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    rows = file.read().to_pylist()
    assert [row["codepoint"] for row in rows] == sorted(row["codepoint"] for row in rows)
    water = rows[0]
    picture = Image.open(io.BytesIO(water["image"]["bytes"]))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (SIZE, SIZE))
    assert water["image"]["path"] == "U+6C34.png"
    assert (water["char"], water["radical"], water["strokes"]) == ("水", 85, 4)
    assert water["definition_raw"].startswith("water")
    assert all(row["definition"] and row["senses"] for row in rows)
    assert {row["split"] for row in rows} == {"train", "test"}


def test_datasets_shows_pictures(built: BuildReport, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset("parquet", data_files=str(built.path), split="train", cache_dir=str(tmp_path))
    assert loaded.features == datasets.Features(
        {name: datasets.Value("string") for name in ("char", "definition", "definition_raw", "font", "style", "split")}
        | {"codepoint": datasets.Value("int32")}
        | {name: datasets.Value("int16") for name in ("radical", "strokes")}
        | {"senses": type(loaded.features["senses"])(datasets.Value("string")), "image": datasets.Image()}
    )
    row, data = loaded[0], load_dataset(built.path)
    assert len(loaded) == len(data)
    assert np.array_equal(np.asarray(row["image"]), data.images[0])
    assert (row["char"], row["senses"]) == (data.chars[0], data.senses[0])


def test_load_gives_what_was_drawn(built: BuildReport, noto: FontFace, unihan: Unihan) -> None:
    data = load_dataset(built.path)
    assert data.images.shape == (built.rows, SIZE, SIZE)
    assert (data.images.dtype, data.codepoints.dtype) == (np.uint8, np.int32)
    assert (data.radicals.dtype, data.strokes.dtype) == (np.int16, np.int16)
    rasteriser = Rasteriser(noto, SIZE)
    for row in range(len(data)):
        assert data.chars[row] == chr(data.codepoints[row])
        entry = unihan.entries[int(data.codepoints[row])]
        assert (data.radicals[row], data.strokes[row]) == (entry.radical, entry.strokes)
        assert np.array_equal(data.images[row], rasteriser.render(data.chars[row]))


def test_splits_part_the_rows(built: BuildReport) -> None:
    everything, train, test = (load_dataset(built.path, split) for split in (None, "train", "test"))
    assert len(train) == built.splits["train"]
    assert len(test) == built.splits["test"]
    assert sorted([*train.codepoints, *test.codepoints]) == list(everything.codepoints)
    assert all(split_of(int(codepoint)) == "test" for codepoint in test.codepoints)
    place = list(everything.codepoints).index(test.codepoints[-1])
    assert np.array_equal(everything.images[place], test.images[-1])
    assert everything.definitions[place] == test.definitions[-1]


def test_split_is_stable_and_small(unihan: Unihan) -> None:
    chosen = [codepoint for codepoint in unihan.entries if split_of(codepoint) == "test"]
    assert 0.015 < len(chosen) / len(unihan.entries) < 0.025
    assert "".join(map(chr, chosen[120:140])) == "䲓䳀䳓䴟䵌䵖䵡乖亜仃伀侉俟俭個儂儐儓兑公"


def test_bad_arguments(noto: FontFace, toy_faces: list[FontFace], tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    for size in (0, 15, 1025):
        with pytest.raises(UserError, match=rf"size {size} is out of range; choose 16 to 1024 pixels"):
            build_dataset([noto], TOY, out, size=size)
    with pytest.raises(UserError, match=r"no font, or two with the same name .*Toy A.*; give every --font once"):
        build_dataset([toy_faces[0]] * 2, TOY, out)
    with pytest.raises(UserError, match=r"no font"):
        build_dataset([], TOY, out)
    with pytest.raises(UserError, match=r"no glyph is left to write"):
        build_dataset(toy_faces, TOY, out, codepoints=[0x4E01, 0x4E08])
    assert not out.exists()


def test_interrupted_build_leaves_the_old_file(toy_faces: list[FontFace], tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    out.write_text("old")

    def stop(done: int, total: int) -> None:
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dataset(toy_faces, TOY, out, size=SIZE, progress=stop)
    assert out.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if "parquet" in path.name] == ["x.parquet"]


@pytest.mark.parametrize("read", [read_info, load_dataset])
def test_files_that_are_no_data_set(read: Callable[[Path], object], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(UserError, match=r"none.parquet does not exist; build it with `glyffuser dataset build --out"):
        read(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(UserError, match=r"text.parquet is not a Parquet file; build one with"):
        read(tmp_path / "text.parquet")
    table = pa.table({"a": [1]})
    for metadata, shown in (({}, "not by glyffuser"), ({"glyffuser": json.dumps({"schema_version": 0})}, "0")):
        pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "other.parquet")
        with pytest.raises(UserError, match=rf"Parquet file of another schema \({shown}\); build one with"):
            read(tmp_path / "other.parquet")


def test_damaged_data_set(built: BuildReport, tmp_path: Path) -> None:
    data = bytearray(built.path.read_bytes())
    (tmp_path / "cut.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"cut.parquet is not a Parquet file"):
        load_dataset(tmp_path / "cut.parquet")
    data[1000:40_000] = bytes(39_000)
    (tmp_path / "holes.parquet").write_bytes(data)
    with pytest.raises(UserError, match=r"holes.parquet is damaged .* build it again"):
        load_dataset(tmp_path / "holes.parquet")


@pytest.mark.parametrize("column", ["image", "char", "radical", "split", "definition"])
def test_a_column_that_lacks_is_told(built: BuildReport, tmp_path: Path, column: str) -> None:
    table = pq.read_table(built.path)
    pq.write_table(table.drop_columns([column]), tmp_path / "few.parquet")
    readers = (load_dataset,) if column == "definition" else (load_dataset, read_pictures)
    for read in readers:
        with pytest.raises(UserError, match=r"few.parquet (is damaged|has no glyph in the split)"):
            read(tmp_path / "few.parquet", "train")


def test_a_unihan_that_defines_nothing_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fields = ("kDefinition", "kRSUnicode", "kTotalStrokes")
    lines = ["# Unihan_Readings.txt", "# Unicode version: 15.0.0", *(f"#\t{field}" for field in fields)]
    lines += ["U+4E00\tkDefinition\tone", "U+4E01\tkRSUnicode\t1.1", "U+4E01\tkTotalStrokes\t2", "# EOF\n"]
    (tmp_path / "Unihan_Readings.txt").write_text("\n".join(lines))
    out = tmp_path / "x.parquet"
    assert main(["dataset", "build", "--unihan", str(tmp_path), "--out", str(out)]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "no glyph is left to write" in line
    assert not out.exists()


def test_unknown_and_empty_split(toy_faces: list[FontFace], built: BuildReport, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no split 'validation'; choose train or test"):
        load_dataset(built.path, "validation")  # type: ignore[arg-type]
    build_dataset(toy_faces, TOY, tmp_path / "x.parquet", size=SIZE)
    with pytest.raises(UserError, match=r"has no glyph in the split test"):
        load_dataset(tmp_path / "x.parquet", "test")


def test_pyarrow_missing(built: BuildReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pyarrow is missing; pip install 'glyffuser\[data\]'"):
        read_info(built.path)


def test_import_is_light() -> None:
    code = "import sys, glyffuser.data.dataset; print({'torch', 'pyarrow', 'fontTools'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_full_build(noto: FontFace, unihan: Unihan, tmp_path: Path) -> None:
    report = build_dataset([noto], unihan, tmp_path / "glyphs.parquet", size=64)
    assert report.rows >= 20_700
    assert 0.015 < report.splits["test"] / report.rows < 0.025
    assert sum(report.skipped.values()) + report.rows == len(unihan.entries)
    images = load_dataset(tmp_path / "glyphs.parquet").images
    border = np.concatenate([images[:, [0, -1]].reshape(-1), images[:, :, [0, -1]].reshape(-1)])
    assert border.min() == 255
    assert (images.min((1, 2)) < 64).all()
