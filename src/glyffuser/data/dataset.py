"""The data set: glyph pictures with their definitions, in one Parquet file or in shards; building and reading it.

The files open in glyffuser, in any Parquet reader, and as pictures in Hugging Face's `datasets`.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from glyffuser.base.errors import DAMAGED, UserError
from glyffuser.base.files import atomic_path
from glyffuser.data.drawing import Drawing, Tally
from glyffuser.data.fonts import FontFace
from glyffuser.data.schema import (
    REPEATING,
    SCHEMA_VERSION,
    SIZES,
    SPLITS,
    Row,
    Split,
    damaged,
    info_of,
    open_file,
    pyarrow,
    read_png,
    schema,
)
from glyffuser.data.shards import ShardWriter, check_replaceable, open_shards, write_manifest
from glyffuser.data.styles import style_of
from glyffuser.data.unihan import Entry, Unihan, clean_definition, split_senses

TEST_PER_MILLE = 20
ORDER = 0  # the seed of the order of rows in shards


@dataclass(frozen=True)
class BuildReport:
    """What a build wrote, and how many it left out, by reason. `rows` counts (character, font) pairs; `undefined`
    characters have no definition; `shards` counts the files of a folder, and is 0 for a single file.
    """

    path: Path
    rows: int
    characters: int
    undefined: int
    splits: dict[str, int]
    senses: int
    skipped: dict[str, int]
    shards: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class GlyphFacts:
    """What is known of N glyphs besides their pictures; row i of each field belongs to glyph i.

    codepoints: int32 (N,); radicals: int16 (N,), 1..214; strokes: int16 (N,); chars, definitions, fonts, styles: N
    strings; senses: N lists of strings; info: see `read_info`.
    """

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
        return len(self.chars)

    def facts(self, rows: np.ndarray) -> "GlyphFacts":
        """What is known of some of the glyphs, by row number."""
        return GlyphFacts(**_chosen(self, GlyphFacts, rows))

    def characters(self) -> tuple["GlyphFacts", np.ndarray]:
        """One glyph of each of the M characters, by code point; and for every glyph, which of them it draws (N,)."""
        _, first, which = np.unique(self.codepoints, return_index=True, return_inverse=True)
        return self.facts(first), which


@dataclass(frozen=True)
class GlyphData(GlyphFacts):
    """A data set in memory. images: uint8 (N, size, size), ink 0, paper 255."""

    images: np.ndarray

    def select(self, rows: np.ndarray) -> "GlyphData":
        """Some of the glyphs, by row number."""
        return GlyphData(**_chosen(self, GlyphData, rows))


def _chosen(glyphs: GlyphFacts, kind: type[GlyphFacts], rows: np.ndarray) -> dict[str, Any]:
    """The fields of `kind`, for some of the glyphs."""

    def some(values: Any) -> Any:
        return values[rows] if isinstance(values, np.ndarray) else [values[i] for i in rows]

    chosen = {field.name: some(getattr(glyphs, field.name)) for field in fields(kind) if field.name != "info"}
    return chosen | {"info": glyphs.info}


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
    shards: int = 0,
    undefined: bool = False,
) -> BuildReport:
    """Draw, with every font, every character that has a definition; write one Parquet file, ordered by code point.

    `size` is the side of the pictures in pixels, 16..1024; `progress(done, total)` counts (character, font) pairs;
    `codepoints` limits the build to some characters. The same input gives the same bytes on the same machine.
    With `shards` above 0, write a folder with that many files for training and one for testing instead
    (data/shards.py), in little memory however many glyphs there are. With `undefined`, also draw the characters
    without a definition, from which a network can still learn form.
    Raises UserError if the size, the fonts or the output cannot be used, or if no glyph is left.
    """
    start, out = time.perf_counter(), Path(out)
    pyarrow()
    if size not in SIZES:
        raise UserError(f"size {size} is out of range; choose {SIZES.start} to {SIZES.stop - 1} pixels")
    names = [face.name for face in fonts]
    if not fonts or len(set(names)) < len(names):
        raise UserError(f"no font, or two with the same name ({', '.join(names)}); give every --font once")
    tally = Tally()
    entries = unihan.entries | unihan.undefined if undefined else unihan.entries
    chosen = sorted(entries if codepoints is None else entries.keys() & set(codepoints))
    meanings = list(_meanings(entries, chosen, undefined, tally))
    shared = {
        "schema_version": SCHEMA_VERSION,
        "fonts": names,
        "styles": sorted({face.hand for face in fonts}),
        "size": size,
        "unihan": unihan.version,
    }
    drawing = Drawing(meanings, fonts, size, tally, progress or (lambda done, total: None))
    facts = _write_shards(drawing, out, shared, shards) if shards else _write_file(drawing, out, shared)
    kept = {key: facts[key] for key in ("rows", "characters", "undefined", "splits", "senses", "skipped")}
    files = list(out.glob("*.parquet")) if shards else [out]
    size_on_disk = sum(file.stat().st_size for file in files)
    seconds = time.perf_counter() - start
    return BuildReport(out, **kept, shards=len(files) if shards else 0, bytes=size_on_disk, seconds=seconds)


def _write_file(drawing: Drawing, out: Path, shared: dict[str, Any]) -> dict[str, Any]:
    """Write one file in the order of code points; returns its facts."""
    pa, pq = pyarrow()
    rows = list(drawing.rows(np.arange(len(drawing))))
    facts = shared | drawing.tally.facts()
    table = pa.Table.from_pylist(rows, schema=schema(facts))
    with atomic_path(out) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=2048, use_dictionary=REPEATING)
    return facts


def _write_shards(drawing: Drawing, out: Path, shared: dict[str, Any], shards: int) -> dict[str, Any]:
    """Write a folder of shards, rows in a random order that is the same every time; returns its facts."""
    expected = drawing.covered("train")
    if not 1 <= shards <= max(expected, 1):
        raise UserError(f"{shards} shards for {expected} training glyphs; choose between 1 and that with --shards")
    check_replaceable(out)
    with atomic_path(out) as temporary:
        temporary.mkdir()
        writer = ShardWriter(temporary, shared, -(-expected // shards))
        for row in drawing.rows(np.random.default_rng(ORDER).permutation(len(drawing))):
            writer.add(row)
        facts = shared | drawing.tally.facts()
        write_manifest(temporary, facts, writer.close())
    return facts


def _meanings(entries: dict[int, Entry], codepoints: list[int], undefined: bool, tally: Tally) -> Iterator[Row]:
    """What rows say of characters, whatever the font; counts those that cannot be in a data set."""
    for codepoint in codepoints:
        entry = entries[codepoint]
        definition = clean_definition(entry.definition_raw)
        if not (definition or undefined) or not entry.radical:
            tally.skipped["no radical" if definition or undefined else "empty definition"] += 1
            continue
        yield {
            "codepoint": codepoint,
            "char": chr(codepoint),
            "definition": definition,
            "definition_raw": entry.definition_raw,
            "senses": split_senses(definition),
            "radical": entry.radical,
            "strokes": entry.strokes,
            "split": split_of(codepoint),
        }


def read_info(path: str | Path) -> dict[str, Any]:
    """Return what a data set, a file or a folder of shards, says about itself.

    That is: schema_version, fonts, styles, size, unihan (its version), rows, characters, undefined (how many of these
    have no definition), splits, senses (distinct), skipped; for a folder also shards, the number of files. Files of
    earlier versions do not list styles, which the fonts' names then tell, and have no undefined characters; a single
    shard leaves out what only the whole can know.
    Raises UserError if the file is missing, not a Parquet file, or not one of ours, and as `open_shards` does.
    """
    return opened(path, None)[0]


def opened(path: str | Path, split: Split | None) -> tuple[dict[str, Any], list[tuple[Path, Any]]]:
    """What a data set says about itself, and its files, opened: those that may hold glyphs of the split.

    Raises UserError as `read_info` does, and if there is no such split.
    """
    path = Path(path)
    if split not in (*SPLITS, None):
        raise UserError(f"there is no split {split!r}; choose train or test")
    if path.is_dir():
        info, files = open_shards(path, split)
    else:
        file = open_file(path)
        info, files = info_of(file, path), [(path, file)]
    return info, files


def load_dataset(path: str | Path, split: Split | None = None, undefined: bool = False) -> GlyphData:
    """Read the data set, or one split of it, into memory, by code point and font: 16 kB per glyph at 128 pixels.

    Characters without a definition, if it holds any, are left out unless `undefined`: nothing can be asked of them.
    Raises UserError as `read_info` does, and if the split does not exist or has no glyph, or a picture is damaged.
    """
    info, files = opened(path, split)
    columns = _read(files)
    told = enumerate(zip(columns["split"], columns["definition"], strict=False))  # none, where a column is missing
    kept = [row for row, (name, definition) in told if split in (name, None) and (undefined or definition != "")]
    if Path(path).is_dir():  # shards have their own order
        place = {font: number for number, font in enumerate(info["fonts"])}
        kept.sort(key=lambda row: (columns["codepoint"][row], place.get(columns["font"][row], len(place))))
    if not kept:
        raise UserError(f"{path} has no glyph in the split {split}; build it with more characters")
    images = np.empty((len(kept), info["size"], info["size"]), np.uint8)  # (N, size, size)

    def decode(places: range) -> None:
        for place in places:
            images[place] = read_png(columns["image"][kept[place]]["bytes"], info["size"])

    try:
        with ThreadPoolExecutor() as pool:  # Pillow releases the interpreter lock while it decodes
            parts = [range(start, min(start + 512, len(kept))) for start in range(0, len(kept), 512)]
            list(pool.map(decode, parts))  # list() raises what a thread raised
        return _in_memory({name: [values[row] for row in kept] for name, values in columns.items()}, images, info)
    except DAMAGED as error:  # Pillow's errors are among these
        raise damaged(path, error) from error


def _in_memory(columns: dict[str, list[Any]], images: np.ndarray, info: dict[str, Any]) -> GlyphData:
    """The data set in some columns; TypeError or ValueError if a value does not belong in its column."""
    texts = [columns[name] for name in ("char", "definition", "font")]
    if not all(isinstance(text, str) for text in [*texts[0], *texts[1], *texts[2]]) or None in columns["senses"]:
        raise TypeError("a text is missing")
    return GlyphData(
        codepoints=np.array(columns["codepoint"], np.int32),
        chars=texts[0],
        definitions=texts[1],
        senses=columns["senses"],
        radicals=np.array(columns["radical"], np.int16),
        strokes=np.array(columns["strokes"], np.int16),
        fonts=texts[2],
        styles=columns["style"] if "style" in columns else [style_of(font) for font in texts[2]],
        info=info,
        images=images,
    )


def _read(files: list[tuple[Path, Any]]) -> dict[str, list[Any]]:
    """The columns of all files, end to end."""
    columns: dict[str, list[Any]] = defaultdict(list)
    for path, file in files:
        try:
            table = file.read()
            for name in table.column_names:
                if name != "definition_raw":
                    columns[name] += table[name].to_pylist()
        except DAMAGED as error:  # pyarrow's errors are among these
            raise damaged(path, error) from error
    return columns
