"""From the options of a request to the picture that is edited: characters are drawn, files read, parts looked up."""

import base64
import io
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from glyffuser.base.errors import UserError
from glyffuser.base.pictures import read_image
from glyffuser.data.components import Part, listed, named, places
from glyffuser.data.fonts import Rasteriser, default_font
from glyffuser.data.standing import side_of, typical
from glyffuser.diffusion.editing import Edit
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import SIDES, Request

TIMES, LENGTH = 3, 5  # how held parts are resampled; chosen by benchmarks/editing.py
EMBEDDED = "data:image/png;base64,"  # how a picture in a record begins


def edit_settings(pipe: GlyffuserPipeline, request: Request) -> dict[str, Any]:
    """What a request asks to edit, as settings of `GlyffuserPipeline.stream`; none if it asks for nothing.

    A network that takes parts is told those of `--with`. Any other holds the part as it is in a real character.
    Raises UserError for options that contradict one another, a picture that cannot be used, or an unknown part.
    """
    request.check_edit()
    known = pipe.unet.config.get("components", "")
    parts = tuple(named(text) for text in request.parts)
    missing = [part.char for part in parts if known and part.char not in known]
    if missing:
        raise UserError(f"this model does not know the part {missing[0]}; it knows {known}")
    if known and request.init is None and request.strong < 1:
        raise UserError("this model is told its parts, from no picture; give --strength with --init, or leave it out")
    settings: dict[str, Any] = {"parts": parts} if known and parts else {}
    held = None if known or not parts else _one(parts, request)
    if request.init is not None or held is not None:
        request = embedded(request)
        if pipe.vae is not None:
            raise UserError("a latent model cannot start from a picture or hold a part of one; take one on pixels")
        size = pipe.unet.config.sample_size
        settings["edit"] = _edit(request.init, request.strong, request.keep, held, size)
    return settings


def embedded(request: Request) -> Request:
    """The request with the contents of its picture files in place of their names, so that it can be repeated after they
    have changed.
    """
    init, keep = request.init, request.keep
    if init is not None and len(init) > 1:
        init = _contents(init, "--init takes one character, or a picture file")
    if keep is not None and keep not in SIDES:
        keep = _contents(keep, f"--keep takes one of {', '.join(SIDES)}, or a picture file, white where it is kept")
    return replace(request, init=init, keep=keep)


def _one(parts: tuple[Part, ...], request: Request) -> Part:
    """The one part that a model trained without parts can hold."""
    if request.init is not None:
        raise UserError(
            "this model was trained without parts, so --with holds one of a real character, in place of --init; "
            "leave out one of them"
        )
    if len(parts) > 1:
        raise UserError(
            f"this model was trained without parts and can hold only one; give --with {parts[0].char} alone"
        )
    return parts[0]


@lru_cache(maxsize=32)
def _edit(init: str | None, strength: float, keep: str | None, part: Part | None, size: int) -> Edit:
    """An edit from embedded pictures or from a part."""
    if part is not None:
        standing = typical(_rasteriser(size), part)
        if standing is None:
            enough = [other for other in places(part.char) if typical(_rasteriser(size), other) is not None]
            raise UserError(
                f"too few characters have {part.char} {part.place} to tell which strokes are its own; it stands "
                f"{listed(enough) or 'nowhere in enough of them'}"
            )
        picture, kept = standing.picture, standing.kept
    else:
        assert init is not None
        picture, kept = _picture(init, size), None
        if keep in SIDES:
            char = init if len(init) == 1 else ""
            kept = side_of(_rasteriser(size) if char else None, char, picture, keep)
        elif keep is not None:
            kept = _mask(keep, size)
    image = torch.from_numpy(picture.astype(np.float32) / 127.5 - 1)[None, None]
    mask = None if kept is None else torch.from_numpy(kept.copy())[None, None]
    return Edit(image, strength, mask, TIMES, LENGTH)


def _picture(init: str, size: int) -> np.ndarray:
    """A character as the data set draws it, or an embedded picture scaled to the size: uint8 (size, size)."""
    if len(init) == 1:
        rasteriser = _rasteriser(size)
        if ord(init) not in rasteriser.face.covered or (drawn := rasteriser.render(init)).min() == 255:
            raise UserError(
                f"{rasteriser.face.name} has no picture of {init!r}; give --init a character that it has, or a file"
            )
        return drawn
    picture = _open(init)
    if picture.width != picture.height:
        raise UserError(
            f"the picture of --init is {picture.width} x {picture.height} pixels; give a square one, black on white"
        )
    return np.asarray(picture if picture.width == size else picture.resize((size, size), Image.Resampling.LANCZOS))


def _mask(keep: str, size: int) -> np.ndarray:
    """An embedded mask, white where a picture is kept: bool (size, size)."""
    picture = _open(keep)
    if picture.size != (size, size):
        raise UserError(
            f"the mask of --keep is {picture.width} x {picture.height} pixels, the glyphs are {size} x {size}; "
            "give one of that size, white where the picture is kept"
        )
    kept = np.asarray(picture) >= 128
    if kept.all() or not kept.any():
        what = "everything, which leaves nothing to invent" if kept.all() else "nothing"
        raise UserError(f"the mask of --keep keeps {what}; make it white where the picture is kept, black elsewhere")
    return kept


def _contents(source: str, hint: str) -> str:
    """A picture file as text, a grey PNG; such text is returned unchanged."""
    if source.startswith(EMBEDDED):
        return source
    path = Path(source)
    try:
        picture = read_image(path, "L")
    except (OSError, ValueError) as error:  # also for a name that no file can have
        reason = "it is not a picture" if isinstance(error, UnidentifiedImageError) else None
        shown = source if len(source) <= 200 else f"{source[:200]}..."
        raise UserError(
            f"cannot read {shown}: {reason or getattr(error, 'strerror', None) or error}; {hint}"
        ) from error
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return EMBEDDED + base64.b64encode(buffer.getvalue()).decode()


def _open(text: str) -> Image.Image:
    """The picture in such a text; UserError if it is damaged."""
    try:
        return read_image(io.BytesIO(base64.b64decode(text.removeprefix(EMBEDDED))), "L")
    except (OSError, ValueError) as error:
        raise UserError(f"the picture in this record is damaged ({error}); draw it anew") from error


@lru_cache(maxsize=4)
def _rasteriser(size: int) -> Rasteriser:
    """A rasteriser that draws characters as the data set has them."""
    return Rasteriser(default_font(), size)
