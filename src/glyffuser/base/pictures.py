"""From tensors to pictures, and several pictures on one sheet."""

import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import relu

from glyffuser.base.errors import DAMAGED, UserError, in_one_line

MARGIN = 0.1  # a network is accurate to a few per cent: what comes this close to paper or ink becomes exactly that


FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # Pillow knows more, some of which start other programs
LARGEST = 4096  # pixels: longest side of a picture that is read; a small file can hold a far larger one


def read_image(source: Path | BinaryIO, mode: str) -> Image.Image:
    """A picture from a file, converted to one of Pillow's modes; what is transparent shows white paper.

    Raises OSError if the file is missing, not a picture, damaged, or larger than LARGEST.
    """
    try:
        with Image.open(source, formats=FORMATS) as picture:
            if max(picture.size) > LARGEST:
                raise OSError(f"it is {picture.width} x {picture.height} pixels, more than {LARGEST}")
            deep = picture.mode.startswith("I;16") or (picture.format, picture.mode) == (
                "PNG",
                "I",
            )  # before Pillow 10.3
            if deep:  # 16 bits, of which `convert` would cut off what is above 255
                return Image.fromarray((np.asarray(picture) / 257).round().astype(np.uint8)).convert(mode)
            if picture.mode in ("I", "F"):
                raise OSError("its greys have no known range; save it with 8 bits")
            if not picture.has_transparency_data:
                return picture.convert(mode)
            clear = picture.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert(mode)
    except OSError:
        raise
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise OSError(f"it is damaged ({in_one_line(error)})") from error


def grid(images: list[Image.Image], columns: int | None = None) -> Image.Image:
    """Pictures of one size side by side, row by row, on white; by default in a block as square as possible."""
    columns = columns or math.ceil(math.sqrt(len(images)))
    width, height = images[0].size
    sheet = Image.new("L", (columns * width, math.ceil(len(images) / columns) * height), 255)
    for i, image in enumerate(images):
        sheet.paste(image, (i % columns * width, i // columns * height))
    return sheet


def sheet(images: np.ndarray, columns: int, gap: int = 6, paper: int = 255) -> np.ndarray:
    """Pictures uint8 (N, H, W) in rows of `columns`, `gap` pixels apart: one sheet, uint8 (height, width)."""
    n, height, width = images.shape
    rows = -(-n // columns)
    whole = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), paper, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        whole[top : top + height, left : left + width] = image
    return whole


def to_output(images: Tensor, output_type: str) -> Any:
    """Images (B, C, H, W) in [-1, 1] as "pil" (8-bit grey), "np" (B, H, W, C) in [0, 1], or "pt", unchanged.

    Pictures and arrays are levelled, so that paper is exactly white.
    """
    if output_type == "pt":
        return images
    if output_type == "np":
        return levelled(images).permute(0, 2, 3, 1).numpy()
    if output_type != "pil":
        raise UserError(f"unknown output type {output_type!r}; choose one of pil, np, pt")
    return [Image.fromarray(image) for image in to_grey(images)]


def to_grey(images: Tensor, margin: float = MARGIN) -> np.ndarray:
    """Images (B, 1, H, W) in [-1, 1] as they are saved: uint8 (B, H, W); with a margin of 0, as they were drawn."""
    return (levelled(images, margin)[:, 0] * 255).round().byte().numpy()


def from_grey(images: np.ndarray | Tensor) -> Tensor:
    """Grey pictures, uint8 (B, H, W), as networks see them: float32 (B, 1, H, W) in [-1, 1]. `grey` undoes it."""
    return torch.as_tensor(images)[:, None].float() / 127.5 - 1


def grey(images: Tensor) -> np.ndarray:
    """Noised images (B, 1, H, W) unchanged, as uint8 (B, H, W): what lies beyond [-1, 1] is black or white."""
    return ((images[:, 0].float().clamp(-1, 1) / 2 + 0.5) * 255).round().byte().cpu().numpy()


def levelled(images: Tensor, margin: float = MARGIN) -> Tensor:
    """Images in [-1, 1] as greys in [0, 1], on the CPU, with ink exactly 0 and paper exactly 1.

    A continuous curve: constant up to `margin` from either end, twice as steep over the same width again, and the
    identity in between, so that edges stay as soft as they are.
    """
    grey = images.float().cpu() / 2 + 0.5
    return (grey + relu(grey - (1 - 2 * margin)) - relu(2 * margin - grey)).clamp(0, 1)


def heat(image: np.ndarray, flaws: Tensor) -> Image.Image:
    """The glyph (H, W) with its flaw map (16, 16), logits, in orange: the stronger, the more certain the flaw."""
    chance = Image.fromarray(flaws.sigmoid().numpy()).resize(image.shape[::-1], Image.Resampling.BICUBIC)
    mark = np.clip(np.asarray(chance), 0, 1)[..., None]
    grey = np.repeat(image[..., None] / 255.0, 3, axis=2)
    paint = np.array([0.93, 0.36, 0.13])
    mixed = grey * (1 - 0.75 * mark) + paint * 0.75 * mark
    return Image.fromarray((255 * mixed).round().astype(np.uint8))
