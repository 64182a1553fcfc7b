"""The built site, as files and in a headless browser: pictures load, nothing leaves the page, everything works."""

import re
import shlex
from html.parser import HTMLParser
from pathlib import Path

import pytest

from glyffuser.commands.cli import _parse
from glyffuser.guide.build import build
from glyffuser.guide.catalogue import FIGURES
from glyffuser.guide.inputs import Inputs
from glyffuser.guide.site.pages import write_site

pytestmark = pytest.mark.slow

PAGES = ("index", "chapter-1", "chapter-2", "chapter-3", "glossary", "map")
BUILT = ("gaussian", "map", "density", "forward", "denoise")  # one of each kind; tests/guide/figures has the others


@pytest.fixture(scope="module")
def site(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    made = [*build([FIGURES[name] for name in BUILT], inputs)]
    without_a_log = Inputs(inputs.data_path, inputs.model_path, quick=True, cache=inputs.cache)
    made += build([FIGURES["training"]], without_a_log)
    write_site(made, inputs, out, "glyffuser guide")
    return out


class Tags(HTMLParser):
    """All start tags of a page with their attributes."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))


def tags(site: Path, name: str) -> list[tuple[str, dict[str, str | None]]]:
    return Tags((site / f"{name}.html").read_text(encoding="utf-8")).tags


def test_every_figure_has_its_place_even_if_it_is_missing(site):
    for spec in FIGURES.values():
        ids = [attributes.get("id") for _, attributes in tags(site, f"chapter-{spec.chapter}")]
        assert ids.count(spec.id) == 1, spec.id
    assert "No training log (no run folder is named)" in (site / "chapter-2.html").read_text()
    text = (site / "chapter-3.html").read_text()
    assert "glyffuser guide --only gold" in text


def test_links_pictures_and_terms_lead_somewhere(site):
    anchors = {name: {a.get("id") for _, a in tags(site, name)} for name in PAGES}
    for name in PAGES:
        for _, attributes in tags(site, name):
            for place in filter(None, (attributes.get("href"), attributes.get("src"))):
                if place.startswith(("data:", "#")):
                    continue
                assert not re.match(r"[a-z]+:", place), place
                file, _, anchor = place.partition("#")
                assert (site / file).is_file(), place
                if anchor:
                    assert anchor in anchors[file.removesuffix(".html")], place


def test_ids_are_unique_and_pictures_have_alt_texts(site):
    for name in PAGES:
        found = tags(site, name)
        ids = [attributes["id"] for _, attributes in found if "id" in attributes]
        assert len(ids) == len(set(ids)), name
        assert all(attributes.get("alt") for tag, attributes in found if tag == "img"), name


def test_every_term_of_the_texts_is_in_the_glossary_and_the_other_way_round(site):
    used = set()
    for chapter in (1, 2, 3):
        for tag, attributes in tags(site, f"chapter-{chapter}"):
            if tag == "a" and attributes.get("class") == "term":
                term = str(attributes["href"]).partition("#")[2]
                assert term not in used, f"{term} is explained twice"
                used.add(term)
    listed = re.findall(r'<div id="([^"]+)"><dt>', (site / "glossary.html").read_text())
    assert used == set(listed)


def test_chapters_end_with_what_to_remember_and_a_command_that_exists(site):
    for chapter in (1, 2, 3):
        text = (site / f"chapter-{chapter}.html").read_text()
        assert "What to remember" in text
        commands = re.findall(r"<code>(glyffuser .*?)</code></pre>", text, re.DOTALL)
        for line in "\n".join(commands).splitlines():
            _parse(shlex.split(line)[1:])


def test_a_second_build_takes_everything_from_the_cache(site, inputs):
    assert all(one.cached for one in build([FIGURES[name] for name in BUILT], inputs))


@pytest.fixture
def look(browser, site):
    """A function that opens a page; at the end, none may have failed or asked anything of any host."""
    complaints: list[str] = []
    contexts = []

    def visit(name: str, **settings):
        settings = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | settings
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url[:80]}"))
        page.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "data:")) else complaints.append(f"asked for {r.url[:80]}"),
        )
        page.goto((site / f"{name}.html").as_uri())
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []


LOADED = """async () => {
  const images = [...document.images];
  images.forEach((image) => { image.loading = "eager"; });
  await Promise.all(images.map((image) => image.decode().catch(() => {})));
  return images.filter((image) => !image.naturalWidth).map((image) => image.src.slice(0, 90));
}"""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_every_picture_loads_and_nothing_is_wider_than_the_page(look, name, width, theme):
    page = look(name, viewport={"width": width, "height": 844}, color_scheme=theme)
    assert page.evaluate(LOADED) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def place_of(page, row: int) -> tuple[float, float]:
    """Where a point of the map is in the window."""
    x, y = page.evaluate(f"(({{atlas}}) => [atlas.sx({row}), atlas.sy({row})])(document.querySelector('.atlas'))")
    box = page.locator(".atlas-points").bounding_box()
    return box["x"] + x, box["y"] + y


@pytest.mark.parametrize("name", ["chapter-1", "map"])
def test_hovering_shows_the_glyph_and_what_it_means(look, inputs, name):
    page = look(name)
    page.locator(".atlas-stage").scroll_into_view_if_needed()
    page.locator("[data-invented]").uncheck()
    for row in (0, len(inputs.data) // 2, len(inputs.data) - 1):
        page.mouse.move(*place_of(page, row))
        card = page.locator(".atlas-card")
        card.wait_for(state="visible")
        shown = page.evaluate("document.querySelector('.atlas').atlas.hover")
        text = card.inner_text()
        assert inputs.data.definitions[shown] in text
        assert f"U+{inputs.data.codepoints[shown]:04X}" in text
        assert f"{inputs.data.strokes[shown]} strokes" in text
    dark = "[...document.querySelector('.atlas-card canvas').getContext('2d').getImageData(0, 0, 80, 80).data]"
    assert page.evaluate(f"{dark}.filter((v, i) => i % 4 === 3 && v > 128).length") > 50  # ink


def test_search_finds_by_word_character_and_code_point_and_flies_there(look, inputs):
    page = look("map")
    box = page.get_by_role("searchbox")
    definition, char = inputs.data.definitions[5], inputs.data.chars[5]
    for wanted in (definition, char, f"U+{ord(char):04X}"):
        box.fill(wanted)
        page.locator(".atlas-results button").first.wait_for()
        assert page.evaluate("document.querySelector('.atlas').atlas.hits.has(5)")
    box.press("Enter")
    page.locator(".atlas-card").wait_for(state="visible")
    assert char in page.locator(".atlas-card").inner_text()
    box.fill("zzzzz")
    assert "nothing found" in page.locator(".atlas-results").inner_text()
    box.press("Escape")
    assert box.input_value() == ""


def test_the_map_zooms_moves_and_changes_colours(look):
    page = look("map")
    view = "(() => { const v = document.querySelector('.atlas').atlas.view; return [v.scale, v.x, v.y]; })()"
    before = page.evaluate(view)
    page.locator(".atlas-points").hover()
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"{view}[0] > {before[0]} * 1.2")
    page.mouse.down()
    page.mouse.move(500, 500, steps=3)
    page.mouse.up()
    assert page.evaluate(view)[1:] != before[1:]
    page.get_by_role("button", name="Show the whole map").click()
    assert page.evaluate(view) == before
    canvas = page.locator(".atlas-points")
    canvas.focus()
    canvas.press("+")
    canvas.press("ArrowLeft")
    assert page.evaluate(view)[0] > before[0]
    assert page.evaluate(view)[1] < before[1]
    legend = page.locator(".atlas-legend").inner_text()
    page.get_by_label("colour by").select_option("structure")
    assert "side by side" in page.locator(".atlas-legend").inner_text() != legend


def test_an_invented_glyph_says_what_it_was_to_mean(look, inputs):
    page = look("map")
    page.mouse.move(*place_of(page, len(inputs.data)))
    page.locator(".atlas-card").wait_for(state="visible")
    assert "invented" in page.locator(".atlas-card").inner_text()


def test_a_slider_changes_the_picture_also_by_keyboard(look):
    page = look("chapter-1")
    figure = page.locator("#gaussian")
    slider = figure.get_by_role("slider")
    before = figure.locator("img").get_attribute("src")
    slider.focus()
    slider.press("End")
    assert figure.locator("img").get_attribute("src") != before
    assert slider.get_attribute("aria-valuetext") == figure.locator("output").inner_text()
    assert page.evaluate(LOADED) == []


def test_an_animation_plays_pauses_and_is_scrubbed(look):
    page = look("chapter-2")
    figure = page.locator("#denoise")
    figure.scroll_into_view_if_needed()
    button, slider = figure.get_by_role("button"), figure.get_by_role("slider")
    page.wait_for_timeout(300)
    assert button.inner_text() == "Play"  # motion is reduced here, so nothing has begun
    slider.focus()
    slider.press("Home")
    first = figure.locator("img").get_attribute("src")
    button.click()
    page.wait_for_function("Number(document.querySelector('#denoise input').value) > 1")
    button.click()
    assert button.inner_text() == "Play"
    assert figure.locator("img").get_attribute("src") != first


def test_an_animation_begins_by_itself_where_motion_is_welcome(look):
    page = look("chapter-2", reduced_motion="no-preference")
    page.locator("#denoise").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#denoise button').textContent === 'Pause'")


def test_tabs_by_keyboard(look):
    page = look("chapter-2")
    first, second = page.locator("#forward").get_by_role("tab").all()
    first.focus()
    first.press("ArrowRight")
    assert second.get_attribute("aria-selected") == "true"
    assert page.locator("#forward").get_by_role("slider").is_visible()


def test_the_theme_follows_the_system_and_the_button(look):
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = look("index", color_scheme="dark")
    light = look("index", color_scheme="light")
    night, day = dark.evaluate(paper), light.evaluate(paper)
    assert night != day
    light.get_by_role("button", name="Switch to the dark theme").click()
    assert light.evaluate(paper) == night
