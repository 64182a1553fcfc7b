"""A small server that only this machine can reach."""

import sys
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import Any

from glyffuser.base.errors import UserError


class LocalServer(ThreadingHTTPServer):
    """A server on 127.0.0.1, one thread per connection."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report what went wrong, unless it is that the visitor has left."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def listen(handler: Callable[..., Any], port: int = 0) -> LocalServer:
    """A server on a port, any free one for 0; call its `serve_forever`. UserError if it cannot have the port."""
    try:
        return LocalServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise UserError(f"cannot serve on port {port}: {error.strerror}; choose another --port") from error
