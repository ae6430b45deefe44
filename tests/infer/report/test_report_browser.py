"""The report in a real browser: opened from disk, used by keyboard and by mouse."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from report_helpers import HOSTILE, make_images, write_results

from dps_infer import Metric
from dps_infer.report.build import build_report

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome")

PAIRS = 300
"""So many that most rows are out of sight."""
MAPS = 5


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory, universal: Metric) -> Path:
    """The report of 300 pairs, 0 identical and 299 the worst, and of one broken one."""
    folder = tmp_path_factory.mktemp("report")
    opened = [
        universal.in_context(ranking=text) for text in ("blur,color,rotate", "rotate,color,blur")
    ]
    contexts = {context.label: context for context in opened}
    distinct = make_images(folder, 100)
    pairs = [distinct[number // 3] for number in range(PAIRS)]
    results = write_results(folder / "r.csv", [*pairs, ("reference.png", "gone.png")], contexts)
    report = build_report(results, metrics=contexts, threshold=0.1, worst_pairs=MAPS)
    path = folder / "report.html"
    # As from threshold files: another one for the second context, above which is nothing.
    changed = report.page.replace(b'"thresholds":[0.1,0.1]', b'"thresholds":[0.1,99]')
    assert changed != report.page
    path.write_bytes(changed)
    return path


@pytest.fixture(scope="module")
def tab() -> Iterator[object]:
    """A tab of a browser; opening one for each test would take most of the time."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.set_default_timeout(10_000)
        yield opened
        browser.close()


@pytest.fixture
def page(tab, page_file):
    """The page in a fresh tab; it must neither use the network nor report an error."""
    happened: list[str] = []
    listeners = {
        "console": lambda message: happened.append(message.text),
        "pageerror": lambda error: happened.append(str(error)),
        "dialog": lambda dialog: happened.append(dialog.message),
        "request": lambda request: happened.append(request.url),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    tab.set_viewport_size({"width": 1200, "height": 800})
    tab.emulate_media(color_scheme="light")
    tab.goto(page_file.as_uri())
    tab.wait_for_selector("html[data-ready]")
    yield tab
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    assert [what for what in happened if not what.startswith("data:")] == [page_file.as_uri()]


def names(page) -> list[str]:
    """The candidates of the rows that exist, from the top."""
    rows = page.locator("#grid .row").evaluate_all(
        "rows => rows.sort((a, b) => a.ariaRowIndex - b.ariaRowIndex)"
        ".map(row => row.querySelector('.name bdi').textContent)"
    )
    assert len(rows) < 40
    return rows


def pressed(page) -> str:
    return page.locator("#views [aria-pressed=true]").evaluate("node => node.firstChild.data")


def test_summary_and_order(page):
    tiles = dict(
        page.locator("#summary .tile").evaluate_all(
            "tiles => tiles.map(tile => [...tile.children].reverse().map(node => node.innerText))"
        )
    )
    assert tiles["pairs"] == "301"
    assert tiles["identical"] == "3"
    assert tiles["errors"] == "1"
    assert "above 0.1" in tiles
    assert names(page)[:4] == ["candidate-99.png"] * 3 + ["candidate-98.png"]
    page.keyboard.press("End")
    page.wait_for_function("document.querySelector('[aria-selected=true]').ariaRowIndex === '302'")
    assert names(page)[-2:] == ["candidate-0.png", "gone.png"]


def test_each_context_has_its_own_threshold(page):
    above = page.locator("#summary .tile", has_text="above")
    assert above.inner_text().split()[-1] == "0.1"
    count = int(above.inner_text().split()[0])
    assert 0 < count < 300
    above.click()
    assert page.locator("#shown").inner_text() == f"{count} of 301 pairs"
    page.locator("#context").select_option(label="rotate-color-blur")
    assert above.inner_text().split() == ["0", "above", "99"]
    assert page.locator("#nothing").is_visible()
    page.locator("#kind").select_option("all")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    facts = page.locator("#facts").inner_text()
    assert facts.count("above 0.1") == 1
    assert "above 99" not in facts


def test_sorting(page):
    page.get_by_role("button", name="Name").click()
    assert names(page)[0] == HOSTILE
    page.get_by_role("button", name="Name").click()
    assert names(page)[0] == "gone.png"
    heading = page.locator("#head [aria-sort=descending]")
    assert heading.inner_text().startswith("Name")
    # Another context's distances sort and are shown.
    page.locator("#head .aside button").press("Enter")
    assert names(page)[0] == "candidate-99.png"
    assert page.locator("#explanation .label").inner_text() == "rotate-color-blur"
    page.locator("#context").select_option(label="blur-color-rotate")
    assert page.locator("#explanation .label").inner_text() == "blur-color-rotate"


def test_filtering(page):
    page.keyboard.press("/")
    page.keyboard.type("CANDIDATE-7")
    assert names(page)[::3][:4] == [f"candidate-{n}.png" for n in (79, 78, 77, 76)]
    assert page.locator("#shown").inner_text() == "33 of 301 pairs"
    page.locator("#filter").fill("nothing of that name")
    assert page.locator("#nothing").is_visible()
    page.locator("#filter").fill("")
    page.locator("#summary .tile", has_text="errors").click()
    assert names(page) == ["gone.png"]
    page.locator("#kind").select_option("all")
    bar = page.locator(".bar").first
    bar.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert set(names(page)) <= {HOSTILE, *(f"candidate-{n}.png" for n in range(10))}
    page.locator("#range").click()
    assert page.locator("#shown").inner_text() == "301 pairs"


def test_a_hostile_name_is_text(page):
    page.locator("#filter").fill("onerror")
    cell = page.locator("#grid .name bdi").first
    assert cell.inner_text() == HOSTILE
    assert cell.evaluate("node => node.children.length") == 0
    page.locator("#grid .row").first.click()
    assert HOSTILE in page.locator("#facts").inner_text()
    assert page.locator("img[onerror]").count() == 0


def test_views_by_keyboard(page):
    page.locator("#grid").focus()
    page.keyboard.press("j")
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    assert page.locator("#viewer").is_visible()
    assert pressed(page) == "Side by side"
    assert page.locator("#stage img").count() == 2
    page.keyboard.press("2")
    assert pressed(page) == "Slider"
    before = page.locator("#stage .candidate").evaluate("node => node.style.clipPath")
    page.keyboard.press("ArrowRight")
    after = page.locator("#stage .candidate").evaluate("node => node.style.clipPath")
    assert before != after
    page.keyboard.press("3")
    caption = page.locator("#stage figcaption")
    first = caption.inner_text()
    page.wait_for_function(
        "before => document.querySelector('#stage figcaption').innerText !== before", arg=first
    )
    page.keyboard.press("4")
    opacities = page.locator("#stage canvas").evaluate(
        "node => [...node.getContext('2d').getImageData(0, 0, node.width, node.height).data]"
    )[3::4]
    # The change is in the upper third; nothing covers the rest.
    assert min(opacities[: len(opacities) // 5]) > 30
    assert max(opacities[len(opacities) // 2 :]) < 3
    page.keyboard.press("j")
    assert page.locator("#viewer-title").inner_text() == "2 of 301"
    assert pressed(page) == "Heat map"
    page.keyboard.press("Escape")
    assert not page.locator("#viewer").is_visible()
    assert page.locator("#grid").evaluate("node => node === document.activeElement")
    assert page.locator("#grid [aria-selected=true]").get_attribute("aria-rowindex") == "3"


def test_boxes_can_be_turned_off(page):
    page.locator("#grid .row").first.click()
    page.keyboard.press("4")
    page.wait_for_timeout(100)  # The stage is drawn again when its size changes.
    boxes = page.locator("#stage .box")
    shown = boxes.count()
    assert shown == page.locator("#facts .regions li").count() > 0
    page.keyboard.press("b")
    assert boxes.count() == 0
    page.get_by_role("button", name="Boxes").click()
    assert boxes.count() == shown


def test_a_pair_with_a_heat_map_is_put_into_words(page):
    page.locator("#filter").fill("candidate-99")
    page.locator("#grid .row").first.click()
    facts = page.locator("#facts")
    names = facts.locator("dt").all_inner_texts()
    assert any(name.startswith("turned clockwise by about ") for name in names)
    assert any(name.startswith("softer (about sigma ") for name in names)
    assert "other hues" in names
    # Parts that are 0 have no bar.
    assert len(names) == 3
    assert "more different than JPEG quality 10" in facts.locator(".anchors").inner_text()
    assert "Size, all kinds alike" in facts.inner_text()
    page.keyboard.press("Escape")
    # The results alone hold the names of the parts, and neither directions nor strengths.
    page.locator("#filter").fill("candidate-50")
    page.locator("#grid .row").first.click()
    assert set(facts.locator("dt").all_inner_texts()) == {"rotate", "color", "blur"}
    assert facts.locator(".anchors").count() == 0
    assert "Size" not in facts.inner_text()


def test_views_by_mouse(page):
    page.locator("#grid .row").nth(0).click()
    views = page.locator("#views button")
    for number, title in enumerate(["Side by side", "Slider", "Blink", "Heat map"]):
        views.nth(number).click()
        assert pressed(page) == title
    views.nth(1).click()
    box = page.locator("#stage .frame").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 20)
    page.mouse.up()
    assert page.locator("#controls input").input_value() == "25"
    views.nth(2).click()
    page.get_by_role("button", name="Pause").click()
    caption = page.locator("#stage figcaption").inner_text()
    page.get_by_role("button", name="Swap").click()
    assert page.locator("#stage figcaption").inner_text() != caption
    page.locator("#next").click()
    assert page.locator("#viewer-title").inner_text() == "2 of 301"
    # The other context, of the same pair.
    page.locator("#facts .tile").nth(1).click()
    assert page.locator("#facts .tile").nth(1).get_attribute("aria-pressed") == "true"
    page.locator("#back").click()
    assert not page.locator("#viewer").is_visible()


def test_what_is_missing_is_said(page):
    page.locator("#filter").fill("gone")
    assert page.locator("#grid .missing").count() == 1
    page.locator("#grid .row").first.click()
    assert "no such file" in page.locator("#stage").inner_text()
    page.keyboard.press("Escape")
    page.locator("#filter").fill("candidate-50")
    page.keyboard.press("Escape")
    page.keyboard.press("4")
    assert "not among the worst" in page.locator("#stage").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_sideways_scrolling(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 360, "height": 700})
    wide = "document.documentElement.scrollWidth > window.innerWidth"
    assert not page.evaluate(wide)
    page.keyboard.press("2")
    assert page.locator("#viewer").is_visible()
    assert not page.evaluate(wide)
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper))) < 384) == (scheme == "dark")
