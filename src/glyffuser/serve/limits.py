"""What a visitor may ask for: values of any kind come in, a `Request` goes out, or a UserError in the page's words.

Everything that comes from the page or through the HTTP API passes here first, whatever its type. Two fields of a
`Request` may name files (`init` and `keep`); a visitor's never do.
"""

import base64
import io
from typing import Any

from PIL import Image

from glyffuser.base.errors import UserError
from glyffuser.base.names import SAMPLER_NAMES
from glyffuser.base.pictures import read_image
from glyffuser.generate.edits import EMBEDDED
from glyffuser.generate.mixtures import read_mixture
from glyffuser.generate.pipeline import GlyffuserPipeline
from glyffuser.generate.request import SIDES, Request

MOST_GLYPHS = 16  # of one drawing: one batch
USUAL_GLYPHS = 9
MOST_STEPS = 100
MOST_GUIDANCE = 12.0
LONGEST = 400  # characters of a text; the encoder's own limit, in tokens, is checked afterwards
MOST_PARTS = 3
LARGEST_SEED = 2**53 - 1  # the largest whole number that a page's script holds exactly
PICTURE_BYTES = 2**20  # of a drawing, as it is sent
PICTURE_SIDE = 2048  # pixels
FORMATS = ("PNG", "JPEG", "WEBP")
DATA_URL = "data:image/"
WORDS = {"--init": "the start", "--strength": "the strength", "--keep": "what is kept", "--with": "the component"}
WORDS |= {"--style": "the style", "--sampler": "the sampler", "-n ": "the number of glyphs "}


def in_words(error: UserError) -> str:
    """An error's text, with the page's labels in place of the command's options."""
    text = str(error)
    for option, label in WORDS.items():
        text = text.replace(option, label)
    return text


def read_request(wish: dict[str, Any], pipe: GlyffuserPipeline, page: bool = False) -> Request:
    """The request that a visitor's values ask for; fields that are None or empty get their defaults.

    wish: prompt, n, steps, guidance, sampler, seed, negative, style, start (a character), drawing (a picture as a data
    URL), strength, keep, component. UserError for a value of another type, out of range, too long or unknown, and for
    those that `sample` refuses together. page: whether it comes from the page, which always sends a strength: there
    strength and keep mean nothing unless there is something to start from.
    """
    prompt = _checked(_text(wish.get("prompt"), "the meaning"), "the meaning", pipe)
    negative = _text(wish.get("negative"), "what to steer away from")
    start, drawing = _text(wish.get("start"), "the character"), _drawing(wish.get("drawing"))
    if start and drawing:
        raise UserError("start from a character or from a drawing, not from both; clear one of them")
    if len(start) > 1:
        raise UserError("start from a single character, such as 湖; a picture goes into the drawing")
    init = start or drawing or None
    keep, strength = _one_of(wish.get("keep"), "what is kept", SIDES), wish.get("strength")
    if page and init is None:
        keep = strength = None
    component = _text(wish.get("component"), "the component").replace(",", " ").split()
    if len(component) > MOST_PARTS:
        raise UserError(f"name at most {MOST_PARTS} components, such as 氵 or 馬:right, not {len(component)}")
    request = Request(
        prompt=prompt,
        n=_whole(wish.get("n"), "the number of glyphs", 1, MOST_GLYPHS, USUAL_GLYPHS),
        steps=_whole(wish.get("steps"), "the number of steps", 1, MOST_STEPS, pipe.usual.steps),
        guidance=_number(wish.get("guidance"), "guidance", 0, MOST_GUIDANCE, pipe.usual.guidance),
        sampler=_one_of(wish.get("sampler"), "the sampler", SAMPLER_NAMES),
        seed=_whole(wish.get("seed"), "the seed", 0, LARGEST_SEED, 0),
        negative=_checked(negative, "what to steer away from", pipe) if negative else None,
        style=_one_of(wish.get("style"), "the style", pipe.styles),
        init=init,
        strength=None if strength is None else _number(strength, "the strength", 0.05, 1, 1),
        keep=keep,
        parts=tuple(component),
    )
    request.check()
    request.check_edit()
    return request.settled(pipe.usual)


def _text(value: Any, what: str) -> str:
    """A text of at most LONGEST characters, "" for None, stripped."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"{what} must be a text, not {_kind(value)}")
    if len(value) > LONGEST:
        raise UserError(f"{what} is {len(value)} characters long; at most {LONGEST} can be read")
    return value.strip()


def _checked(text: str, what: str, pipe: GlyffuserPipeline) -> str:
    """A text, checked to be no longer than the encoder reads; a model without text takes the empty one."""
    text = pipe.read(text)
    if pipe.unconditional:
        return text
    most = pipe.text_encoder.config.max_length
    for part in read_mixture(text).texts:
        tokens = len(pipe.text_encoder.tokenizer(pipe.text_encoder.check(part)).input_ids)
        if tokens > most:
            raise UserError(f"{what} is {tokens} tokens long; the text encoder reads {most}: shorten it")
    return text


def _number(value: Any, what: str, low: float, high: float, usual: float) -> float:
    """A number in a range; `usual` for None."""
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{what} must be a number, not {_kind(value)}")
    if not (low <= value <= high):  # also if it is NaN
        try:
            shown = f"{value:g}"
        except OverflowError:
            shown = "so large a number"
        raise UserError(f"{what} must be between {low:g} and {high:g}, not {shown}")
    return float(value)


def _whole(value: Any, what: str, low: int, high: int, usual: int) -> int:
    """A whole number in a range; `usual` for None."""
    if isinstance(value, int) and not isinstance(value, bool) and not low <= value <= high:
        raise UserError(f"{what} must be between {low} and {high}")  # it may be too long to print, or to be a float
    number = _number(value, what, low, high, usual)
    if number != int(number):
        raise UserError(f"{what} must be a whole number, not {number:g}")
    return int(number)


def _one_of(value: Any, what: str, known: Any) -> str | None:
    """One of some names; None for None or ""."""
    text = _text(value, what)
    if text and text not in known:
        choices = ", ".join(known) or "none with this model"
        raise UserError(f"{what} can be one of: {choices}")
    return text or None


def _drawing(value: Any) -> str:
    """A data URL's picture as `Request.init` takes it, a grey PNG on white; "" for none. Its size is checked before
    it is unpacked, so that a small file cannot fill the memory.
    """
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or not value.startswith(DATA_URL):
        raise UserError("the drawing must be a picture as a data URL, data:image/png;base64,...")
    if len(value) > PICTURE_BYTES:
        raise UserError(f"the drawing is larger than {PICTURE_BYTES // 2**20} MiB; make it smaller")
    try:
        data = base64.b64decode(value.partition(",")[2], validate=True)
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            width, height = opened.size
        grey = read_image(io.BytesIO(data), "L") if max(width, height) <= PICTURE_SIDE else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError("the drawing is no picture that can be read; send a PNG, JPEG or WebP") from error
    if grey is None:
        raise UserError(f"the drawing is {width} x {height}; at most {PICTURE_SIDE} pixels per side")
    if width != height:
        raise UserError(f"the drawing is {width} x {height} pixels; it must be square")
    buffer = io.BytesIO()
    grey.save(buffer, "PNG")
    return EMBEDDED + base64.b64encode(buffer.getvalue()).decode()


def _kind(value: Any) -> str:
    """The kind of a value, as JSON calls it."""
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "an object",
    }
    return kinds.get(type(value), "an unknown kind")
