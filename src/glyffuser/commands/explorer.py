"""`glyffuser explorer`: the model in a page of its own."""

import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from glyffuser.base.errors import UserError
from glyffuser.commands.guide import PACKAGES, inputs_of
from glyffuser.commands.progress import Progress
from glyffuser.commands.shared import Flag, importing, need_extra, print_results
from glyffuser.config import DATA


@dataclass
class Explorer:
    """Write a page that runs the model in a browser, with no server: step through a drawing, set guidance by hand.

    Example: glyffuser explorer --out page/ --open

    page/index.html also opens from the file system, where it computes in one thread; --open serves it on this machine
    only, so that it may use several, and opens a browser.
    """

    out: Path = Path("page")
    """Folder for the page."""
    model: str = "bundled"
    """A model folder or run folder; default: the bundled model."""
    data: Path = DATA
    """The data set of the map; if the default one is missing, it is built first."""
    open_page: Annotated[Flag, arg(name="open")] = False
    """Serve the page on 127.0.0.1 and open a browser, until Ctrl-C."""
    port: int = 0
    """The port to serve on; 0: any free port."""
    json: Flag = False
    """Print the results as JSON."""

    def run(self) -> None:
        need_extra("onnx", "onnx", "onnxruntime", "onnxscript")
        need_extra("guide", *PACKAGES)
        if not 0 <= self.port < 2**16:
            raise UserError(f"port must be between 0 and 65535, not {self.port}")
        with importing():
            from glyffuser.serve.explorer import check_folder, server, write_explorer

        check_folder(self.out)
        with Progress("explorer") as progress:
            page = write_explorer(inputs_of(self.data, self.model), self.out, progress.at)
        facts = {"page": str(page.index), "bytes": page.bytes}
        print_results(self.json, facts, [f"open {page.index} (the folder holds {page.bytes / 1e6:.1f} MB)"])
        if self.open_page:
            with server(self.out, self.port) as running:
                address = f"http://127.0.0.1:{running.server_port}/"
                print(f"serving {address} until Ctrl-C", file=sys.stderr)
                webbrowser.open(address)
                running.serve_forever()
