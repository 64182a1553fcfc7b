"""The explorer's folder and its speed: its size, seconds from opening to the first glyph, and for each later one.

    python benchmarks/explorer.py [--page FOLDER] [--model FOLDER] [--data FILE] [--draws 3] [--pictures FOLDER]

Writes the page unless FOLDER holds one, opens it in a headless Chromium, from the file system (one thread) and from the
server of `glyffuser explorer --open` (several), and prints what the page itself measures: seconds until the first glyph
is drawn, and the median of further drawings with other seeds, at the page's default number of steps. Processor seconds
are the browser's; they say more than seconds where other work is running. `--pictures` also writes WebP pictures of the
page's states, for the documents and for inspection.
"""

import argparse
import threading
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from studio import LOOKS, PHONE, WIDE, chromium, write_webp

from glyffuser.config import BUNDLED, DATA
from glyffuser.guide.inputs import Inputs
from glyffuser.serve.explorer import server, write_explorer

DRAWN = "document.body.dataset.state === 'drawn'"
MAP = "document.body.dataset.map === 'open'"
LONG = 600_000  # milliseconds


def used() -> float:
    """Processor seconds used by this process's running children."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


def seconds(page: Any, name: str) -> float:
    """A number measured by the page."""
    return float(page.evaluate(f"document.body.dataset.{name}"))


def drawn(page: Any, seed: int) -> None:
    """Have the page draw, and wait until it is done."""
    page.fill("#seed", str(seed))
    page.evaluate("document.body.dataset.state = 'asked'")
    page.click("#draw")
    page.wait_for_function(DRAWN, timeout=LONG)


def visit(browser: Any, address: str, draws: int, folder: Path | None) -> dict[str, float]:
    """One visit: seconds and processor seconds to the first glyph and for a later one; threads."""
    page = browser.new_context(viewport=WIDE).new_page()
    start = used()
    page.goto(address)
    page.wait_for_function(DRAWN, timeout=LONG)
    facts = {"threads": seconds(page, "threads"), "first": seconds(page, "first"), "first used": used() - start}
    page.wait_for_function(MAP, timeout=LONG)
    later, start = [], used()
    for seed in range(1, draws + 1):
        drawn(page, seed)
        later.append(seconds(page, "seconds"))
    facts |= {"later": float(np.median(later)), "later used": (used() - start) / draws}
    if folder:
        pictures(page, folder)
    page.context.close()
    return facts


def pictures(page: Any, folder: Path) -> None:
    """Write WebP pictures of the page half-way through two drawings, light and dark, wide and on a phone."""
    folder.mkdir(parents=True, exist_ok=True)
    page.fill("#prompt-2", "a kind of fish")
    drawn(page, 0)
    middle = int(page.input_value("#step")) // 2
    page.locator("#step").fill(str(middle))
    page.wait_for_function(f"document.body.dataset.step === '{middle}'", timeout=LONG)
    lanes, hands = (page.locator(part).first.bounding_box() for part in (".lanes", ".hands"))
    clip = {"x": lanes["x"] - 10, "y": lanes["y"] - 10, "width": lanes["width"] + 20}
    clip["height"] = hands["y"] + hands["height"] - lanes["y"] + 20
    write_webp(page.screenshot(full_page=True, clip=clip), folder / "explorer.webp")
    for look in LOOKS:
        page.emulate_media(color_scheme="light" if look == "light" else "dark")
        page.set_viewport_size(PHONE if look == "phone" else WIDE)
        page.wait_for_timeout(500)
        write_webp(page.screenshot(full_page=True), folder / f"explorer-{look}.webp")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=Path("page"), help="where the page is, or is written")
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--draws", type=int, default=3, help="drawings that are timed after the first")
    parser.add_argument("--only", choices=["file", "server"], nargs="+", default=["file", "server"])
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the page")
    options = parser.parse_args()
    index = options.page / "index.html"
    if not index.is_file():
        write_explorer(Inputs(options.data, options.model), options.page)
    size = sum(file.stat().st_size for file in options.page.rglob("*") if file.is_file())
    print(f"the folder holds {size / 1e6:.1f} MB")
    with chromium() as browser, server(options.page) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        addresses = {"file": index.resolve().as_uri(), "server": f"http://127.0.0.1:{running.server_port}/"}
        heads = ("threads", "first glyph", "processor", "later", "processor")
        print(f"{'opened from':12s}" + "".join(f"{head:>13s}" for head in heads))
        for name in options.only:
            facts = visit(
                browser, addresses[name], options.draws, options.pictures if name == options.only[0] else None
            )
            row = "".join(f"{facts[key]:13.1f}" for key in ("first", "first used", "later", "later used"))
            print(f"{name:12s}{facts['threads']:13.0f}{row}", flush=True)
        running.shutdown()


if __name__ == "__main__":
    main()
