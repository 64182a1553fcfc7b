"""A small server that this machine alone reaches."""

import sys
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from glyffuser.base.errors import UserError


class LocalServer(ThreadingHTTPServer):
    """A server on 127.0.0.1, one thread a connection."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong, unless it is the visitor who has left."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def listen(handler: Callable[..., Any], port: int = 0) -> LocalServer:
    """A server at a port, any free one for 0; call its `serve_forever`. UserError where it cannot have the port."""
    try:
        return LocalServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise UserError(f"cannot serve on port {port}: {error.strerror}; choose another --port") from error
