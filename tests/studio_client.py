"""A client for a running studio, built on urllib alone, and pictures for it to send."""

import base64
import io
import json
import struct
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from typing import Any

from PIL import Image

EDITS = ("guidance", "sampler", "negative", "style", "start", "drawing", "strength", "keep", "component")


def ask(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and body of the answer; a POST if there is data."""
    headers = {"content-type": "application/json"} | (headers or {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def wish(prompt: object, **more: Any) -> list[Any]:
    """Positional arguments for the API, with few steps."""
    usual = {"n": 2, "seed": 3, "steps": 2} | more
    return [prompt, usual["n"], usual["seed"], usual["steps"], *(more.get(name) for name in EDITS)]


def call(url: str, data: list[Any]) -> str:
    """What the API streams for positional arguments."""
    status, body = ask(f"{url}/gradio_api/call/draw", json.dumps({"data": data}).encode())
    assert status == 200, body
    return ask(f"{url}/gradio_api/call/draw/{json.loads(body)['event_id']}")[1]


def queue(url: str, visitor: str, data: list[Any]) -> tuple[int, str]:
    """Join the queue for the API's drawing, as gradio's own clients do; returns status and body."""
    functions = json.loads(ask(f"{url}/config")[1])["dependencies"]
    (index,) = (one["id"] for one in functions if one["api_name"] == "draw")
    body = {"data": data, "fn_index": index, "session_hash": visitor, "event_data": None, "trigger_id": None}
    return ask(f"{url}/gradio_api/queue/join", json.dumps(body).encode())


def heard(url: str, visitor: str) -> Iterator[dict[str, Any]]:
    """What a visitor in the queue is told, message by message."""
    with urllib.request.urlopen(f"{url}/gradio_api/queue/data?session_hash={visitor}", timeout=120) as stream:
        for line in stream:
            if line.startswith(b"data: "):
                yield json.loads(line.removeprefix(b"data: "))


def picture(image: Image.Image, kind: str = "PNG") -> str:
    """A picture as a data URL."""
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def bomb(width: int, height: int) -> str:
    """A PNG of a few bytes that claims to be that large, as a data URL."""
    return _png(width, height)


def wordy(length: int) -> str:
    """A small PNG with a comment that is that long once it is unpacked, as a data URL."""
    return _png(1, 1, (b"zTXt", b"Comment\0\0" + zlib.compress(b"a" * length)))


def _png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> str:
    head = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    whole = b"\x89PNG\r\n\x1a\n"
    for kind, data in (head, *chunks, (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b"")):
        whole += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return "data:image/png;base64," + base64.b64encode(whole).decode()
