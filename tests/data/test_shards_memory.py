"""Memory while reading shards: under a limit of the system, and by pyarrow's own count."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from glyffuser.data.order import GlyphOrder
from glyffuser.data.pictures import open_stream
from glyffuser.data.schema import png
from glyffuser.data.shards import ShardWriter, write_manifest

# One process reads 68 MB of PNGs, and as much again once decoded, within 60 MB more than it has at the start.
CAPPED = """
import resource, sys
import numpy as np
from glyffuser.base.errors import UserError
from glyffuser.data.dataset import load_dataset
from glyffuser.data.order import GlyphOrder
from glyffuser.data.pictures import open_stream
how, path = sys.argv[1:]
stream = open_stream(path, "train", held=2)  # everything is imported and open
[line] = [line for line in open("/proc/self/status") if line.startswith("VmData")]
resource.setrlimit(resource.RLIMIT_DATA, (int(line.split()[1]) * 1024 + 60 * 2**20,) * 2)
if how == "all":
    load_dataset(path, "train")
order = GlyphOrder(stream.radicals, 0, 0, stream.pictures.blocks, window=2)
total = sum(int(stream.pictures[row].astype(int).sum()) for row in order(np.arange(2 * len(stream))).tolist())
print(total)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """4,096 glyphs of noise, which no format compresses; and the sum of all pixels."""
    folder, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    noise = [rng.integers(0, 256, (128, 128)).astype(np.uint8) for _ in range(64)]
    pngs = [png(picture) for picture in noise]
    facts = {"schema_version": 1, "fonts": ["F"], "styles": ["sans"], "size": 128, "unihan": "17"}
    writer = ShardWriter(folder, facts, 1024)
    for i in range(4096):
        char = chr(0x4E00 + i)
        text = {"char": char, "definition": "noise", "definition_raw": "noise", "senses": ["noise"]}
        kind = {"radical": 1, "strokes": 1, "font": "F", "style": "sans", "split": "train"}
        writer.add({"codepoint": ord(char), **text, **kind, "image": {"bytes": pngs[i % 64], "path": "x.png"}})
    counts = {"rows": 4096, "characters": 4096, "splits": {"train": 4096, "test": 0}, "senses": 1, "skipped": {}}
    write_manifest(folder, facts | counts, writer.close())
    return folder, 64 * sum(int(picture.sum(dtype=np.int64)) for picture in noise)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts memory as Linux does")
def test_memory_is_bounded(large: tuple[Path, int]) -> None:
    folder, total = large
    settings = os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}

    def run(how: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", CAPPED, how, str(folder)]
        return subprocess.run(command, capture_output=True, text=True, env=settings)

    read = run("as needed")
    assert read.stdout.strip() == str(2 * total), read.stderr[-2000:]
    refused = run("all")  # the limit works: reading everything exceeds it
    assert refused.returncode != 0
    assert "memory" in refused.stderr.lower() or "alloc" in refused.stderr.lower()


def test_pyarrow_holds_no_more_than_the_window(large: tuple[Path, int]) -> None:
    folder, _ = large
    stream = open_stream(folder, "train", held=2)
    group = max(
        pq.ParquetFile(path).metadata.row_group(i).total_byte_size
        for path in folder.glob("*.parquet")
        for i in range(pq.ParquetFile(path).num_row_groups)
    )
    before, most = pa.total_allocated_bytes(), 0
    order = GlyphOrder(stream.radicals, 0, 0, stream.pictures.blocks, window=2)
    for row in order(np.arange(0, 2 * len(stream), 7)).tolist():
        stream.pictures[row]
        most = max(most, pa.total_allocated_bytes() - before)
    assert group < most < 2.5 * group  # two row groups, of 16
