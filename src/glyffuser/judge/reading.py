"""Reading pictures from files: what the judges read in each, and where they see flaws."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path
from glyffuser.base.pictures import heat, read_image
from glyffuser.data.radicals import RADICALS
from glyffuser.judge.judges import Judges

SMALLEST = 32  # pixels; below this, strokes run together
SIZE = 128  # pixels, the judges' own size; other sizes are resized to it
MAP = "-flaws.png"  # how the names of heat maps end
GREY = 12  # most by which the channels of a grey picture may differ: JPEG does that


@dataclass(frozen=True)
class Verdict:
    """What the judges say about one picture: the likeliest radical, its chance, strokes, flaw score, whether it is
    implausible, and the file that shows its flaws, if one was asked for."""

    file: str
    radical: int
    radical_char: str
    chance: float
    strokes: float
    flaws: float
    flagged: bool
    map: str | None = None


def inspect_files(judges: Judges, paths: Sequence[Path], out: Path | None = None) -> list[Verdict]:
    """Read picture files, or all PNGs in folders. With `out`, write a heat map of the flaws of each there.

    Raises UserError for what is not a picture, not square, coloured or too small, for a folder without pictures, and
    for two pictures whose heat maps would have the same name.
    """
    files = [file for path in paths for file in pictures_in(path)]
    places = [None] * len(files) if out is None else targets(files, MAP, out)
    judged = judges(np.stack([read_picture(file) for file in files]))
    chances, radicals = judged.radical.exp().max(dim=1)
    verdicts = []
    for i, (file, place) in enumerate(zip(files, places, strict=True)):
        likeliest = RADICALS[int(radicals[i])]
        if place is not None:
            with atomic_path(place) as temporary:
                heat(judged.images[i], judged.maps[i]).save(temporary)
        verdicts.append(
            Verdict(
                str(file),
                likeliest.number,
                likeliest.sign,
                round(float(chances[i]), 4),
                round(float(judged.strokes[i]), 1),
                round(float(judged.flaws[i]), 3),
                bool(judged.flagged[i]),
                None if place is None else str(place),
            )
        )
    return verdicts


def pictures_in(path: Path) -> list[Path]:
    """A file itself, or a folder's PNGs except grids, which have a JSON beside them, and heat maps.

    UserError if there are none.
    """
    if not path.is_dir():
        return [path]
    pictures = [file for file in sorted(path.glob("*.png")) if not file.name.endswith(MAP)]
    files = [file for file in pictures if not file.with_suffix(".json").exists()]
    if not files:
        raise UserError(f"{path} has no PNG pictures of glyphs; name files, or a folder that `glyffuser sample` wrote")
    return files


def targets(files: Sequence[Path], ending: str, out: Path | None = None) -> list[Path]:
    """For each picture, the file to make of it, in `out` or beside the picture: its name with another ending.

    UserError if two would be the same.
    """
    places = [(file.parent if out is None else out) / f"{file.stem}{ending}" for file in files]
    twice = next((place for place, count in Counter(places).items() if count > 1), None)
    if twice is not None:
        raise UserError(f"two pictures would become {twice}; give each a folder of its own with --out")
    return places


def read_picture(path: Path) -> np.ndarray:
    """A picture as uint8 (128, 128), ink 0, paper 255. UserError says what is wrong with it."""
    picture = open_picture(path)
    how = Image.Resampling.BOX if picture.width > SIZE else Image.Resampling.BICUBIC
    return np.asarray(picture.resize((SIZE, SIZE), how))


def open_picture(path: Path) -> Image.Image:
    """A picture of a glyph at its own size: square, 8-bit grey. UserError says what is wrong with it."""
    try:
        coloured = read_image(path, "RGB")
    except FileNotFoundError as error:
        raise UserError(f"there is no file {path}") from error
    except OSError as error:
        reason = "" if isinstance(error, UnidentifiedImageError) else f": {error.strerror or error}"
        raise UserError(f"{path} is no picture that can be read{reason}") from error
    width, height = coloured.size
    if width != height:
        raise UserError(f"{path} is {width} x {height} pixels; a glyph must be square")
    if width < SMALLEST:
        raise UserError(f"{path} is {width} pixels wide; at least {SMALLEST} are needed to see strokes")
    if np.ptp(np.asarray(coloured).astype(np.int16), axis=2).max() > GREY:
        raise UserError(f"{path} has colours; a glyph must be black ink on white paper")
    return coloured.convert("L")
