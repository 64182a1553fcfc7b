"""Small files that ask for everything: each is refused at once, in one line, without the memory it asks for."""

import gzip
import json
import lzma
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables.DefaultTable import DefaultTable
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.files import unpacked
from glyffuser.base.pictures import LARGEST, read_image
from glyffuser.commands.cli import main
from glyffuser.commands.mishaps import in_words
from glyffuser.config import Config, load_config, set_field
from glyffuser.data import unihan as unihan_module
from glyffuser.data.dataset import load_dataset
from glyffuser.data.fonts import load_font, render
from glyffuser.data.unihan import read_unihan
from glyffuser.generate.load import load_pipeline
from glyffuser.judge.reading import open_picture


def png(width: int, height: int, data: bytes) -> bytes:
    """A grey PNG that claims this size, whatever data it has."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [LARGEST + 1, 12_000, 2**31 - 1])
def test_pictures(tmp_path, side):
    path = tmp_path / "x.png"
    path.write_bytes(png(side, side, zlib.compress(bytes(1000))))
    with pytest.raises(OSError, match=r"pixels|damaged"):
        read_image(path, "L")
    with pytest.raises(UserError, match=r"x\.png is no picture that can be read"):
        open_picture(path)


def test_a_picture_of_the_largest_size_is_read(tmp_path):
    Image.new("L", (LARGEST, 2), 255).save(tmp_path / "x.png")
    assert read_image(tmp_path / "x.png", "L").size == (LARGEST, 2)


def test_compressed_tables(tmp_path):
    (tmp_path / "x.xz").write_bytes(lzma.compress(bytes(10_000_000)))
    with pytest.raises(lzma.LZMAError, match="more than 1000 bytes"):
        unpacked(tmp_path / "x.xz", 1000)
    assert unpacked(tmp_path / "x.xz", 10_000_000) == bytes(10_000_000)


FIELDS = "".join(f"#\t{field}\n" for field in unihan_module.FIELDS)


def unihan(folder: Path, lines: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Unihan.txt.gz").write_bytes(gzip.compress(f"{FIELDS}{lines}# EOF\n".encode()))
    return folder


def test_unihan_files(tmp_path, monkeypatch):
    monkeypatch.setattr(unihan_module, "LARGEST", 100_000)
    with pytest.raises(UserError, match=r"Unihan\.txt\.gz holds more than 0 MiB"):
        read_unihan(unihan(tmp_path, " " * 1_000_000))


def test_unihan_values(tmp_path):
    """Surrogates are not characters, 99999 is not a radical, and a long definition is cut."""
    values = {"kDefinition": "x" * 1_000_000, "kRSUnicode": "99999.1", "kTotalStrokes": "9" * 5000}
    codes = ("4E00", "D800", "110000", "FFFFFF")
    lines = "".join(f"U+{code}\t{field}\t{value}\n" for code in codes for field, value in values.items())
    found = read_unihan(unihan(tmp_path, lines)).entries
    assert list(found) == [0x4E00]
    assert (len(found[0x4E00].definition_raw), found[0x4E00].radical, found[0x4E00].strokes) == (2000, 0, 0)


def font(path: Path, side: int = 800, em: int = 1000) -> Path:
    """A font of one square for 一."""
    pen = TTGlyphPen(None)
    for point, draw in zip([(0, 0), (side, 0), (side, side), (0, side)], (pen.moveTo, *[pen.lineTo] * 3), strict=True):
        draw(point)
    pen.closePath()
    builder = FontBuilder(em, isTTF=True)
    builder.setupGlyphOrder([".notdef", "one"])
    builder.setupCharacterMap({0x4E00: "one"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "one": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (em, 0), "one": (em, 0)})
    builder.setupHorizontalHeader(ascent=em, descent=0)
    builder.setupNameTable({"familyName": "Square", "styleName": "Regular"})
    builder.setupPost()
    builder.save(path)
    return path


def with_map(path: Path, number: int, raw: bytes) -> Path:
    """The font with a character map of format `number`, whose bytes are `raw`."""
    found = TTFont(path)
    header = struct.pack(">HHHHL", 0, 1, 3, 10 if number == 12 else 1, 12)
    found.tables.pop("cmap", None)
    table = DefaultTable("cmap")
    table.data = header + raw
    found.tables["cmap"] = table
    found.save(path)
    return path


def test_the_font_is_one(tmp_path):
    face = load_font(font(tmp_path / "x.ttf"))
    assert face.covered == {0x4E00}
    assert render(face, "一", 32).min() == 0


@pytest.mark.parametrize("number", [4, 12])
def test_fonts_whose_character_maps_have_no_end(tmp_path, number):
    """Thousands of ranges, each of all characters."""
    n = 4000
    if number == 12:
        groups = struct.pack(">III", 0, 0x10FFFF, 1) * n
        raw = struct.pack(">HHIII", 12, 0, 16 + len(groups), 0, n) + groups
    else:
        arrays = struct.pack(f">{n}H", *[0xFFFE] * n) + b"\0\0" + bytes(2 * n) + bytes(4 * n)
        raw = struct.pack(">HHHHHHH", 4, 14 + len(arrays), 0, 2 * n, 0, 0, 0) + arrays
    path = with_map(font(tmp_path / "x.ttf"), number, raw)
    with pytest.raises(UserError, match="more characters than there are"):
        load_font(path)


def test_a_font_whose_glyphs_are_as_large_as_a_house(tmp_path):
    face = load_font(font(tmp_path / "x.ttf", side=32_000, em=16))
    with pytest.raises(UserError, match=r"cannot draw 一 with .*pixels large"):
        render(face, "一", 128)


def test_a_font_of_itself(tmp_path):
    """A glyph that is its own component, without end."""
    path = font(tmp_path / "x.ttf")
    found = TTFont(path)
    data = struct.pack(">hhhhhHHbb", -1, 0, 0, 800, 800, 0x0002, 1, 0, 0)  # glyph 1, of component 1
    offsets = found.reader["loca"]
    glyf = bytearray(found.reader["glyf"])
    start, stop = (2 * n for n in struct.unpack(">3H", offsets[:6])[1:])
    glyf[start:stop] = data.ljust(stop - start, b"\0")
    whole = path.read_bytes()
    at = whole.index(bytes(found.reader["glyf"])[:stop])
    path.write_bytes(whole[:at] + bytes(glyf) + whole[at + len(glyf) :])
    with pytest.raises(UserError, match="cannot draw 一"):
        render(load_font(path), "一", 32)


def test_compressed_fonts_are_no_fonts_here(tmp_path):
    found = TTFont(font(tmp_path / "x.ttf"))
    found.flavor = "woff"
    found.save(tmp_path / "x.woff")
    with pytest.raises(UserError, match="is not a TrueType or OpenType font"):
        load_font(tmp_path / "x.woff")


def changed_parquet(source: Path, path: Path, change) -> Path:
    """The data set with other columns or facts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(source).slice(0, 3)
    columns, facts = table.to_pylist(), json.loads(table.schema.metadata[b"glyffuser"])
    change(columns, facts)
    meta = {b"glyffuser": json.dumps(facts).encode()}
    pq.write_table(pa.Table.from_pylist(columns, schema=table.schema.with_metadata(meta)), path)
    return path


@pytest.mark.parametrize("size", [0, -1, 10**9, "32", None, 31])
def test_data_sets_that_say_another_size(tiny_data, tmp_path, size):
    path = changed_parquet(tiny_data, tmp_path / "x.parquet", lambda rows, facts: facts.update(size=size))
    with pytest.raises(UserError, match=r"x\.parquet is damaged"):
        load_dataset(path)


def test_data_sets_with_a_picture_of_another_size(tiny_data, tmp_path):
    def swell(rows, facts):
        rows[0]["image"]["bytes"] = png(30_000, 30_000, zlib.compress(bytes(1000)))

    with pytest.raises(UserError, match=r"x\.parquet is damaged"):
        load_dataset(changed_parquet(tiny_data, tmp_path / "x.parquet", swell))


def test_data_sets_that_claim_more_rows_than_they_have_room_for(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"char": pa.array(["一"] * 1_000_000)}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="claims 1000000 rows"):
        load_dataset(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("name", "value"),
    [("sample_size", 2**20), ("layers_per_block", 10**9), ("num_train_timesteps", 10**12), ("in_channels", "x")],
)
def test_models_that_ask_for_all_memory(tiny_model, tmp_path, name, value):
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    config = model / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {name: value}))
    with pytest.raises(UserError, match=f"has a {name} of {value!r}, not of 1 to"):
        load_pipeline(model)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("scheduler/scheduler_config.json", {"steps": "x"}),
        ("scheduler/scheduler_config.json", {"sampler": "x"}),
        ("text_encoder/config.json", {"max_length": "x"}),
        ("text_encoder/config.json", {"max_length": 0}),
    ],
)
def test_models_whose_parts_say_what_cannot_be(tiny_model, tmp_path, part, change):
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (model / part).write_text(json.dumps(json.loads((model / part).read_text()) | change))
    with pytest.raises(UserError) as caught:
        load_pipeline(model)
    assert "\n" not in str(caught.value)


def test_settings_too_large_for_any_machine(tmp_path):
    with pytest.raises(UserError, match=r"train\.seed must be between 0 and"):
        set_field(Config(), "train.seed", 10**30)
    (tmp_path / "x.toml").write_text("x = " + "[" * 10_000)
    with pytest.raises(UserError, match="not valid TOML"):
        load_config(tmp_path / "x.toml")


def test_arguments_that_are_no_text(capsys):
    assert main(["sample", "\udcff"]) == 2
    assert "not valid UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "not enough memory"),
        (OSError(28, "No space left on device"), "disk is full"),
        (OSError(30, "Read-only file system", "/x"), "/x: Read-only file system"),
        (OSError(2, "No such file"), None),
        (RuntimeError("a bug"), None),
    ],
)
def test_what_the_machine_is_to_blame_for(error, words):
    said = in_words(error)
    assert said is None if words is None else words in (said or "")
