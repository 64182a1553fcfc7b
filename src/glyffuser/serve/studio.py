"""The studio as a web application, and the server that runs it."""

import inspect
import ipaddress
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from glyffuser.base.errors import UserError
from glyffuser.serve.api import Api
from glyffuser.serve.drawing import Artist
from glyffuser.serve.guard import Guard
from glyffuser.serve.layout import STATIC, build_page

LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]
SANS = ("Source Sans 3", "Open Sans", "Noto Sans", "DejaVu Sans", "Noto Sans CJK SC", "PingFang SC", "system-ui")
GRACE = 2  # seconds that open pages are given when the studio stops
MONO = ("ui-monospace", "DejaVu Sans Mono", "monospace")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_access(host: str, auth: str | None, no_auth: bool) -> tuple[str, str] | None:
    """Who may come in: a name and a password, or None for everyone who reaches the host. UserError if other machines
    would reach the studio and neither option is given, and for contradictory or malformed ones.
    """
    if auth is not None and no_auth:
        raise UserError("--auth and --no-auth ask for opposite things; give one of them")
    if auth is not None:
        user, colon, password = auth.partition(":")
        if not (user and colon and password):
            raise UserError("--auth takes a name and a password, as in --auth me:secret")
        return user, password
    if not is_loopback(host) and not no_auth:
        raise UserError(
            f"--host {host} lets other machines in, and whoever comes can draw here; "
            "add --auth USER:PASSWORD, or --no-auth to let everyone in"
        )
    return None


def build_app(artist: Artist, folder: Path, auth: tuple[str, str] | None = None, hosts: list[str] | None = None) -> Any:
    """The application: the page at /, its API below /gradio_api, and /health, which answers without a password.

    folder: for files that visitors download; gradio's own go where GRADIO_TEMP_DIR says. hosts: names by which the
    page may be requested; None for all.
    """
    page = build_page(artist, folder)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    def health() -> dict[str, Any]:
        """Whether the studio runs, and how many drawings wait."""
        return {"status": "ok", "waiting": len(page._queue)}

    gr.mount_gradio_app(
        app,
        page,
        path="/",
        auth=auth,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css_paths=STATIC / "studio.css",
        allowed_paths=[str(folder)],
    )
    takes = len(inspect.signature(Api.draw).parameters) - 1  # without self
    # The guard is outermost: it reads also the requests that are refused for their host.
    hosted: Any = TrustedHostMiddleware(app, allowed_hosts=hosts) if hosts else app
    return Guard(hosted, {"/gradio_api/call/draw": takes, "/gradio_api/run/draw": takes})


def theme() -> gr.Theme:
    """gradio's plainest theme with the guide's fonts, all from the visitor's own machine; static/studio.css has the
    colours.
    """
    return gr.themes.Base(font=list(SANS), font_mono=list(MONO))


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for everything that the studio and gradio write, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="glyffuser-studio-") as name:
        before = os.environ.get("GRADIO_TEMP_DIR")
        os.environ["GRADIO_TEMP_DIR"] = name
        try:
            yield Path(name)
        finally:
            os.environ.pop("GRADIO_TEMP_DIR") if before is None else os.environ.update(GRADIO_TEMP_DIR=before)


def serve(artist: Artist, host: str, port: int, auth: tuple[str, str] | None, ready: Callable[[str], None]) -> None:
    """Run the studio until it is interrupted; `ready` is called with its address once it listens.

    UserError if the port is taken or the host is not this machine's.
    """
    hosts = LOOPBACK if is_loopback(host) else None
    with private_folder() as folder:
        app = build_app(artist, folder, auth, hosts)
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=GRACE)
        try:
            listening = socket.create_server((host, port), family=family(host))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"cannot listen on {host}, port {port}: {reason}; choose another --port") from error
        with listening:
            shown = f"[{host}]" if ":" in host else host
            _Server(config, lambda: ready(f"http://{shown}:{listening.getsockname()[1]}/")).run(sockets=[listening])


def family(host: str) -> socket.AddressFamily:
    """The address family of a host."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]):
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()
