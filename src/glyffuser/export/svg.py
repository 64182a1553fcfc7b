"""Outlines as files: one SVG for each picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.files import output_folder, write_text
from glyffuser.export.outline import Outline, trace
from glyffuser.judge.reading import open_picture, pictures_in, targets

LARGEST = 1024  # pixels: a larger picture is first reduced to this, and loses nothing that an outline shows


@dataclass(frozen=True)
class Traced:
    """A picture, the SVG written for it, and how many points and contours that has."""

    picture: Path
    svg: Path
    points: int
    contours: int


def write_svgs(paths: Sequence[Path], out: Path | None = None) -> list[Traced]:
    """Trace picture files, or all PNGs in folders, and write an SVG of each into `out`, or beside the picture.

    Raises UserError, before anything is written, for a picture that cannot be read, is blank or is not a glyph, and if
    two SVGs would have the same name.
    """
    files = [file for path in paths for file in pictures_in(path)]
    places = targets(files, ".svg", out)
    outlines = [trace_file(file) for file in files]
    for place in places:
        output_folder(place.parent)
    for file, place, outline in zip(files, places, outlines, strict=True):
        write_text(place, outline.svg(file.stem))
    return [
        Traced(file, place, outline.points, len(outline.contours))
        for file, place, outline in zip(files, places, outlines, strict=True)
    ]


def trace_file(file: Path) -> Outline:
    """The outline of a picture file; a UserError names the file."""
    picture = open_picture(file)
    if picture.width > LARGEST:
        picture = picture.resize((LARGEST, LARGEST), Image.Resampling.BOX)
    try:
        return trace(np.asarray(picture))
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
