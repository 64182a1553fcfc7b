"""Labelling: a local page that shows the pairs of a `Desk` and takes choices.

The server admits only the page that it serves itself: it answers only to its own name, so that no other site's name
can be made to point at it, and takes choices only from its own page.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import Any

from glyffuser.data.pairs import CHOICES
from glyffuser.guide.site.lettering import font_css
from glyffuser.serve.desk import Desk, Refused
from glyffuser.serve.local import LocalServer, listen

LARGEST_BODY = 1024  # bytes of a request
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src data:",
        "font-src data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def page_files() -> dict[str, tuple[str, bytes]]:
    """All that is served besides the pairs: path -> type, content. The look is the guide's."""
    static, guide = files("glyffuser.serve") / "static", files("glyffuser.guide.site") / "static"
    html = (static / "label.html").read_text(encoding="utf-8")
    css = [font_css(html), (guide / "site.css").read_text("utf-8"), (static / "label.css").read_text("utf-8")]
    return {
        "/": ("text/html; charset=utf-8", html.encode()),
        "/label.css": ("text/css; charset=utf-8", "".join(css).encode()),
        "/label.js": ("text/javascript; charset=utf-8", (static / "label.js").read_bytes()),
        "/site.js": ("text/javascript; charset=utf-8", (guide / "site.js").read_bytes()),
    }


class Handler(BaseHTTPRequestHandler):
    """Answers the page: GET of its files and of /pair, POST of /choice and /undo."""

    server: LocalServer
    server_version, sys_version = "glyffuser", ""
    timeout = 30  # seconds that a connection may stay silent

    def __init__(self, desk: Desk, page: dict[str, tuple[str, bytes]], *args: Any):
        self.desk, self.page = desk, page
        super().__init__(*args)

    def do_GET(self) -> None:
        """Send a file of the page, or the pair shown."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Take a choice or an undo; the answer is the pair shown next."""
        self._answer(self._post)

    def _answer(self, ask: Callable[[], tuple[str, bytes]]) -> None:
        status = 200
        try:
            self._check_host()
            kind, body = ask()
        except Refused as refused:
            status, kind, body = refused.status, *packed({"error": str(refused)})
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _get(self) -> tuple[str, bytes]:
        if self.path == "/pair":
            return packed(self.desk.shown())
        if self.path in self.page:
            return self.page[self.path]
        raise Refused(404, "there is nothing here")

    def _post(self) -> tuple[str, bytes]:
        if self.path not in ("/choice", "/undo"):
            raise Refused(404, "there is nothing here")
        if self.headers.get("Origin") != f"http://{self.headers.get('Host')}":
            raise Refused(403, "choices are taken only from this server's own page")
        if self.headers.get_content_type() != "application/json":
            raise Refused(415, "a choice must be JSON")
        wish = self._body()
        if self.path == "/undo":
            self.desk.undo(number_in(wish, {"pair"}))
        else:
            number, choice = number_in(wish, {"pair", "choice"}), wish["choice"]
            if not isinstance(choice, str) or choice not in CHOICES:
                raise Refused(400, f"a choice is one of {', '.join(CHOICES)}")
            self.desk.choose(number, choice)
        return packed(self.desk.shown())

    def _check_host(self) -> None:
        """Raise Refused unless the visitor asked for this server by a name of this machine."""
        if self.headers.get("Host") not in {f"{name}:{self.server.server_port}" for name in ("127.0.0.1", "localhost")}:
            raise Refused(421, "this server answers only to its own address")

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(411, "a request must say how long it is")
        if len(length) > 9 or int(length) > LARGEST_BODY:
            raise Refused(413, f"a request may have at most {LARGEST_BODY} bytes")
        try:
            return json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise Refused(400, "a request must be JSON") from error

    def end_headers(self) -> None:
        """Add HEADERS, on errors too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the terminal is the user's."""


def number_in(wish: Any, names: set[str]) -> int:
    """The number of the pair in a request with exactly these fields; Refused otherwise."""
    if not isinstance(wish, dict) or wish.keys() != names:
        raise Refused(400, f"a request is a JSON object with {' and '.join(sorted(names))}")
    number = wish["pair"]
    if not isinstance(number, int) or isinstance(number, bool):
        raise Refused(400, "a pair is a whole number")
    return number


def packed(facts: dict[str, Any]) -> tuple[str, bytes]:
    """Facts as an answer's type and content."""
    return "application/json", json.dumps(facts).encode()


@contextmanager
def serving(desk: Desk, port: int = 0) -> Iterator[LocalServer]:
    """A server for the desk on 127.0.0.1, on any free port for 0, and a thread that draws; call its `serve_forever`.

    UserError if the port is taken. An error in drawing ends the server and is raised at the end.
    """
    with listen(partial(Handler, desk, page_files()), port) as server:
        failures: list[BaseException] = []

        def work() -> None:
            try:
                desk.draw_ahead()
            except BaseException as error:
                failures.append(error)
                server.shutdown()

        artist = threading.Thread(target=work)
        artist.start()
        try:
            yield server
        finally:
            desk.close()
            artist.join()
    if failures:
        raise failures[0]
