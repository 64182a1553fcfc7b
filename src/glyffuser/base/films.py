"""From pictures to films: MP4 and WebM with PyAV, which is optional; animated WebP and GIF with Pillow."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.files import atomic_path

GIF_WIDTH = 800  # pixels at most
RATE = "3M"  # bits a second at most: only noise needs more, and nobody looks at its grain


def write_film(frames: Sequence[Image.Image], fps: float, path: Path) -> None:
    """Write pictures of one size as a film, replacing `path`; its suffix names the format. UserError as `writer`."""
    write = writer(path)
    with atomic_path(path) as temporary:
        write(frames, fps, temporary)


def writer(path: Path) -> Callable[[Sequence[Image.Image], float, Path], None]:
    """The function that writes files of this suffix; UserError for an unknown one."""
    if path.suffix.lower() not in WRITERS:
        raise UserError(f"cannot write a film as {path.suffix or path.name!r}; choose one of {', '.join(WRITERS)}")
    return WRITERS[path.suffix.lower()]


def write_mp4(frames: Sequence[Image.Image], fps: float, path: Path) -> None:
    """H.264 in MP4, which every browser and phone plays."""
    _encode(frames, fps, path, "mp4", "libx264", {"crf": "20", "preset": "veryfast", "maxrate": RATE, "bufsize": RATE})


def write_webm(frames: Sequence[Image.Image], fps: float, path: Path) -> None:
    """VP9 in WebM."""
    _encode(frames, fps, path, "webm", "libvpx-vp9", {"crf": "32", "b": RATE, "deadline": "good", "cpu-used": "4"})


def _encode(
    frames: Sequence[Image.Image], fps: float, path: Path, kind: str, codec: str, options: dict[str, Any]
) -> None:
    try:
        import av
    except ImportError as error:
        raise UserError("MP4 and WebM need PyAV; pip install 'glyffuser[export]', or choose .webp or .gif") from error
    width, height = (n // 2 * 2 for n in frames[0].size)  # 4:2:0 colour needs even sides
    with av.open(str(path), "w", format=kind) as container:
        rate = Fraction(fps).limit_denominator(1001)  # exact for halves and the like, and for 24000/1001
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            picture = np.asarray(frame.convert("RGB"))[:height, :width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_webp(frames: Sequence[Image.Image], fps: float, path: Path) -> None:
    """Animated WebP, looping."""
    first, *rest = frames
    first.save(
        path, "WEBP", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0, quality=75, method=2
    )


def write_gif(frames: Sequence[Image.Image], fps: float, path: Path) -> None:
    """Animated GIF, looping, at most GIF_WIDTH wide, in 64 colours: noise does not compress."""
    scale = min(1.0, GIF_WIDTH / frames[0].width)
    size = (round(frames[0].width * scale), round(frames[0].height * scale))
    first, *rest = (frame.resize(size, Image.Resampling.BOX).quantize(64, dither=Image.Dither.NONE) for frame in frames)
    first.save(path, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)


WRITERS = {".mp4": write_mp4, ".webm": write_webm, ".webp": write_webp, ".gif": write_gif}


def rhythm(n: int, hold: int) -> list[int]:
    """The numbers of n frames, the last one repeated `hold` more times so that the eye can rest."""
    return [*range(n), *[n - 1] * hold]
