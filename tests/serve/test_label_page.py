"""Labelling: the page, in a browser."""

from collections.abc import Iterator
from typing import Any

import pytest

from desks import opened
from glyffuser.data.pairs import PairFile, read_pairs
from glyffuser.serve.desk import Desk, data_url


@pytest.fixture
def tab(browser, port) -> Iterator[Any]:
    """The open page; it may ask only its own server, and no script may fail."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    context.set_default_timeout(120_000)  # on a busy machine a page takes its time
    page, errors, asked = context.new_page(), [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"http://127.0.0.1:{port}/")
    shows(page, 0)
    yield page
    assert not errors
    assert all(url.startswith((f"http://127.0.0.1:{port}/", "data:")) for url in asked)
    context.close()


def shows(page: Any, number: int) -> None:
    page.wait_for_selector(f"body[data-state=shown][data-pair='{number}']", timeout=60_000)


def test_two_pairs_are_labelled_one_is_undone_and_a_reload_goes_on(tab, desk, source):
    assert tab.inner_text("h1") == source.blank(0).prompt
    assert tab.get_attribute("#left-picture", "src") == data_url(source.draw(0).left)
    assert tab.get_attribute("#right-picture", "alt") == f"the right glyph for {source.blank(0).prompt}"
    tab.keyboard.press("ArrowRight")
    shows(tab, 1)
    tab.keyboard.press("b")
    shows(tab, 2)
    assert [pair.choice for pair in read_pairs(desk.file.path)] == ["right", "bad"]
    assert tab.inner_text("#count") == "2 labelled"
    assert tab.inner_text("#status") == "Both bad. 1 of 2 both bad."
    assert tab.inner_text("h1") == source.blank(2).prompt  # one of the three is a script tag, shown as text
    tab.keyboard.press("Backspace")
    shows(tab, 1)
    assert [pair.choice for pair in read_pairs(desk.file.path)] == ["right"]
    tab.keyboard.press("Control+ArrowLeft")  # the browser's own shortcut
    tab.reload()
    shows(tab, 1)
    assert tab.get_attribute("#left-picture", "src") == data_url(source.draw(1).left)
    tab.click("#left")
    shows(tab, 2)
    tab.click("#bad")
    shows(tab, 3)
    tab.click("#undo")
    shows(tab, 2)
    assert [pair.choice for pair in read_pairs(desk.file.path)] == ["right", "left"]


def test_the_page_is_named_for_screen_readers_and_has_no_way_past_its_server(tab, port):
    for name in ("left", "right", "bad", "undo"):
        assert tab.get_attribute(f"#{name}", "aria-keyshortcuts")
    assert tab.locator("[role=status]").count() == 1
    assert tab.get_by_role("button", name="the left glyph for").count() == 1
    assert tab.locator("script:not([src])").count() == 0


def test_a_page_whose_server_is_gone_says_so(browser, source, tmp_path):
    page = browser.new_page()
    desk = Desk(source, PairFile(tmp_path / "pairs.parquet"))
    with opened(desk) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        shows(page, 0)
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("body[data-state=failed]")
    assert "does not answer" in page.inner_text("#status")
    page.close()
