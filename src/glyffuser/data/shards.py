"""A data set in shards: a folder of Parquet files, and a manifest that lists them; writing and checking it.

Every shard is a complete data set file. Its rows stand in a random order drawn once, fonts and characters mixed, in
small row groups: each is a random sample of the data set and can be read alone, which takes a millisecond. So training
from shards mixes well while reading few row groups at a time (data/order.py). The test split has a shard of its own.
"""

import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from glyffuser.base.errors import UserError
from glyffuser.data.schema import (
    REPEATING,
    SCHEMA_VERSION,
    SPLITS,
    Row,
    Split,
    columns,
    info_of,
    open_file,
    pyarrow,
    schema,
)

MANIFEST = "manifest.json"
OURS = r"manifest\.json|(train|test)-\d{5,}\.parquet"  # names in a folder of shards
ROW_GROUP = 256  # rows: half a megabyte of pictures at 128 pixels
SHARED = ("schema_version", "fonts", "styles", "size", "unihan")  # facts of the whole that every shard repeats


@dataclass(frozen=True)
class Shard:
    """One file of a data set: its name, which split it holds, and how large it is, in rows and in bytes."""

    file: str
    split: str
    rows: int
    bytes: int


class ShardWriter:
    """Writes rows to shards as they come; holds at most one row group of each split.

    Args:
        folder: an empty folder.
        facts: what every shard says of itself: those named in SHARED.
        rows: rows per shard of the training split. The test split has one shard, however many rows.
    """

    def __init__(self, folder: Path, facts: dict[str, Any], rows: int):
        self.folder, self.schema, self.shards = folder, schema(facts), list[Shard]()
        self.full: dict[str, float] = {"train": rows, "test": math.inf}
        self.waiting: dict[str, list[Row]] = {split: [] for split in SPLITS}
        self.written = dict.fromkeys(SPLITS, 0)  # rows of the shard that is open
        self.writers: dict[str, Any] = {}

    def add(self, row: Row) -> None:
        """Take one row."""
        split = row["split"]
        self.waiting[split].append(row)
        in_shard = self.written[split] + len(self.waiting[split])
        if len(self.waiting[split]) == ROW_GROUP or in_shard == self.full[split]:
            self._write(split)
        if in_shard == self.full[split]:
            self._finish(split)

    def close(self) -> list[Shard]:
        """Write what is waiting; returns all shards."""
        for split in SPLITS:
            if self.waiting[split]:
                self._write(split)
            if self.written[split]:
                self._finish(split)
        return self.shards

    def _write(self, split: Split) -> None:
        pa, pq = pyarrow()
        if split not in self.writers:
            number = sum(shard.split == split for shard in self.shards)
            path = self.folder / f"{split}-{number:05}.parquet"
            options = {"compression": "zstd", "use_dictionary": REPEATING, "write_page_checksum": True}
            self.writers[split] = pq.ParquetWriter(path, self.schema, **options)
        self.writers[split].write_table(pa.Table.from_pylist(self.waiting[split], schema=self.schema))
        self.written[split] += len(self.waiting[split])
        self.waiting[split] = []

    def _finish(self, split: Split) -> None:
        writer = self.writers.pop(split)
        writer.close()
        path = Path(writer.where)
        self.shards.append(Shard(path.name, split, self.written[split], path.stat().st_size))
        self.written[split] = 0


def write_manifest(folder: Path, facts: dict[str, Any], shards: list[Shard]) -> None:
    """Write into the folder what it holds."""
    text = json.dumps({**facts, "shards": [asdict(shard) for shard in shards]}, ensure_ascii=False, indent=1)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> tuple[dict[str, Any], list[Shard]]:
    """What the data set says about itself, and its shards. UserError if its manifest is missing or wrong."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(
            f"{folder} has no {MANIFEST}, so it is no data set; name a file or folder that `dataset build` wrote"
        )
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        version = info["schema_version"]
        shards = [Shard(**shard) for shard in info.pop("shards")]
        rows = {split: sum(s.rows for s in shards if s.split == split) for split in SPLITS}
        agree = rows == info["splits"] and sum(rows.values()) == info["rows"] and set(SHARED) <= info.keys()
        plain = all(s.split in SPLITS and s.rows > 0 and Path(s.file).name == s.file for s in shards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error!r}); build it again with `glyffuser dataset build`") from error
    if version != SCHEMA_VERSION:
        raise UserError(f"{path} is of another schema ({version}); build one with `glyffuser dataset build --shards`")
    if not (agree and plain):
        raise UserError(f"{path} contradicts itself; build it again with `glyffuser dataset build --shards`")
    return info, shards


def check_replaceable(folder: Path) -> None:
    """UserError if `folder` holds anything but a data set in shards: a build would remove it."""
    if not folder.is_dir():
        return
    names = sorted(path.name for path in folder.iterdir())
    strange = [name for name in names if not re.fullmatch(OURS, name)]
    if strange or (names and MANIFEST not in names):
        raise UserError(
            f"{folder} holds other things than a data set ({', '.join(strange[:3]) or 'no ' + MANIFEST}); "
            "choose another --out"
        )


def open_shards(folder: Path, split: Split | None) -> tuple[dict[str, Any], list[tuple[Path, Any]]]:
    """What the data set says about itself, and its files of one split, or all, opened; each matches the manifest.

    Raises UserError as `read_manifest` does, and for a shard that is missing, cut short, of another schema, or of
    another data set.
    """
    info, shards = read_manifest(folder)
    files = []
    for shard in shards:
        if split in (shard.split, None):
            path = folder / shard.file
            files.append((path, _open(path, shard, info)))
    return info | {"shards": len(shards)}, files


def _open(path: Path, shard: Shard, info: dict[str, Any]) -> Any:
    again = "build the data set again with `glyffuser dataset build --shards`"
    if not path.is_file():
        raise UserError(f"the shard {path} is missing; {again}")
    if (size := path.stat().st_size) != shard.bytes:
        raise UserError(f"the shard {path} has {size} bytes, its manifest says {shard.bytes}; {again}")
    file = open_file(path)
    told = info_of(file, path)
    if not file.schema_arrow.equals(columns()):
        raise UserError(f"the shard {path} has other columns than a data set of this version; {again}")
    if file.metadata.num_rows != shard.rows or any(told.get(key) != info[key] for key in SHARED):
        raise UserError(f"the shard {path} is not the one that its manifest describes; {again}")
    return file
