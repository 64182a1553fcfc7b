"""What a Parquet file of glyphs holds: its columns, its facts about itself, and how it is opened and checked."""

import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from glyffuser.base.errors import DAMAGED, UserError, in_one_line

SCHEMA_VERSION = 1
SIZES = range(16, 1025)  # pixels; below 16 a character is a blob
SMALLEST_ROW = 20  # bytes: no PNG is smaller
METADATA_KEY = b"glyffuser"
REPEATING = ["font", "style", "split"]  # columns with few distinct values: each stored once, then by number
_PNG_LEVEL = 1  # of zlib: pictures 16 % larger than at level 6, in half the time

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
Row = dict[str, Any]


def pyarrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet module; UserError if it is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UserError("pyarrow is missing; pip install 'glyffuser[data]'") from error
    return pyarrow, pyarrow.parquet


def columns() -> Any:
    """The columns, as a pyarrow schema."""
    pa, _ = pyarrow()
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


def schema(facts: dict[str, Any]) -> Any:
    """The columns, with facts about the file, and the column types as Hugging Face's `datasets` stores them, so that it
    shows pictures.
    """

    def value(dtype: str) -> dict[str, str]:
        return {"dtype": dtype, "_type": "Value"}

    features: dict[str, Any] = {"codepoint": value("int32"), "radical": value("int16"), "strokes": value("int16")}
    features |= {name: value("string") for name in ("char", "definition", "definition_raw", "font", "style", "split")}
    # datasets 4 calls a Sequence a List, and still reads the older name.
    features |= {"senses": {"feature": value("string"), "_type": "Sequence"}, "image": {"_type": "Image"}}
    return columns().with_metadata({
        METADATA_KEY: json.dumps(facts).encode(),
        b"huggingface": json.dumps({"info": {"features": features}}).encode(),
    })  # fmt: skip


def png(picture: np.ndarray) -> bytes:
    """A grey picture uint8 (H, W) as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def read_png(data: bytes, size: int) -> np.ndarray:
    """A picture of a data set, uint8 (size, size); OSError or ValueError for anything else."""
    try:
        picture = Image.open(io.BytesIO(data), formats=("PNG",))
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    if picture.size != (size, size) or picture.mode != "L":
        raise ValueError(f"it is {picture.width} x {picture.height} {picture.mode}, not {size} x {size} L")
    return np.asarray(picture)


def open_file(path: str | Path) -> Any:
    """Open a Parquet file. UserError if it is missing, not one, or damaged."""
    pa, pq = pyarrow()
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist; build it with `glyffuser dataset build --out {path}`")
    try:
        # Without `pre_buffer`, which keeps what it has read ahead; `data/shards.py` writes the checksums.
        file = pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True)
        rows = file.metadata.num_rows
    except (pa.ArrowException, *DAMAGED) as error:
        raise UserError(f"{path} is not a Parquet file; build one with `glyffuser dataset build`") from error
    if not 0 <= rows * SMALLEST_ROW <= Path(path).stat().st_size:  # a few bytes can claim any number
        raise damaged(path, f"it claims {rows} rows")
    return file


def info_of(file: Any, path: str | Path) -> dict[str, Any]:
    """The facts in an opened file's metadata, if they are of this schema; UserError otherwise."""
    try:
        raw = (file.schema_arrow.metadata or {}).get(METADATA_KEY)
        info = json.loads(raw) if raw else {}
    except DAMAGED as error:
        raise damaged(path, error) from error
    if not isinstance(info, dict):
        info = {}
    if info.get("schema_version") == SCHEMA_VERSION and info.get("size") not in SIZES:
        raise damaged(path, f"its size is {info.get('size')!r}")
    if info.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{path} is a Parquet file of another schema ({info.get('schema_version', 'not by glyffuser')}); "
            "build one with `glyffuser dataset build`"
        )
    return info | {"rows": file.metadata.num_rows}


def damaged(path: str | Path, error: object) -> UserError:
    """The error to raise when reading a file fails half-way."""
    return UserError(f"{path} is damaged ({in_one_line(error)}); build it again with `glyffuser dataset build`")
