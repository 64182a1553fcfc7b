"""A font and what belongs beside it: its prompts, its licence, a specimen."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fontTools.ttLib import TTFont

import glyffuser
from glyffuser.base.errors import UserError
from glyffuser.base.files import output_folder, write_bytes, write_text
from glyffuser.data.fonts import default_font
from glyffuser.export.collect import Collected
from glyffuser.export.font import EM, Naming, build_font
from glyffuser.export.latin import letters, open_face
from glyffuser.export.poster import poster
from glyffuser.export.specimen import Specimen, page
from glyffuser.judge.judges import BUNDLED_JUDGES

KINDS = (".ttf", ".otf", ".woff2")
LICENCE = BUNDLED_JUDGES / "OFL.txt"
TERMS = "This font is licensed under the SIL Open Font License, Version 1.1."
TERMS_URL = "https://openfontlicense.org"
VERSION = "1.0"


@dataclass(frozen=True)
class Written:
    """A font and the files beside it; how many glyphs were invented, and what is typed for each."""

    font: Path
    record: Path
    licence: Path
    page: Path
    poster: Path
    glyphs: int
    typed: list[str]


def check_target(out: Path) -> None:
    """UserError unless a font can be written there."""
    if out.suffix.lower() not in KINDS:
        raise UserError(f"{out} is not the name of a font file; end it in {', '.join(KINDS)}")
    if out.is_dir():
        raise UserError(f"{out} is a folder, not a file; choose another --out")
    output_folder(out.parent)


def naming(family: str) -> Naming:
    """The texts of the name table. The Latin letters are others' work, and keep their copyright and licence."""
    owner = open_face(default_font())["name"].getDebugName(0) or "the makers of Noto Sans CJK"
    return Naming(family, f"Invented with glyffuser. Latin letters: {owner}", TERMS, TERMS_URL, VERSION)


def write_font(collected: Sequence[Collected], out: Path, family: str) -> Written:
    """Build the font and write it with its files; everything is made before anything is written."""
    check_target(out)
    glyphs = [one.glyph for one in collected]
    latin, texts = letters(default_font(), EM), naming(family)
    made = build_font(glyphs, latin, texts, cubic=out.suffix.lower() == ".otf")
    data = font_bytes(made, "woff2" if out.suffix.lower() == ".woff2" else None)
    specimen = Specimen.of(collected, family)
    html = page(specimen, font_bytes(made, "woff2"))
    picture = poster(specimen, font_bytes(made, None))
    written = Written(
        out,
        out.with_name(f"{out.stem}-prompts.json"),
        out.with_name(f"{out.stem}-OFL.txt"),
        out.with_name(f"{out.stem}-specimen.html"),
        out.with_name(f"{out.stem}-specimen.png"),
        len(glyphs),
        [f":{glyph.slug}:" for glyph in glyphs],
    )
    write_bytes(out, data)
    write_text(written.record, json.dumps(record(collected, texts), indent=1, ensure_ascii=False) + "\n")
    write_text(written.licence, f"{texts.copyright}\n\n{LICENCE.read_text(encoding='utf-8')}")
    write_text(written.page, html)
    write_bytes(written.poster, picture)
    return written


def font_bytes(font: TTFont, flavour: str | None) -> bytes:
    """The font as a file: plain, or compressed as "woff2"."""
    buffer = io.BytesIO()
    font.flavor = flavour
    font.save(buffer)
    return buffer.getvalue()


def record(collected: Sequence[Collected], texts: Naming) -> dict[str, Any]:
    """What a font was made of: for each glyph its meaning, what is typed, its code point, its name, its picture."""
    glyphs = [
        {
            "meaning": one.glyph.prompt,
            "typed": f":{one.glyph.slug}:",
            "codepoint": f"U+{one.glyph.codepoint:04X}",
            "name": one.glyph.name,
            "points": one.glyph.outline.points,
            "picture": one.file.name,
            "seed": one.record.get("seed"),
            "model": one.record.get("model"),
        }
        for one in collected
    ]
    return {"family": texts.family, "licence": texts.licence, "glyffuser": glyffuser.__version__, "glyphs": glyphs}
