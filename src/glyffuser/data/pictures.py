"""Pictures of a data set that would not fit in memory: kept as the PNGs of the file, each decoded when asked for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from glyffuser.base.errors import DAMAGED, UserError
from glyffuser.data.dataset import Split, read_info, read_png


@dataclass(frozen=True)
class Pictures:
    """The glyphs of one split as PNGs: at 512 pixels some 10 kB each, where decoded ones take 256 kB.

    pngs: N files; chars: N characters; radicals: int16 (N,), 1..214; size: side in pixels.
    """

    pngs: list[bytes]
    chars: list[str]
    radicals: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.pngs)

    def __getitem__(self, row: int) -> np.ndarray:
        """One picture, uint8 (size, size), ink 0, paper 255; UserError if it is damaged."""
        try:
            return read_png(self.pngs[row], self.size)
        except DAMAGED as error:
            raise UserError(
                f"the picture of {self.chars[row]} is damaged ({error}); build the data set again"
            ) from error


def read_pictures(path: str | Path, split: Split) -> Pictures:
    """The pictures of one split, undecoded. Raises UserError as `read_info` does, and if the split has none."""
    size = read_info(path)["size"]
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=["image", "char", "radical", "split"])
    except DAMAGED as error:  # pyarrow's errors are among these
        raise UserError(f"{path} is damaged ({error}); build it again with `glyffuser dataset build`") from error
    table = table.filter(parquet.filters_to_expression([("split", "==", split)]))
    if not len(table):
        raise UserError(f"{path} has no glyph in the split {split}; build it with more characters")
    pngs = [image["bytes"] for image in table["image"].to_pylist()]
    return Pictures(pngs, table["char"].to_pylist(), np.array(table["radical"].to_pylist(), np.int16), size)
