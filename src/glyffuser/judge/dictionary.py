"""The dictionary: real characters, their definitions, and what the contrastive model makes of both.

It ships with the package, beside the model, so that `glyffuser find` needs no font, no Unihan and no data set.
"""

import io
import lzma
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from glyffuser.base.errors import DAMAGED, UserError
from glyffuser.base.files import atomic_path, unpacked
from glyffuser.data.dataset import GlyphData
from glyffuser.judge.contrastive import Contrastive
from glyffuser.judge.judges import load_contrastive
from glyffuser.judge.reading import pictures_in, read_picture
from glyffuser.judge.recogniser import Recogniser
from glyffuser.text.encoder import TextEncoder

FILE = "dictionary.xz"
LARGEST = 2**28  # bytes, unpacked


class Found(NamedTuple):
    """A character that fits a query: its code point as "U+91D1", its definition, and the score, -1 ... 1."""

    char: str
    codepoint: str
    definition: str
    score: float


@dataclass(frozen=True)
class Dictionary:
    """N characters: code points uint32 (N,), definitions, and the unit vectors of pictures and definitions (N, W)."""

    codepoints: np.ndarray
    definitions: list[str]
    pictures: Tensor
    meanings: Tensor

    def __len__(self) -> int:
        return len(self.codepoints)

    def best(self, scores: Tensor, n: int) -> list[Found]:
        """The n characters, or all, with the highest scores (N,), best first."""
        values, rows = scores.topk(min(n, len(self)))
        return [
            Found(chr(code := int(self.codepoints[row])), f"U+{code:04X}", self.definitions[row], round(score, 4))
            for row, score in zip(rows.tolist(), values.tolist(), strict=True)
        ]


class Finder:
    """Finds characters with the contrastive model, the frozen networks it stands on, and the dictionary."""

    def __init__(self, network: Contrastive, recogniser: Recogniser, encoder: TextEncoder, dictionary: Dictionary):
        self.network, self.recogniser, self.encoder, self.dictionary = network, recogniser, encoder, dictionary

    @classmethod
    def load(cls, folder: Path) -> "Finder":
        """Load the one in a folder of judges. UserError if a part is missing or damaged."""
        network, recogniser = load_contrastive(folder)
        return cls(network, recogniser, TextEncoder(), load_dictionary(folder / "contrastive"))

    def by_meaning(self, texts: Sequence[str], n: int) -> list[list[Found]]:
        """For each text, the n characters that fit it best, by picture and definition in equal parts.

        UserError for a text that cannot be read.
        """
        known = self.dictionary
        vectors = self.network.read(self.encoder, [self.encoder.check(text) for text in texts])
        return [known.best((known.pictures @ vector + known.meanings @ vector) / 2, n) for vector in vectors]

    def by_picture(self, images: np.ndarray, n: int) -> list[tuple[list[Found], list[Found]]]:
        """For each picture, uint8 (N, H, H), ink 0: the n characters that look most like it, and the n whose
        definitions fit it best. UserError for pictures in any other form.
        """
        known = self.dictionary
        return [
            (known.best(known.pictures @ vector, n), known.best(known.meanings @ vector, n))
            for vector in self.network.look(self.recogniser, images)
        ]


def read_pictures(paths: Sequence[Path]) -> tuple[list[str], np.ndarray]:
    """Names and pictures, uint8 (N, 128, 128), of files and of PNGs in folders. UserError for what is not a glyph."""
    files = [file for path in paths for file in pictures_in(path)]
    return [str(file) for file in files], np.stack([read_picture(file) for file in files])


def build_dictionary(network: Contrastive, data: GlyphData, features: Tensor, sentences: Tensor) -> Dictionary:
    """The dictionary of all characters in a data set; of a character in several fonts, the first glyph counts.

    `features` (N, F): the recogniser's features of its N glyphs; `sentences` (N, d): vectors of their definitions.
    """
    codepoints, first = np.unique(data.codepoints, return_index=True)
    with torch.no_grad():
        pictures, meanings = network.see(features[first]), network.understand(sentences[first])
    return Dictionary(codepoints.astype(np.uint32), [data.definitions[row] for row in first], pictures, meanings)


def save_contrastive(network: Contrastive, dictionary: Dictionary, folder: Path) -> None:
    """Write a model, in bfloat16, and its dictionary: both or neither."""
    with atomic_path(folder) as temporary:
        network.bfloat16().save_pretrained(temporary)
        (temporary / FILE).write_bytes(packed(dictionary))
    network.float()


def packed(dictionary: Dictionary) -> bytes:
    """The dictionary as a compressed file, its vectors at one byte per number; equal ones give equal bytes."""
    buffer = io.BytesIO()
    text = np.frombuffer("\n".join(dictionary.definitions).encode(), np.uint8)
    pictures, meanings = _bytes(dictionary.pictures), _bytes(dictionary.meanings)
    np.savez(buffer, codepoints=dictionary.codepoints, definitions=text, pictures=pictures, meanings=meanings)
    return lzma.compress(buffer.getvalue(), preset=9)


def load_dictionary(folder: Path) -> Dictionary:
    """The dictionary that `save_contrastive` wrote into a folder. UserError if it is missing or damaged."""
    try:
        with np.load(io.BytesIO(unpacked(folder / FILE, LARGEST)), allow_pickle=False) as found:
            definitions = found["definitions"].tobytes().decode().split("\n")
            vectors = (F.normalize(torch.from_numpy(found[name]).float(), dim=1) for name in ("pictures", "meanings"))
            return Dictionary(found["codepoints"], definitions, *vectors)
    except DAMAGED as error:
        raise UserError(
            f"cannot read the dictionary {folder / FILE}: {getattr(error, 'strerror', None) or error}; "
            "write it again with `glyffuser train-judges --contrastive`"
        ) from error


def _bytes(vectors: Tensor) -> np.ndarray:
    """Vectors (N, W) as int8, each scaled so that its largest number is 127: directions change by less than 1 %."""
    return (127 * vectors / vectors.abs().amax(dim=1, keepdim=True)).round().to(torch.int8).numpy()
