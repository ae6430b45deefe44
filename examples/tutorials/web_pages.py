"""Render web pages in chromium as different machines would, and with changes of their content.

Writes screenshots in the folders ``baselines``, ``rendered`` (the same pages with other
smoothing of fonts, or a fraction of a pixel beside their place) and ``changed`` (one change of
each page), and three tables of pairs: ``acceptable.csv`` and ``more-acceptable.csv``, of different
pages, and ``changed.csv`` with the column change. Needs chromium and playwright:
``python examples/tutorials/web_pages.py -o web-pages``.
"""

from __future__ import annotations

import argparse
import csv
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

SIZE = {"width": 960, "height": 640}
CALIBRATED, CHECKED, CHANGED = 60, 60, 12
"""Pages to calibrate a threshold with, pages to check it on, and pages to change."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Rendering:
    """How a machine renders pages.

    Attributes:
        options: of chromium.
        style: a style sheet that is added to a page.
        density: device pixels per pixel; the screenshot is shrunk to the size of the others.
    """

    options: tuple[str, ...] = ()
    style: str = ""
    density: int = 1


RENDERINGS = {
    "glyphs at whole pixels": Rendering(options=("--disable-font-subpixel-positioning",)),
    "glyphs at fractions of pixels": Rendering(style="body { text-rendering: geometricPrecision }"),
    "double density, shrunk": Rendering(density=2),
    "main part 0.4 pixels to the right": Rendering(style="main { translate: 0.4px }"),
    "page one pixel lower": Rendering(style="body { margin-top: 1px }"),
}

CHANGES = {
    "title": "one('h1').textContent = 'Quarterly report'",
    "word in a text": "one('p').innerHTML = one('p').innerHTML.replace('always', 'never')",
    "number": "one('.number').textContent = '1,024'",
    "color of a state": "one('.state').style.color = other",
    "icon gone": "one('header svg').style.visibility = 'hidden'",
    "button gone": "one('button').style.visibility = 'hidden'",
    "button wider": "one('button').style.width = one('button').offsetWidth + 40 + 'px'",
    "item gone": "one('.item:last-child').remove()",
    "button moved by 8 pixels": "one('button').style.transform = 'translateX(8px)'",
    "main part moved by 8 pixels": "one('main').style.transform = 'translateX(8px)'",
    "texts overlap": "one('p').style.marginTop = '-16px'",
    "color of the header": "one('header').style.background = other",
}
"""By name: what is done to a page, in JavaScript. `other` is another color."""

WORDS = [
    "harbor",
    "lantern",
    "meadow",
    "orchard",
    "pebble",
    "quarry",
    "thistle",
    "juniper",
    "willow",
    "copper",
    "signal",
    "ledger",
    "engine",
    "garden",
    "mirror",
    "paper",
    "river",
    "stone",
    "valley",
    "window",
]
STATES = {"passed": "#1a7f37", "failed": "#cf222e", "waiting": "#9a6700"}
STYLE = """
* { box-sizing: border-box } body { margin: 0; font: 15px/1.5 sans-serif; color: #1f2328 }
header { color: white; padding: 10px 20px; height: 46px; display: flex; gap: 10px }
nav { position: absolute; width: 150px; padding: 16px 20px } main { margin-left: 170px }
h1 { font-size: 26px; margin: 18px 0 4px } p { margin: 6px 0; max-width: 620px }
button { font: inherit; color: white; border: 0; border-radius: 6px; padding: 8px 20px;
         margin: 14px 0 } .number { font-weight: bold }
.table .item { display: grid; grid-template-columns: 2fr 1fr 1fr; border: 1px solid #d1d9e0;
               padding: 6px 12px; width: 720px }
.cards { display: flex; gap: 12px; flex-wrap: wrap; width: 740px }
.cards .item { width: 170px; border: 1px solid #d1d9e0; border-radius: 8px; padding: 10px }
.cards i { display: block; height: 70px; background: linear-gradient(120deg, #f6d365, #7fa7d8) }
.form .item { display: flex; gap: 12px; margin: 8px 0 } .form i { width: 260px; height: 30px;
              border: 1px solid #8c959f; border-radius: 4px } .form b { width: 120px }
.chart { display: flex; align-items: end; gap: 16px; height: 240px }
.chart .item { width: 76px } .chart i { display: block; background: #4c8dd6 }
"""
LAYOUTS = ("table", "cards", "form", "chart")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("web-pages"))
    output: Path = parser.parse_args().output
    for name in ("baselines", "rendered", "changed"):
        (output / name).mkdir(parents=True)
    seeds = range(CALIBRATED + CHECKED)
    # Changed pages are none of those that the threshold comes from.
    changed = range(len(seeds), len(seeds) + CHANGED)
    pairs: list[list[str]] = []
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, BROWSERS)), None)

        def open_page(rendering: Rendering) -> Page:
            browser = playwright.chromium.launch(
                executable_path=path, args=["--no-sandbox", *rendering.options]
            )
            return browser.new_page(viewport=SIZE, device_scale_factor=rendering.density)

        page = open_page(Rendering())
        for seed in (*seeds, *changed):
            shoot(page, html(seed), output / f"baselines/{seed:03}.png")
        for seed in changed:
            for change, script in CHANGES.items():
                name = f"changed/{seed:03}-{change.replace(' ', '-')}.png"
                shoot(page, html(seed), output / name, script)
                pairs.append([f"baselines/{seed:03}.png", name, change])
        for turn, (title, rendering) in enumerate(RENDERINGS.items()):
            page = open_page(rendering)
            for seed in seeds[turn :: len(RENDERINGS)]:
                name = f"{seed:03}.png"
                shoot(page, html(seed, rendering.style), output / "rendered" / name)
                pairs.append([f"baselines/{name}", f"rendered/{name}", title])
    acceptable = sorted(pair for pair in pairs if pair[2] in RENDERINGS)
    write(output / "acceptable.csv", acceptable[:CALIBRATED])
    write(output / "more-acceptable.csv", acceptable[CALIBRATED:])
    write(output / "changed.csv", [pair for pair in pairs if pair[2] in CHANGES])
    print(f"{len(pairs)} pairs written to {output}")


def html(seed: int, style: str = "") -> str:
    """Return a page with random content, in one of four layouts."""
    chosen = random.Random(seed)
    layout = LAYOUTS[seed % len(LAYOUTS)]
    hue = chosen.randrange(360)

    def words(count: int) -> str:
        return " ".join(chosen.choices(WORDS, k=count))

    def item() -> str:
        state = chosen.choice(tuple(STATES))
        drawn = (
            f"<i style='height: {chosen.randrange(30, 160)}px'></i>" if layout != "table" else ""
        )
        drawn = "<i></i>" if layout in ("cards", "form") else drawn
        return (
            f"<div class=item>{drawn}<b>{words(1)}</b> <span class=number>"
            f"{chosen.randrange(10, 999)}</span> <span class=state style='color: {STATES[state]}'>"
            f"{state}</span></div>"
        )

    items = "".join(item() for _ in range(chosen.randrange(4, 8)))
    entries = "".join(f"<div>{words(1).title()}</div>" for _ in range(6))
    color = f"hsl({hue} 45% 32%)"
    return (
        f"<!doctype html><style>{STYLE}{style}</style><header style='background: {color}'>"
        "<svg width=26 height=26><circle cx=13 cy=13 r=12 fill='#f2c14e' /></svg>"
        f"<span>{words(1).title()}</span></header><nav>{entries}</nav><main>"
        f"<h1>{words(2).capitalize()}</h1><p>{words(6).capitalize()} always {words(9)}.</p>"
        f"<div class={layout}>{items}</div>"
        f"<button style='background: {color}'>{words(1).title()}</button></main>"
    )


def shoot(page: Page, content: str, path: Path, script: str = "") -> None:
    """Show a page, change it, and save a screenshot."""
    page.set_content(content)
    if script:
        # The other color of a state; of a header, a turned hue.
        one = "const one = (css) => document.querySelector(css); const other = 'rgb(140, 60, 160)';"
        page.evaluate(f"() => {{ {one} {script} }}")
    page.screenshot(path=path)
    with Image.open(path) as shot:
        if shot.size != tuple(SIZE.values()):
            shot.resize(tuple(SIZE.values()), Image.Resampling.BOX).save(path)


def write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["reference", "candidate", "change"], *rows])


if __name__ == "__main__":
    main()
