"""Pictures of a data set that would not fit in memory: kept as PNGs, or left in shards; each is decoded on demand."""

import hashlib
import sys
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glyffuser.base.errors import DAMAGED, UserError
from glyffuser.data.dataset import GlyphData, GlyphFacts, Split, load_dataset, opened
from glyffuser.data.order import WINDOW
from glyffuser.data.schema import damaged, pyarrow, read_png


@dataclass(frozen=True)
class Pictures:
    """The glyphs of one split as PNGs: at 512 pixels some 10 kB each, where decoded ones take 256 kB.

    pngs: N files; chars: N characters; radicals: int16 (N,), 1..214; fonts: N names; size: side in pixels; blocks:
    where each of K blocks that can be read alone begins, and the end, (K + 1,), or None if all are in memory.
    """

    pngs: Sequence[bytes]
    chars: list[str]
    radicals: np.ndarray
    fonts: list[str]
    size: int
    blocks: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.pngs)

    def __getitem__(self, row: int) -> np.ndarray:
        """One picture, uint8 (size, size), ink 0, paper 255; UserError if it is damaged."""
        png = self.pngs[row]
        try:
            return read_png(png, self.size)
        except DAMAGED as error:
            raise UserError(
                f"the picture of {self.chars[row]} is damaged ({error}); build the data set again"
            ) from error


class BlockReader(Sequence[bytes]):
    """The pictures in the files of a data set, as PNGs, read a row group at a time; keeps those used last.

    Args:
        files: paths, and what pyarrow opened there.
        held: row groups that are kept. In the order of a `GlyphOrder` with these `blocks`, each is read once a pass.
    """

    def __init__(self, files: list[tuple[Path, Any]], held: int = WINDOW):
        self.places = [(path, file, group) for path, file in files for group in range(file.num_row_groups)]
        rows = [file.metadata.row_group(group).num_rows for _, file, group in self.places]
        self.blocks = np.cumsum([0, *rows])
        self.held = held
        self.kept: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return int(self.blocks[-1])

    def __getitem__(self, row: Any) -> Any:
        """The PNG of one glyph; UserError if its file is damaged."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        block = int(np.searchsorted(self.blocks, row, side="right")) - 1
        return self._block(block)[int(row - self.blocks[block])].as_py()

    def _block(self, number: int) -> Any:
        """The PNGs of one block, in the order of the file."""
        if number in self.kept:
            self.kept.move_to_end(number)
            return self.kept[number]
        path, file, group = self.places[number]
        if len(self.kept) == self.held:
            self.kept.popitem(last=False)  # before reading, so that there are never more
        try:
            table = file.read_row_group(group, columns=["image.bytes"], use_threads=False)
            self.kept[number] = table["image"].combine_chunks().field("bytes")
        except DAMAGED as error:  # pyarrow's errors are among these
            raise damaged(path, error) from error
        return self.kept[number]


@dataclass(frozen=True)
class GlyphStream(GlyphFacts):
    """A data set whose pictures are read on demand."""

    pictures: Pictures


def open_dataset(path: str | Path, split: Split) -> GlyphData | GlyphStream:
    """A split of a data set, to learn from: of one file, in memory; of shards, in as little memory as possible.

    Everything but the pictures is in memory in either case; for shards it takes some fifty bytes per glyph, and texts
    once for each character. Characters without a definition are included. Raises UserError as `load_dataset` does.
    """
    return open_stream(path, split) if Path(path).is_dir() else load_dataset(path, split, undefined=True)


def open_stream(path: str | Path, split: Split, held: int = WINDOW) -> GlyphStream:
    """A split of a data set in shards, with the pictures of no more than `held` row groups in memory."""
    info, files = opened(path, split)
    facts, pngs = _facts(path, split, info, files), BlockReader(files, held)
    pictures = Pictures(pngs, facts.chars, facts.radicals, facts.fonts, info["size"], pngs.blocks)
    return GlyphStream(**vars(facts), pictures=pictures)


def read_pictures(path: str | Path, split: Split) -> Pictures:
    """The pictures of one split, undecoded; those of shards are read on demand.

    Raises UserError as `read_info` does, and if the split has none.
    """
    if Path(path).is_dir():
        return open_stream(path, split).pictures
    ((info, ((_, file),)), (_, pq)) = opened(path, split), pyarrow()
    try:
        table = file.read(columns=["image", "char", "radical", "font", "split"])
        table = table.filter(pq.filters_to_expression([("split", "==", split)]))
        pngs, chars = [image["bytes"] for image in table["image"].to_pylist()], table["char"].to_pylist()
        radicals, fonts = np.array(table["radical"].to_pylist(), np.int16), table["font"].to_pylist()
    except DAMAGED as error:  # pyarrow's errors are among these; a missing column is noticed only after reading
        raise damaged(path, error) from error
    if not pngs:
        raise UserError(f"{path} has no glyph in the split {split}; build it with more characters")
    return Pictures(pngs, chars, radicals, fonts, info["size"])


def digest(*columns: Iterable[object]) -> str:
    """The first 16 hex digits of a SHA-256 over columns of a data set, each row by row."""
    found = hashlib.sha256()
    for column in columns:
        for value in column:
            found.update(f"{value}\n".encode())
        found.update(b"\0")
    return found.hexdigest()[:16]


TEXTS = ("char", "definition", "senses")  # the same whichever font draws a character


def _facts(path: str | Path, split: Split, info: dict[str, Any], files: list[tuple[Path, Any]]) -> GlyphFacts:
    """What shards say of their glyphs, pictures aside, in the order of their rows. UserError as `open_dataset`."""
    texts: dict[int, list[Any]] = {}  # by code point
    numbers: dict[str, list[np.ndarray]] = {
        name: [np.empty(0, np.int32)] for name in ("codepoint", "radical", "strokes")
    }
    names: dict[str, list[str]] = {"font": [], "style": []}
    for file_path, file in files:
        try:
            table = file.read(columns=["codepoint", *TEXTS, "radical", "strokes", "font", "style", "split"])
        except DAMAGED as error:  # pyarrow's errors are among these
            raise damaged(file_path, error) from error
        if table["split"].unique().to_pylist() != [split]:
            raise UserError(f"the shard {file_path} holds glyphs of another split than {split}; build it again")
        for name, values in numbers.items():
            values.append(table[name].to_numpy())
        for name, strings in names.items():
            strings += map(sys.intern, table[name].to_pylist())
        points, rows = np.unique(table["codepoint"].to_numpy(), return_index=True)
        new = [row for point, row in zip(points.tolist(), rows.tolist(), strict=True) if point not in texts]
        for row in table.take(np.array(new, np.int64)).to_pylist():
            texts[row["codepoint"]] = [row[name] for name in TEXTS]
    if not names["font"]:
        raise UserError(f"{path} has no glyph in the split {split}; build it with more characters")
    codepoints, radicals, strokes = (np.concatenate(values) for values in numbers.values())
    chars, definitions, senses = ([texts[point][i] for point in codepoints.tolist()] for i in range(len(TEXTS)))
    return GlyphFacts(
        codepoints=codepoints,
        chars=chars,
        definitions=definitions,
        senses=senses,
        radicals=radicals.astype(np.int16),
        strokes=strokes.astype(np.int16),
        fonts=names["font"],
        styles=names["style"],
        info=info,
    )
