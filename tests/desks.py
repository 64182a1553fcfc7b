"""A labelling desk and a server in front of it, for tests."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from glyffuser.serve.desk import Desk
from glyffuser.serve.label import serving

PROMPTS = ["gold", "a deep river", "<script>alert(1)</script>"]


@contextmanager
def opened(desk: Desk) -> Iterator[int]:
    """Serve the desk; the context gives the port."""
    with serving(desk) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))  # the longest that `shutdown` waits, s
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def until(true: Callable[[], Any]) -> Any:
    """Call `true` until it returns something, and return that."""
    for _ in range(1200):
        if found := true():
            return found
        time.sleep(0.05)
    raise AssertionError("it never came")
