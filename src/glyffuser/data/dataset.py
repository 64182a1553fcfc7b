"""The data set: one Parquet file of glyph pictures with their definitions; building it, reading it.

The file opens in glyffuser, in any Parquet reader, and as pictures in Hugging Face's `datasets`.
"""

import hashlib
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from glyffuser.base.errors import DAMAGED, UserError
from glyffuser.base.files import atomic_path
from glyffuser.data.fonts import FontFace, Rasteriser
from glyffuser.data.styles import style_of
from glyffuser.data.unihan import Unihan, clean_definition, split_senses

SCHEMA_VERSION = 1
SIZES = range(16, 1025)  # pixels; below 16 a character is a blob
SMALLEST_ROW = 20  # bytes: no PNG is smaller
TEST_PER_MILLE = 20
_METADATA_KEY = b"glyffuser"
_PNG_LEVEL = 1  # of zlib: pictures 16 % larger than at level 6, in half the time

Split = Literal["train", "test"]
Row = dict[str, Any]


@dataclass(frozen=True)
class BuildReport:
    """What a build wrote, and how many it left out, by reason. `rows` counts (character, font) pairs."""

    path: Path
    rows: int
    characters: int
    splits: dict[str, int]
    senses: int
    skipped: dict[str, int]
    bytes: int
    seconds: float


@dataclass(frozen=True)
class GlyphData:
    """A data set in memory; row i of each field belongs to glyph i.

    images: uint8 (N, size, size), ink 0, paper 255; codepoints: int32 (N,); radicals: int16 (N,), 1..214;
    strokes: int16 (N,); chars, definitions, fonts, styles: N strings; senses: N lists of strings; info: as `read_info`.
    """

    images: np.ndarray
    codepoints: np.ndarray
    chars: list[str]
    definitions: list[str]
    senses: list[list[str]]
    radicals: np.ndarray
    strokes: np.ndarray
    fonts: list[str]
    styles: list[str]
    info: dict[str, Any]

    def __len__(self) -> int:
        return len(self.images)

    def select(self, rows: np.ndarray) -> "GlyphData":
        """Some of the glyphs, by row number."""
        names = ("chars", "definitions", "senses", "fonts", "styles")
        lists = {name: [getattr(self, name)[i] for i in rows] for name in names}
        arrays = {name: getattr(self, name)[rows] for name in ("images", "codepoints", "radicals", "strokes")}
        fields: dict[str, Any] = {**arrays, **lists}
        return replace(self, **fields)


def split_of(codepoint: int) -> Split:
    """The split of a character: 2 % are "test". A hash decides: the same for every font, version and machine."""
    digest = hashlib.blake2b(str(codepoint).encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") % 1000 < TEST_PER_MILLE else "train"


def build_dataset(
    fonts: list[FontFace],
    unihan: Unihan,
    out: str | Path,
    size: int = 128,
    progress: Callable[[int, int], None] | None = None,
    codepoints: Iterable[int] | None = None,
) -> BuildReport:
    """Draw every character that has a definition with every font, and write one Parquet file, ordered by code point.

    `size` is the side of the pictures in pixels, 16..1024; `progress(done, total)` counts (character, font) pairs;
    `codepoints` limits the build to some characters. The same input gives the same bytes on the same machine.
    Raises UserError if the size, the fonts or the output cannot be used, or if no glyph is left.
    """
    start = time.perf_counter()
    pa, pq = _pyarrow()
    if size not in SIZES:
        raise UserError(f"size {size} is out of range; choose {SIZES.start} to {SIZES.stop - 1} pixels")
    names = [face.name for face in fonts]
    if not fonts or len(set(names)) < len(names):
        raise UserError(f"no font, or two with the same name ({', '.join(names)}); give every --font once")
    skipped = Counter(dict.fromkeys(("empty definition", "no radical", "not in font", "blank"), 0))
    chosen = sorted(unihan.entries if codepoints is None else unihan.entries.keys() & set(codepoints))
    rows = list(_rows(fonts, unihan, chosen, size, skipped, progress or (lambda done, total: None)))
    if not rows:
        raise UserError("no glyph is left to write; choose a font that covers characters that have a definition")
    facts: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "fonts": names,
        "styles": sorted({face.hand for face in fonts}),
        "size": size,
        "unihan": unihan.version,
        "rows": len(rows),
        "characters": len({row["codepoint"] for row in rows}),
        "splits": {split: sum(row["split"] == split for row in rows) for split in ("train", "test")},
        "senses": len({sense for row in rows for sense in row["senses"]}),
        "skipped": dict(skipped),
    }
    table = pa.Table.from_pylist(rows, schema=_schema(pa).with_metadata(_metadata(facts)))
    repeating = ["font", "style", "split"]
    with atomic_path(out) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=2048, use_dictionary=repeating)
    kept = {key: facts[key] for key in ("rows", "characters", "splits", "senses", "skipped")}
    return BuildReport(Path(out), **kept, bytes=Path(out).stat().st_size, seconds=time.perf_counter() - start)


def read_info(path: str | Path) -> dict[str, Any]:
    """Return what the file says about itself.

    That is: schema_version, fonts, styles, size, unihan (its version), rows, characters, splits, senses (distinct),
    skipped. Files of earlier versions say nothing of styles, which fonts' names then tell.
    Raises UserError if the file is missing, not a Parquet file, or not one of ours.
    """
    return _info(_open(path), path)


def load_dataset(path: str | Path, split: Split | None = None) -> GlyphData:
    """Read the data set, or one split of it, into memory: 16 kB per glyph at 128 pixels.

    Raises UserError as `read_info` does, and if the split does not exist or has no glyph, or a picture is damaged.
    """
    if split not in ("train", "test", None):
        raise UserError(f"there is no split {split!r}; choose train or test")
    file = _open(path)
    info = _info(file, path)
    try:
        table = file.read()
        columns = {name: table[name].to_pylist() for name in table.column_names if name != "definition_raw"}
        kept = [row for row, name in enumerate(columns["split"]) if split in (name, None)]
        images = np.empty((len(kept), info["size"], info["size"]), np.uint8)  # (N, size, size)

        def decode(places: range) -> None:
            for place in places:
                images[place] = read_png(columns["image"][kept[place]]["bytes"], info["size"])

        with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock while it decodes
            parts = [range(start, min(start + 512, len(kept))) for start in range(0, len(kept), 512)]
            list(pool.map(decode, parts))  # list() raises what a thread raised
        if not kept:
            raise UserError(f"{path} has no glyph in the split {split}; build it with more characters")
        return _in_memory({name: [values[row] for row in kept] for name, values in columns.items()}, images, info)
    except UserError:
        raise
    except DAMAGED as error:  # pyarrow's and Pillow's errors are among these
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"{path} is damaged ({reason}); build it again with `glyffuser dataset build`") from error


def read_png(data: bytes, size: int) -> np.ndarray:
    """A picture of a data set, uint8 (size, size); OSError or ValueError for anything else."""
    try:
        picture = Image.open(io.BytesIO(data), formats=("PNG",))
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    if picture.size != (size, size) or picture.mode != "L":
        raise ValueError(f"a picture is {picture.width} x {picture.height} {picture.mode}, not {size} x {size} L")
    return np.asarray(picture)


def _in_memory(columns: dict[str, list[Any]], images: np.ndarray, info: dict[str, Any]) -> GlyphData:
    """The data set of some columns; TypeError or ValueError where a value is none of its kind."""
    texts = [columns[name] for name in ("char", "definition", "font")]
    if not all(isinstance(text, str) for text in [*texts[0], *texts[1], *texts[2]]) or None in columns["senses"]:
        raise TypeError("a text is missing")
    return GlyphData(
        images=images,
        codepoints=np.array(columns["codepoint"], np.int32),
        chars=texts[0],
        definitions=texts[1],
        senses=columns["senses"],
        radicals=np.array(columns["radical"], np.int16),
        strokes=np.array(columns["strokes"], np.int16),
        fonts=texts[2],
        styles=columns["style"] if "style" in columns else [style_of(font) for font in texts[2]],
        info=info,
    )


def _rows(
    fonts: list[FontFace],
    unihan: Unihan,
    codepoints: list[int],
    size: int,
    skipped: Counter[str],
    progress: Callable[[int, int], None],
) -> Iterator[Row]:
    """Yield the rows in order; count in `skipped` what gives none: characters, or (character, font) pairs."""
    rasterisers = [Rasteriser(face, size) for face in fonts]
    for done, codepoint in enumerate(codepoints):
        if done % 256 == 0:
            progress(done * len(fonts), len(codepoints) * len(fonts))
        entry = unihan.entries[codepoint]
        definition = clean_definition(entry.definition_raw)
        if not definition or not entry.radical:
            skipped["no radical" if definition else "empty definition"] += 1
            continue
        meaning = {
            "codepoint": codepoint,
            "char": chr(codepoint),
            "definition": definition,
            "definition_raw": entry.definition_raw,
            "senses": split_senses(definition),
            "radical": entry.radical,
            "strokes": entry.strokes,
            "split": split_of(codepoint),
        }
        for rasteriser in rasterisers:
            if codepoint not in rasteriser.face.covered:
                skipped["not in font"] += 1
            elif (picture := rasteriser.render(chr(codepoint))).min() == 255:
                skipped["blank"] += 1
            else:
                image = {"bytes": png(picture), "path": f"U+{codepoint:04X}.png"}
                yield {**meaning, "font": rasteriser.face.name, "style": rasteriser.face.hand, "image": image}
    progress(len(codepoints) * len(fonts), len(codepoints) * len(fonts))


def png(picture: np.ndarray) -> bytes:
    """A grey picture uint8 (H, W) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError("pyarrow is missing; pip install 'glyffuser[data]'") from error
    return pyarrow, pyarrow.parquet


def _schema(pa: Any) -> Any:
    return pa.schema([
        ("codepoint", pa.int32()),
        ("char", pa.string()),
        ("definition", pa.string()),
        ("definition_raw", pa.string()),
        ("senses", pa.list_(pa.string())),
        ("radical", pa.int16()),
        ("strokes", pa.int16()),
        ("font", pa.string()),
        ("style", pa.string()),
        ("split", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ])  # fmt: skip


def _metadata(facts: dict[str, Any]) -> dict[bytes, bytes]:
    """Our facts, and the column types as Hugging Face's `datasets` stores them, so that it shows pictures."""

    def value(dtype: str) -> dict[str, str]:
        return {"dtype": dtype, "_type": "Value"}

    features: dict[str, Any] = {"codepoint": value("int32"), "radical": value("int16"), "strokes": value("int16")}
    features |= {name: value("string") for name in ("char", "definition", "definition_raw", "font", "style", "split")}
    # datasets 4 calls a Sequence a List, and still reads the older name.
    features |= {"senses": {"feature": value("string"), "_type": "Sequence"}, "image": {"_type": "Image"}}
    return {
        _METADATA_KEY: json.dumps(facts).encode(),
        b"huggingface": json.dumps({"info": {"features": features}}).encode(),
    }


def _open(path: str | Path) -> Any:
    pa, pq = _pyarrow()
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist; build it with `glyffuser dataset build --out {path}`")
    try:
        file = pq.ParquetFile(path)
        rows = file.metadata.num_rows
    except (pa.ArrowException, *DAMAGED) as error:
        raise UserError(f"{path} is not a Parquet file; build one with `glyffuser dataset build`") from error
    if not 0 <= rows * SMALLEST_ROW <= Path(path).stat().st_size:  # a few bytes can claim any number
        raise UserError(f"{path} is damaged (it claims {rows} rows); build it again with `glyffuser dataset build`")
    return file


def _info(file: Any, path: str | Path) -> dict[str, Any]:
    """The facts in the file's metadata, if they are of this schema; UserError otherwise."""
    try:
        raw = (file.schema_arrow.metadata or {}).get(_METADATA_KEY)
        info = json.loads(raw) if raw else {}
    except DAMAGED as error:
        raise UserError(f"{path} is damaged; build it again with `glyffuser dataset build`") from error
    if not isinstance(info, dict):
        info = {}
    if info.get("schema_version") == SCHEMA_VERSION and info.get("size") not in SIZES:
        raise UserError(f"{path} is damaged (its size is {info.get('size')!r}); build it again")
    if info.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{path} is a Parquet file of another schema ({info.get('schema_version', 'not by glyffuser')}); "
            "build one with `glyffuser dataset build`"
        )
    return info | {"rows": file.metadata.num_rows}
