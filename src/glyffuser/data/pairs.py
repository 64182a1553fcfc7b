"""Pairs of glyphs of one meaning, and which of the two was preferred: one Parquet file (docs/ALIGN.md has its schema).

`glyffuser label` writes it, `glyffuser align` learns from it. Each row is complete in itself, so files from
several people can be joined with any Parquet tool: only the columns count, not what the tool writes beside them.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glyffuser.base.errors import DAMAGED, UserError
from glyffuser.base.files import atomic_path
from glyffuser.data.dataset import Split, opened
from glyffuser.data.schema import damaged

SCHEMA_VERSION = 1
CHOICES = ("left", "right", "bad")  # the last: neither is any good
_METADATA_KEY = b"glyffuser_pairs"
_LARGEST_SIDE = 2048  # pixels; a larger picture is not unpacked


@dataclass(frozen=True)
class Pair:
    """Two glyphs of one meaning, and what was said of them.

    pair: its number, from 0; seed, left_number, right_number: the noise that the glyphs began in, as `base/noise.py:
    seeded` takes them; left, right: PNG files; choice: one of CHOICES, "" before it is made; judge: who chose; model:
    hash of the network that drew; settings: how it drew, as JSON; time: of the choice, UTC, None before.
    """

    pair: int
    prompt: str
    seed: int
    left_number: int
    right_number: int
    left: bytes
    right: bytes
    model: str
    settings: str
    choice: str = ""
    judge: str = ""
    time: datetime | None = None

    def preferred(self) -> np.ndarray:
        """The pictures uint8 (2, H, W), the preferred one first. ValueError if neither is, UserError if damaged."""
        if self.choice not in CHOICES[:2]:
            raise ValueError(f"neither glyph of pair {self.pair} is preferred")
        order = (self.left, self.right) if self.choice == "left" else (self.right, self.left)
        pictures = [picture(data, f"pair {self.pair}") for data in order]
        if pictures[0].shape != pictures[1].shape:
            raise UserError(f"the pictures of pair {self.pair} differ in size; leave that pair out")
        return np.stack(pictures)


class PairFile:
    """The file as it grows: every change is on disk before it counts."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.pairs = read_pairs(self.path) if self.path.exists() else []

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def next(self) -> int:
        """The number of the pair that follows the last one."""
        return self.pairs[-1].pair + 1 if self.pairs else 0

    def check(self, pair: Pair) -> None:
        """UserError unless the file can go on with pairs like this one: of the same model, settings, seed and judge."""
        for name in ("model", "settings", "seed", "judge") if self.pairs else ():
            before, now = getattr(self.pairs[-1], name), getattr(pair, name)
            if before != now:
                raise UserError(
                    f"{self.path} holds pairs with {name} = {before}, not {now}; choose another --out, or the options "
                    "with which it was begun"
                )

    def add(self, pair: Pair) -> None:
        """Append a pair. OSError if the disk is full; the file is then as it was."""
        write_pairs(self.path, [*self.pairs, pair])
        self.pairs.append(pair)

    def take_back(self) -> Pair:
        """Remove the last pair, and return it without its choice."""
        write_pairs(self.path, self.pairs[:-1])
        return replace(self.pairs.pop(), choice="", judge="", time=None)


def write_pairs(path: str | Path, pairs: Sequence[Pair]) -> None:
    """Write the file atomically. UserError if it cannot be written, OSError if the disk is full."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [{field.name: getattr(pair, field.name) for field in fields(Pair)} for pair in pairs]
    for row in rows:
        for side in ("left", "right"):
            row[side] = {"bytes": row[side], "path": f"{row['seed']}-{row[f'{side}_number']}.png"}
    facts = {_METADATA_KEY: json.dumps({"schema_version": SCHEMA_VERSION}).encode(), b"huggingface": _features()}
    table = pa.Table.from_pylist(rows, schema=schema().with_metadata(facts))
    repeating = ["prompt", "choice", "judge", "model", "settings"]
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary, compression="zstd", use_dictionary=repeating)


def read_pairs(path: str | Path) -> list[Pair]:
    """The pairs in a file. UserError if it is missing, damaged, or not one of ours."""
    from pyarrow import parquet

    if not Path(path).is_file():
        raise UserError(f"{path} does not exist; make it with `glyffuser label --out {path}`")
    try:
        table = parquet.read_table(path)
        told = (table.schema.metadata or {}).get(_METADATA_KEY)
        # Tools that join files leave it out.
        version = json.loads(told)["schema_version"] if told else SCHEMA_VERSION
    except DAMAGED as error:  # pyarrow's errors are among these
        raise UserError(f"{path} is damaged or not a Parquet file; make one with `glyffuser label`") from error
    other = UserError(f"{path} is a Parquet file of another schema; make one with `glyffuser label`")
    if version != SCHEMA_VERSION:
        raise other
    try:
        table = table.select(schema().names).cast(schema())  # pandas, for one, writes another kind of string
    except DAMAGED as error:
        raise other from error
    rows = [row | {side: (row[side] or {}).get("bytes") for side in ("left", "right")} for row in table.to_pylist()]
    if empty := [name for row in rows for name, value in row.items() if value is None and name != "time"]:
        raise UserError(f"{path} is damaged: a pair has no {empty[0]}; leave it out")
    pairs = [Pair(**row) for row in rows]
    if wrong := [pair for pair in pairs if pair.choice not in CHOICES]:
        raise UserError(f"{path} is damaged: the choice of pair {wrong[0].pair} is {wrong[0].choice!r}")
    return pairs


def schema() -> Any:
    """The columns of the file, in the order of docs/ALIGN.md."""
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.schema([
        ("pair", pa.int64()),
        ("prompt", pa.string()),
        ("seed", pa.uint64()),
        ("left_number", pa.int64()),
        ("right_number", pa.int64()),
        ("left", image),
        ("right", image),
        ("choice", pa.string()),
        ("judge", pa.string()),
        ("model", pa.string()),
        ("settings", pa.string()),
        ("time", pa.timestamp("ms", tz="UTC")),
    ])  # fmt: skip


def picture(data: bytes, what: str) -> np.ndarray:
    """A PNG file as uint8 (H, W). UserError if it is damaged, or so large that it cannot be a glyph."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if max(image.size) <= _LARGEST_SIDE:
                return np.asarray(image.convert("L"))
    except (OSError, ValueError, SyntaxError, TypeError) as error:  # Pillow's errors are among these
        raise UserError(f"a picture of {what} is damaged ({error}); leave that pair out") from error
    raise UserError(f"a picture of {what} is larger than {_LARGEST_SIDE} pixels; leave that pair out")


def read_senses(path: str | Path, split: Split) -> list[str]:
    """The distinct senses in one split of a data set, in its order. UserError as `opened`, and for damage."""
    found: dict[str, None] = {}
    for file_path, file in opened(path, split)[1]:
        try:
            for row in file.read(columns=["senses", "split"]).to_pylist():
                if row["split"] == split:
                    found |= dict.fromkeys(row["senses"])
        except DAMAGED as error:  # pyarrow's errors are among these
            raise damaged(file_path, error) from error
    return list(found)


def _features() -> bytes:
    """The columns as Hugging Face's `datasets` describes them, so that it shows pictures."""
    import pyarrow as pa

    def feature(kind: Any) -> dict[str, str]:
        if pa.types.is_struct(kind):
            return {"_type": "Image"}
        name = "timestamp[ms, tz=UTC]" if pa.types.is_timestamp(kind) else str(kind)
        return {"dtype": name, "_type": "Value"}

    return json.dumps({"info": {"features": {field.name: feature(field.type) for field in schema()}}}).encode()
