"""Where the glyphs of a font come from: the pictures and records that `glyffuser sample` writes."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glyffuser.base.errors import UserError
from glyffuser.export.font import PRIVATE, FontGlyph, check
from glyffuser.export.outline import Outline
from glyffuser.export.svg import trace_file
from glyffuser.generate.files import slug_of
from glyffuser.judge.reading import read_picture


@dataclass(frozen=True)
class Collected:
    """A glyph of a font, its picture as the judges see it, uint8 (128, 128), its file, and the record beside it."""

    glyph: FontGlyph
    picture: np.ndarray
    file: Path
    record: dict[str, Any]


def named(prompts: Sequence[str], outlines: Sequence[Outline]) -> list[FontGlyph]:
    """The glyphs of a font: a name and a code point for each outline, in order.

    The first glyph of a prompt is named by its slug, the second by the slug with -2, and so on. UserError for two
    prompts with the same slug, and for more glyphs than the private-use area holds.
    """
    slug = {prompt: slug_of(prompt) for prompt in dict.fromkeys(prompts)}
    seen: Counter[str] = Counter()
    glyphs = []
    for codepoint, (prompt, outline) in enumerate(zip(prompts, outlines, strict=True), PRIVATE.start):
        seen[prompt] += 1
        name = slug[prompt] if seen[prompt] == 1 else f"{slug[prompt]}-{seen[prompt]}"
        glyphs.append(FontGlyph(prompt, name, codepoint, outline))
    check(glyphs)
    return glyphs


def check_prompts(prompts: Sequence[str], each: int) -> None:
    """UserError, before anything is drawn, if `named` would refuse `each` glyphs per prompt or a prompt is repeated."""
    twice = next((prompt for prompt, count in Counter(prompts).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"the meaning {twice!r} is given twice; give it once, with -n 2 for two glyphs")
    nothing = Outline(())
    many = [prompt for prompt in prompts for _ in range(each)]
    named(many, [nothing] * len(many))


def records_in(folder: Path) -> list[Path]:
    """The records that `glyffuser sample` wrote in a folder, by name. UserError if there are none."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; name one that `glyffuser sample` wrote")
    found = [path for path in sorted(folder.glob("*.json")) if "files" in _facts(path)]
    if not found:
        raise UserError(f"{folder} has no records of `glyffuser sample`; name a folder that it wrote")
    return found


def collect(records: Sequence[Path]) -> list[Collected]:
    """The glyphs of the pictures that records name, traced. UserError for one that is missing, blank or not a glyph."""
    pairs = [(path.parent / file, facts) for path in records for facts in (_facts(path),) for file in facts["files"]]
    outlines = [trace_file(file) for file, _ in pairs]
    glyphs = named([facts["prompt"] for _, facts in pairs], outlines)
    return [
        Collected(glyph, read_picture(file), file, facts) for glyph, (file, facts) in zip(glyphs, pairs, strict=True)
    ]


def _facts(path: Path) -> dict[str, Any]:
    """The contents of a record; empty for JSON that is not one. UserError if the file cannot be read."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is not JSON'}") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("prompt"), str):
        return {}
    files = facts.get("files")
    return facts if isinstance(files, list) and all(isinstance(file, str) for file in files) else {}
