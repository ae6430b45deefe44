"""Draw pages of an imaginary web application, twice and with changes, for tests of its interface.

Writes three folders of screenshots. ``baselines`` has 32 different pages and ``rendered`` the same
pages as another machine would render them: text that is smoothed differently or lies half a pixel
beside its place, or a page that lies one pixel lower. ``changed`` has one page with one change of
its content or layout each. ``acceptable.csv`` lists the pairs of the first two, and
``changed.csv`` the changes. docs/tutorials/ui-regression.md shows how to use them:
``python examples/tutorials/ui_pages.py -o pages``.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 720, 480
PAGES = 32
THEMES = ("#22304a", "#2d5a46", "#5a2d4f", "#39424e")
STATES = {"paid": "#1a7f37", "late": "#cf222e", "open": "#9a6700"}
NAMES = ("Harbor", "Juniper", "Lantern", "Meadow", "Orchard", "Pebble", "Quarry", "Thistle")
INK, GRAY, LINE = "#1f2328", "#59636e", "#d1d9e0"


@dataclass(frozen=True)
class Page:
    """What a page shows. `moved` is the table's distance from its place, in pixels."""

    title: str
    theme: str
    rows: tuple[tuple[str, str, int], ...]
    button: str = "Save"
    button_width: int = 110
    picture: bool = True
    border: int = 1
    moved: int = 0


@dataclass(frozen=True)
class Rendering:
    """How a machine renders pages: where text lies, and how it is smoothed."""

    text_x: float = 0
    page_y: int = 0
    smooth: bool = False


RENDERINGS = (
    Rendering(smooth=True),
    Rendering(text_x=0.5),
    Rendering(page_y=1),
    Rendering(text_x=0.25, smooth=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("pages"))
    output: Path = parser.parse_args().output
    for name in ("baselines", "rendered", "changed"):
        (output / name).mkdir(parents=True)
    acceptable = []
    for number in range(PAGES):
        page, name = random_page(number), f"{number:02}.png"
        draw(page).save(output / "baselines" / name)
        rendering = RENDERINGS[number % len(RENDERINGS)]
        draw(page, rendering).save(output / "rendered" / name)
        acceptable.append((f"baselines/{name}", f"rendered/{name}"))
    page = random_page(0)
    for name, change in CHANGES.items():
        draw(change(page)).save(output / "changed" / f"{name}.png")
    write_pairs(output / "acceptable.csv", acceptable)
    changed = [("baselines/00.png", f"changed/{name}.png") for name in CHANGES]
    write_pairs(output / "changed.csv", changed)
    print(f"{len(acceptable)} acceptable pairs and {len(changed)} changes written to {output}")


def random_page(seed: int) -> Page:
    """Return a page with random content."""
    chosen = random.Random(seed)
    rows = tuple(
        (chosen.choice(NAMES), chosen.choice(tuple(STATES)), chosen.randrange(10, 990))
        for _ in range(chosen.randrange(4, 8))
    )
    return Page(f"Invoices of {chosen.choice(NAMES)}", chosen.choice(THEMES), rows)


def first_row(**values: object) -> Callable[[Page], Page]:
    """Return a change of the first row: of its name, state or amount."""

    def change(page: Page) -> Page:
        before = dict(zip(("name", "state", "amount"), page.rows[0], strict=True))
        return replace(page, rows=(tuple((before | values).values()), *page.rows[1:]))

    return change


CHANGES: dict[str, Callable[[Page], Page]] = {
    "amount": first_row(amount=1000),
    "border": lambda page: replace(page, border=2),
    "button-gone": lambda page: replace(page, button=""),
    "button-wider": lambda page: replace(page, button_width=150),
    "name": first_row(name="Windmill"),
    "picture-gone": lambda page: replace(page, picture=False),
    "row-gone": lambda page: replace(page, rows=page.rows[:-1]),
    "state": first_row(state="late"),
    "table-moved": lambda page: replace(page, moved=8),
    "theme": lambda page: replace(page, theme=THEMES[1]),
    "title": lambda page: replace(page, title="Receipts"),
}


def draw(page: Page, rendering: Rendering = Rendering()) -> Image.Image:
    """Draw a page: RGB, 720 x 480."""
    scale = 4 if rendering.smooth else 1
    image = Image.new("RGB", (WIDTH * scale, HEIGHT * scale), "white")
    canvas = ImageDraw.Draw(image)

    def box(left: int, top: int, right: int, bottom: int, **style: object) -> None:
        top, bottom = top + rendering.page_y, bottom + rendering.page_y
        # The last pixel of a box belongs to it.
        edges = [left * scale, top * scale, right * scale - 1, bottom * scale - 1]
        if "width" in style:
            style["width"] = int(str(style["width"])) * scale
        canvas.rectangle(edges, **style)  # type: ignore[arg-type]

    def text(left: float, top: int, words: str, size: int = 15, color: str = INK) -> None:
        place = ((left + rendering.text_x) * scale, (top + rendering.page_y) * scale)
        canvas.text(place, words, color, ImageFont.load_default(size * scale))

    box(0, 0, WIDTH, 44, fill=page.theme)
    text(16, 12, "Ledger", 18, "white")
    if page.picture:
        box(676, 10, 700, 34, fill="#e8b04a")
    box(0, 44, 130, HEIGHT, fill="#f0f3f6")
    for number, entry in enumerate(("Home", "Invoices", "Customers", "Settings")):
        text(16, 64 + 30 * number, entry)
    text(154, 62, page.title, 24)
    text(154, 98, "Amounts include taxes. Late invoices are sent again on Monday.", 13, GRAY)
    for number, (name, state, amount) in enumerate(page.rows):
        top = 130 + page.moved + 34 * number
        box(154, top, 700, top + 34, outline=LINE, width=page.border)
        text(166, top + 8, name)
        text(380, top + 8, state, color=STATES[state])
        text(600, top + 8, f"{amount}.00")
    if page.button:
        box(700 - page.button_width, 410, 700, 446, fill="#3b6fd4")
        text(712 - page.button_width, 418, page.button, 16, "white")
    return image.resize((WIDTH, HEIGHT), Image.Resampling.BOX) if scale > 1 else image


def write_pairs(path: Path, pairs: list[tuple[str, str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("reference", "candidate"), *pairs])


if __name__ == "__main__":
    main()
