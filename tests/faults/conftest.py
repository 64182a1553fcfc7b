"""Small fonts and a small Unihan file, from which bad ones are made."""

from importlib import import_module
from pathlib import Path

import pytest
from fontTools import subset
from fontTools.ttLib import TTFont

from glyffuser.data.fonts import default_font, render
from glyffuser.judge.novelty import load_ideographs
from mutating import CHARS

MEANINGS = ("gold; metal", "silver", "water, fluid", "lake")
FIELDS = ("kDefinition", "kRSUnicode", "kTotalStrokes")
UNIHAN = "\n".join([
    *("# Unihan_Readings.txt", "# Unicode version: 15.0.0", *(f"#\t{field}" for field in FIELDS)),
    *(
        f"U+{ord(char):04X}\t{field}\t{value}"
        for char, meaning in zip(CHARS, MEANINGS, strict=True)
        for field, value in zip(FIELDS, (meaning, "85.4", "8"), strict=True)
    ),
    "# EOF\n",
])  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def imported() -> None:
    """Import and read what commands do as they run, so that not each of the processes that tests fork has to."""
    rooms = ("evaluate.report", "export.package", "generate.files", "guide.build", "guide.catalogue")
    for name in ("matplotlib.figure", "onnxruntime", "rich.progress", "tyro", *(f"glyffuser.{room}" for room in rooms)):
        import_module(name)
    load_ideographs()
    default_font()


@pytest.fixture(scope="module")
def fonts(tmp_path_factory) -> list[bytes]:
    """A small font with cubic curves and one with quadratic ones, as bytes."""
    face, folder = default_font(), tmp_path_factory.mktemp("fonts")
    cff = TTFont(face.path, fontNumber=face.index)
    options = subset.Options(notdef_outline=True, layout_features=[], name_IDs=["*"])
    cutter = subset.Subsetter(options)
    cutter.populate(text=CHARS)
    cutter.subset(cff)
    cff.save(folder / "small.otf")
    from glyffuser.export.collect import named
    from glyffuser.export.font import EM, Naming, build_font
    from glyffuser.export.latin import letters
    from glyffuser.export.outline import trace

    glyphs = named(["gold"], [trace(render(face, "金"))])
    quadratic = build_font(glyphs, letters(face, EM), Naming("My", "Me", "Free", "https://example.org", "1.0"))
    name = quadratic.getBestCmap()[glyphs[0].codepoint]
    for table in quadratic["cmap"].tables:
        table.cmap = {ord(char): name for char in CHARS}
    quadratic.save(folder / "small.ttf")
    otf, ttf = ((folder / f"small.{kind}").read_bytes() for kind in ("otf", "ttf"))
    return [otf, ttf]


@pytest.fixture(scope="module")
def unihan(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unihan")
    (folder / "Unihan_Readings.txt").write_text(UNIHAN)
    return folder


@pytest.fixture(scope="module")
def font_file(fonts, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("font") / "small.otf"
    path.write_bytes(fonts[0])
    return path
