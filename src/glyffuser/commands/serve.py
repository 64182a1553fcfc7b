"""`glyffuser serve`: the studio, a page to make glyphs in."""

import webbrowser
from dataclasses import dataclass

from glyffuser.base.errors import UserError
from glyffuser.commands.export import OUTLINES
from glyffuser.commands.shared import Flag, need_extra

PACKAGES = ("gradio", *OUTLINES)  # of the extra `serve`


@dataclass
class Serve:
    """Open the studio, a page on this machine for drawing glyphs, reading them and making a font of them.

    Example: glyffuser serve --open

    Nothing leaves the machine. Ctrl-C stops it. docs/STUDIO.md describes the page and its HTTP API.
    """

    port: int = 7860
    """The port it listens on; 0: any free port."""
    host: str = "127.0.0.1"
    """The address it listens on; by default only this machine can reach it."""
    auth: str | None = None
    """USER:PASSWORD that visitors must give."""
    no_auth: Flag = False
    """Let in everyone who reaches --host."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    open: Flag = False
    """Open the page in the browser."""

    def run(self) -> None:
        need_extra("serve", *PACKAGES)
        if not 0 <= self.port < 65536:
            raise UserError(f"--port must be between 0 and 65535, not {self.port}")
        from glyffuser.config import named_model
        from glyffuser.serve.drawing import Artist
        from glyffuser.serve.studio import check_access, is_loopback, serve

        auth = check_access(self.host, self.auth, self.no_auth)
        artist = Artist.load(named_model(self.model))
        if not is_loopback(self.host):
            who = "whoever knows the password" if auth else "whoever reaches it"
            said = f"--host {self.host}: other machines can reach the studio, unencrypted; {who} can draw here"
            print(said, flush=True)
        serve(artist, self.host, self.port, auth, self._ready)

    def _ready(self, address: str) -> None:
        print(f"the studio is at {address} (Ctrl-C stops it)", flush=True)
        if self.open:
            webbrowser.open(address)
