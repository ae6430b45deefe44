"""Take the picture of the page with sliders that the README shows; needs the built page.

PYTHONPATH=. python clients/js/scripts/picture.py [docs/images/sliders.jpg]
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.shared.browser_runtime import find_browser
from dps_infer.slider_page import built_page, served

ROOT = Path(__file__).parents[3]
PICTURE = ROOT / "docs" / "images" / "sliders.jpg"
CONTEXT = "print-inspection"
IMAGES = ROOT / "examples" / "images"
WIDTH, HEIGHT = 1180, 700


def take(output: Path) -> None:
    """Drop the example images onto the page, choose `CONTEXT`, and take its picture."""
    with served(built_page()) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT}, bypass_csp=True, color_scheme="light"
        )
        page.set_default_timeout(120_000)
        page.goto(address)
        page.wait_for_function("!document.querySelector('#status').textContent.includes('Loading')")
        page.set_input_files("#reference-file", str(IMAGES / "reference.jpg"))
        candidates = [str(IMAGES / f"{name}.jpg") for name in ("shifted", "blurred")]
        page.set_input_files("#candidate-files", candidates)
        page.wait_for_selector("html[data-answered]")
        page.wait_for_selector("html[data-drawn]")
        page.select_option("#preset", CONTEXT)
        page.wait_for_timeout(2000)
        page.screenshot(path=output, full_page=True, type="jpeg", quality=85)
        browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURE)
