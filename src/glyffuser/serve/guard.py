"""What stands between the network and gradio: sizes, hosts, files, and what a page may load.

gradio takes files from visitors in three ways: as uploads, as paths that it checks, and as addresses that it fetches.
The studio needs none of them (a drawing arrives as text), so all are refused: nothing leaves this machine, and nothing
on it is opened for a visitor.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LARGEST_BODY = 2 * 2**20  # bytes of a request: a drawing and what goes with it
MOST_READ = 8 * LARGEST_BODY  # bytes of a request that is refused: whoever sends more may find the connection reset
REFUSED = ("/upload", "/proxy=", "/stream/", "/process_recording", "/vibe-", "/deep_link", "/component_server")
FILE_KEYS = {"path", "url", "meta", "orig_name", "is_stream"}  # by which gradio knows a file
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # gradio's page needs both
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'self'",
        "form-action 'self'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


class Guard:
    """An ASGI application around another: refuses what the studio has no use for and adds HEADERS to every answer.

    takes: the number of arguments at each address of the API; those that a program leaves out become null.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], takes: Mapping[str, int]):
        self.app, self.takes = app, takes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] != "websocket":  # the studio has none
                await self.app(scope, receive, send)
            return
        if any(part in scope["path"] for part in REFUSED):
            await _read(receive)
            await _refuse(send, 404, "the studio has nothing here")
            return
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self.app(scope, receive, _with_headers(send))
            return
        body = await _read(receive)
        if body is None:
            await _refuse(send, 413, f"a request may have at most {LARGEST_BODY} bytes")
        elif scope["path"].rstrip("/").endswith("/login"):
            await self.app(scope, _again(body, receive), _with_headers(send))
        elif (reason := wrong(body)) is not None:
            await _refuse(send, 400, reason)
        elif (takes := self.takes.get(scope["path"])) is None:
            await self.app(scope, _again(body, receive), _with_headers(send))
        elif (whole := filled(body, takes)) is None:
            await _refuse(send, 400, f"data must be a list of at most {takes} arguments")
        else:
            headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
            sized = {**scope, "headers": [*headers, (b"content-length", str(len(whole)).encode())]}
            await self.app(sized, _again(whole, receive), _with_headers(send))


def wrong(body: bytes) -> str | None:
    """What is wrong with a request's body, which must be a JSON object that names no files; None if nothing is."""
    if not body:
        return None
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "a request must be JSON"
    if not isinstance(found, dict):
        return "a request must be a JSON object"
    # What a click sends goes only to our own functions, and names glyphs by number.
    todo: list[Any] = [value for name, value in found.items() if name != "event_data"]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            if FILE_KEYS & value.keys():
                return "the studio takes no files; send a drawing as a data URL"
            todo += value.values()
        elif isinstance(value, list):
            todo += value
    return None


def filled(body: bytes, takes: int) -> bytes | None:
    """A JSON object with nulls added to its list "data" for missing arguments; None if it has too many or no list."""
    found = json.loads(body or b"{}")
    data = found.get("data")
    if not isinstance(data, list) or len(data) > takes:
        return None
    return json.dumps({**found, "data": [*data, *[None] * (takes - len(data))]}).encode()


async def _read(receive: Receive) -> bytes | None:
    """Read the body of a request to its end; None if it exceeds LARGEST_BODY, of which at most MOST_READ is read.

    A connection that is closed with something unread in it is reset, and the client may never see why it was refused.
    """
    body, size = bytearray(), 0
    while size <= MOST_READ:
        part = await receive()
        piece = part.get("body", b"")
        size += len(piece)
        if size <= LARGEST_BODY:
            body += piece
        if not part.get("more_body"):  # the end, or a client that has gone
            break
    return bytes(body) if size <= LARGEST_BODY else None


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, and then what the connection gives."""
    given = False

    async def source() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return source


def _with_headers(send: Send) -> Send:
    """A `send` that adds HEADERS."""

    async def sending(part: MutableMapping[str, Any]) -> None:
        if part["type"] == "http.response.start":
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            part = {**part, "headers": [*part.get("headers", []), *added]}
        await send(part)

    return sending


async def _refuse(send: Send, status: int, reason: str) -> None:
    """Answer with a reason in words, as JSON."""
    data = json.dumps({"error": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
