"""What a visitor of the studio waits for, from the click on Draw: the first frame, the first prediction, the glyphs.

    python benchmarks/studio.py [--model FOLDER] [--glyphs 9] [--steps 16] [--visits 3] [--threads 2]
                                [--pictures FOLDER]

Starts the studio in this process, opens it in a headless Chromium, presses Draw, and prints the medians. "server" rows
leave out browser and network and show how much is ours. "page" rows are what the page itself measures, from the click
until the frame is painted. Processor seconds, those of this process, say more than seconds where other work is running.
The first frame is the noise of the seed, the next what the network predicts in it. `--pictures` also writes WebP
pictures of the page's states, for the documents and for inspection.
"""

import argparse
import io
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from glyffuser.config import BUNDLED
from glyffuser.generate.request import Request
from glyffuser.serve.drawing import Artist
from glyffuser.serve.studio import serve

MEANING = "#meaning input, #meaning textarea"
STEPS = "#how input[type=number] >> nth=0"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
LOOKS = ("light", "dark", "phone")  # the last one is dark, too
LONG = 600_000  # milliseconds
# Records when Draw is pressed, and when each frame that follows has been painted.
WATCH = """() => {
  window.seen = [];
  let pressed = 0;
  addEventListener('click', (event) => {
    if (event.target.closest('#draw')) { pressed = performance.now(); window.seen = []; }
  }, true);
  new MutationObserver(() => {
    const frame = document.querySelector('#stage .tiles.drawing');
    const step = frame ? frame.dataset.step : document.querySelector('#stage button.tile') && 'done';
    requestAnimationFrame(() => {
      if (step !== null && (window.seen.length || step !== 'done') && window.seen.at(-1)?.[0] !== step)
        window.seen.push([step, (performance.now() - pressed) / 1000]);
    });
  }).observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """The installed Chromium or Chrome, headless."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if found is None:
        raise SystemExit("no Chromium or Chrome here; install one (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def started(artist: Artist) -> str:
    """The address of a studio that runs in a thread until the process ends."""
    addresses: queue.Queue[str] = queue.Queue()
    arguments = (artist, "127.0.0.1", 0, None, addresses.put)
    threading.Thread(target=serve, args=arguments, daemon=True).start()
    return addresses.get(timeout=300)


def on_the_server(artist: Artist, request: Request) -> dict[str, tuple[float, float]]:
    """Seconds and processor seconds from a request to each thing that is shown of it."""
    now: Callable[[], tuple[float, float]] = lambda: (time.perf_counter(), time.process_time())  # noqa: E731
    start, frames, images = now(), [], np.empty((0, 0, 0), np.uint8)
    for frame in artist.draw(request):
        frames.append(now())
        images = frame.images
    artist.read(images)
    ends = {"first frame": frames[0], "first prediction": frames[1], "glyphs": frames[-1], "what is read": now()}
    return {name: (end[0] - start[0], end[1] - start[1]) for name, end in ends.items()}


def on_the_page(page: Any, glyphs: int, steps: int) -> dict[str, float]:
    """Seconds from the click to each thing that is painted."""
    page.fill("#number input[type=number]", str(glyphs))
    page.fill(STEPS, str(steps))
    page.fill(MEANING, "gold")
    page.click("#draw")
    page.wait_for_function("window.seen.at(-1)?.[0] === 'done'")
    seen = page.evaluate("window.seen")
    predicted = next(seconds for step, seconds in seen if step != "0")
    return {"first frame": seen[0][1], "first prediction": predicted, "what is read": seen[-1][1]}


def opened(browser: Any, address: str) -> Any:
    """A page of the studio, unfolded where the steps are set."""
    page = browser.new_context(viewport=WIDE).new_page()
    page.set_default_timeout(LONG)
    page.goto(address)
    page.wait_for_selector("#draw")
    page.evaluate(WATCH)
    page.click("#how button")
    page.wait_for_selector(STEPS)
    return page


def write_webp(png: bytes, path: Path) -> None:
    """A picture of a page, small."""
    Image.open(io.BytesIO(png)).convert("RGB").save(path, "WEBP", quality=80, method=6)


def pictures(page: Any, folder: Path) -> None:
    """Write WebP pictures of the page's states, light and dark, wide and on a phone; it has drawn already."""
    folder.mkdir(parents=True, exist_ok=True)

    def shots(state: str) -> None:
        for look in LOOKS:
            page.emulate_media(color_scheme="light" if look == "light" else "dark")
            page.set_viewport_size(PHONE if look == "phone" else WIDE)
            page.wait_for_timeout(500)
            write_webp(page.screenshot(full_page=True), folder / f"studio-{look}-{state}.webp")

    page.click("button.tile >> nth=1")
    page.wait_for_selector(".detail")
    page.click("#keep-all")
    page.click("#font")
    page.wait_for_selector("#files a")
    write_webp(page.locator("#desk").screenshot(), folder / "studio.webp")
    shots("glyph")
    page.click("#start button")
    page.wait_for_selector("#pad canvas")
    page.fill(MEANING, "")
    page.click("#draw")
    page.wait_for_selector("#status [role=alert]")
    shots("error")
    page.fill(MEANING, "gold")
    page.click("#draw")
    page.wait_for_selector(".tiles.drawing:not([data-step='0'])")
    page.click("#stop")
    page.wait_for_selector("#status :text('Stopped.')")
    shots("stopped")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--glyphs", type=int, default=9)
    parser.add_argument("--steps", type=int, help="default: the model's own")
    parser.add_argument("--visits", type=int, default=3, help="drawings that are timed")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch")
    parser.add_argument("--pictures", type=Path, help="a folder for pictures of the page")
    options = parser.parse_args()
    if options.visits < 1:
        parser.error("--visits must be 1 or more")
    torch.set_num_threads(options.threads)
    artist = Artist.load(options.model)
    options.steps = options.steps or artist.pipe.usual.steps
    address = started(artist)
    print(f"{options.glyphs} glyphs, {options.steps} steps, {options.threads} threads of torch")
    print(f"{'after the click':30s}{'seconds':>10s}{'processor':>12s}", flush=True)
    with chromium() as browser:
        page = opened(browser, address)
        shown = [on_the_page(page, options.glyphs, options.steps) for _ in range(options.visits)]
        for name in shown[0]:
            print(f"{'page: ' + name:30s}{np.median([run[name] for run in shown]):10.2f}", flush=True)
        if options.pictures:
            pictures(page, options.pictures)
    request = Request(prompt="gold", n=options.glyphs, steps=options.steps)
    server = [on_the_server(artist, request) for _ in range(options.visits)]
    for name in server[0]:
        wall, used = np.median([run[name] for run in server], axis=0)
        print(f"{'server: ' + name:30s}{wall:10.2f}{used:12.2f}", flush=True)


if __name__ == "__main__":
    main()
