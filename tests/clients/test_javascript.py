"""The JavaScript client in Node and in a headless Chromium, and the page with sliders."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import tarfile
import time
import zlib
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
from client_helpers import run

from dps_infer import Metric
from dps_infer.contexts.saved import read_saved
from dps_infer.errors import UsageError
from dps_infer.model import embedded
from dps_infer.slider_page import find_page, served

sync_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ROOT = Path(__file__).parents[2]

PATIENCE = 300_000
"""Milliseconds that the browser gets to load and compile onnxruntime on a busy machine."""

FRAME = 16
"""Milliseconds in which a slider must be answered."""

SIDE = 400
"""Pixels of the pictures: several cells, and quickly compared."""

SPOT = (280, 120)
"""Its center in one of them, x and y."""

MOST_KILOBYTES = 60
"""Of the packed client without the context file."""


@pytest.fixture(scope="module")
def tab() -> Iterator[object]:
    if BROWSER is None:
        pytest.skip("needs chromium or google-chrome")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        opened = browser.new_context(permissions=["clipboard-read", "clipboard-write"]).new_page()
        opened.set_default_timeout(PATIENCE)
        yield opened
        browser.close()


def photograph(height: int, width: int) -> np.ndarray:
    """Smooth colors and fine detail, uint8 BGR."""
    random = np.random.default_rng(0)
    smooth = cv2.resize(random.integers(0, 256, (9, 9, 3), dtype=np.uint8), (width, height))
    grain = cv2.resize(
        random.integers(0, 40, (height // 3, width // 3), dtype=np.uint8), (width, height)
    )
    return cv2.add(cv2.convertScaleAbs(smooth, alpha=0.8), cv2.merge([grain] * 3))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A picture, and changed ones."""
    folder = tmp_path_factory.mktemp("images")
    image = photograph(SIDE, SIDE)
    spot = image.copy()
    cv2.circle(spot, SPOT, 16, (20, 30, 230), -1)
    images = {
        "reference": image,
        "softer": cv2.GaussianBlur(image, (0, 0), 2),
        "darker": cv2.convertScaleAbs(image, alpha=0.7),
        "spot": spot,
        "small": image[: SIDE // 2],
    }
    for name, pixels in images.items():
        cv2.imwrite(str(folder / f"{name}.png"), pixels)
    return {name: folder / f"{name}.png" for name in images}


# --- The client -------------------------------------------------------------------------


def test_the_clients_own_tests_pass_in_node(client):
    found = run(
        client,
        "node",
        "--test",
        "--test-reporter=tap",
        *sorted(str(path) for path in (client / "test").glob("*.test.mjs")),
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert re.search(r"^# fail 0$", found.stdout, flags=re.MULTILINE)


LEANER = """
import { Metric } from "./dist/index.js";
const image = (step) => ({
  data: Uint8Array.from({ length: 64 * 48 * 3 }, (_, index) => (index * step) % 251),
  width: 64, height: 48,
});
const [file] = process.argv.slice(1);
const metric = await Metric.load(file, { ranking: "color,*,blur" });
const { distance, strengths } = await metric.compare(image(3), image(5));
const refused = await metric.compare(image(3), image(5), { map: true }).catch((error) => error);
console.log(JSON.stringify({ distance, strengths, refused: refused.message ?? null }));
"""


def test_a_leaner_file_gives_what_it_has_and_refuses_the_rest(client, tmp_path):
    pytest.importorskip("onnx", reason="needs the extra export")
    from dps_export.lean.choice import Lean
    from dps_export.lean.embedded import export_embedded

    export_embedded(tmp_path / "lean.onnx", Lean(outputs=("distance", "amounts")))
    whole, lean = (
        json.loads(run(client, "node", "--input-type=module", "-e", LEANER, str(file)).stdout)
        for file in (embedded.UNIVERSAL, tmp_path / "lean.onnx")
    )
    assert lean["distance"] == pytest.approx(whole["distance"], rel=1e-5)
    assert (lean["strengths"], whole["refused"]) == ({}, None)
    assert lean["refused"] == "the file has no map: export the context again"


def test_the_packed_client_is_small(client, tmp_path):
    packed = run(client, "npm", "run", "bundle", "--", "--pack-destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as inside:
        sizes = {member.name: member.size for member in inside}
        scripts = [name for name in sizes if name.endswith((".js", ".d.ts"))]
        assert {"package/dist/index.js", "package/dist/index.d.ts"} <= set(scripts)
        assert "package/universal.onnx" in sizes
        assert not [name for name in sizes if "node_modules" in name or "test" in name]
    # Without the file, which is hardly compressed.
    rest = archive.stat().st_size - compressed_size(ROOT / "dps_infer/model/universal.onnx")
    assert rest < 1000 * MOST_KILOBYTES


def compressed_size(path: Path) -> int:
    return len(zlib.compress(path.read_bytes(), 9))


class Site(SimpleHTTPRequestHandler):
    """The client, its tests, the vectors and onnxruntime-web under one address."""

    def __init__(self, *arguments: object, places: dict[str, Path]) -> None:
        self.places = places
        super().__init__(*arguments)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        for prefix, place in self.places.items():
            if path == prefix or (prefix.endswith("/") and path.startswith(prefix)):
                return str(place / path.removeprefix(prefix))
        return "/nonexistent"

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        page = b"<!doctype html><link rel=icon href=data:,><title>conformance</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def guess_type(self, path: object) -> str:
        kinds = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
        return kinds.get(Path(str(path)).suffix, "application/octet-stream")

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


def test_chromium_meets_the_vectors_in_a_worker(client, tab):
    places = {
        "/dist/": client / "dist",
        "/test/": client / "test",
        "/ort/": client / "node_modules" / "onnxruntime-web" / "dist",
        "/conformance/": ROOT / "clients" / "conformance",
        "/universal.onnx": ROOT / "dps_infer" / "model" / "universal.onnx",
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Site, places=places)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        tab.goto(f"http://127.0.0.1:{server.server_port}/")
        found = tab.evaluate("async () => (await import('/test/browser.mjs')).run('wasm')")
        server.shutdown()
    print(json.dumps(found["largest"]))
    assert found["device"] == "wasm"
    assert found["failures"] == []
    assert found["checked"] > 200


# --- The page ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address(client) -> Iterator[str]:
    """The page behind a server that knows nothing of it, as `python -m http.server` is."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Quiet.of(client / "page-dist")) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """`python -m http.server` without its lines."""

    @classmethod
    def of(cls, folder: Path) -> partial[Quiet]:
        return partial(cls, directory=str(folder))

    def log_message(self, *arguments: object) -> None:
        """Print nothing."""


@pytest.fixture(scope="module")
def opened(tab, address):
    """The page, once: to load it takes longer than all else. It must ask this machine only."""
    happened: list[str] = []
    asked: list[str] = []
    listeners = {
        "console": lambda message: happened.append(message.text),
        "pageerror": lambda error: happened.append(str(error)),
        "requestfailed": lambda request: happened.append(request.url),
        "request": lambda request: asked.append(request.url),
    }
    for event, listener in listeners.items():
        tab.on(event, listener)
    tab.goto(address)
    tab.wait_for_selector("html[data-ready]")
    yield tab, happened
    for event, listener in listeners.items():
        tab.remove_listener(event, listener)
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@pytest.fixture
def page(opened):
    """The page without images, in the general context; it must report no error."""
    tab, happened = opened
    tab.set_viewport_size({"width": 1280, "height": 900})
    tab.click("#clear")
    tab.click("[name=how][value=sliders]")
    tab.select_option("#preset", "print-inspection")
    tab.select_option("#preset", "general")
    yield tab
    assert happened == []


def drop(page, *paths: Path) -> float:
    """Drop files onto the page; returns the seconds until the last one is answered."""
    contents = [[path.name, list(path.read_bytes())] for path in paths]
    transfer = page.evaluate_handle(
        """contents => {
            const transfer = new DataTransfer();
            for (const [name, bytes] of contents) {
                transfer.items.add(new File([Uint8Array.from(bytes)], name, {type: "image/png"}));
            }
            return transfer;
        }""",
        contents,
    )
    started = time.perf_counter()
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})
    page.wait_for_selector("html[data-answered]")
    return time.perf_counter() - started


def slide(page, kind: str, step: int) -> float:
    """Move a slider; returns the milliseconds until everything but the map has changed."""
    page.evaluate(
        """([kind, step]) => {
            const slider = document.querySelector(`[data-kind=${kind}]`);
            slider.value = step;
            slider.dispatchEvent(new Event("input"));
        }""",
        [kind, step],
    )
    return float(page.get_attribute("html", "data-updated"))


def distances(page) -> dict[str, float]:
    return {
        row.query_selector(".name").inner_text().removesuffix(".png"): float(
            row.query_selector("b").inner_text()
        )
        for row in page.query_selector_all("#candidates button")
    }


def test_dropped_pictures_are_compared_and_sliders_answer_at_once(page, files):
    seconds = drop(page, files["reference"], files["softer"])
    print(f"first answer after {seconds:.2f} s")
    drop(page, files["darker"], files["spot"])
    found = distances(page)
    metric = Metric.universal(importances={"size": 1.0}, device="cpu")
    for name, distance in found.items():
        expected = metric.compare(files["reference"], files[name]).distance
        assert distance == pytest.approx(expected, abs=0.006)
    assert list(found.values()) == sorted(found.values())

    slide(page, "size", 0)
    # On a busy machine other programs take their turns: the best of three rounds counts.
    rounds = [[slide(page, "blur", step) for step in range(1, 120, 7)] for _ in range(3)]
    medians = [statistics.median(times) for times in rounds]
    print(f"sliders: medians of {', '.join(f'{one:.1f}' for one in medians)} ms")
    assert min(medians) < FRAME
    blurred = distances(page)
    assert list(blurred)[-1] == "softer"
    assert blurred["darker"] < blurred["softer"]
    slide(page, "blur", 0)
    slide(page, "darken", 120)
    assert list(distances(page))[-1] == "darker"


def test_the_map_shows_the_place_and_follows_the_context(page, files):
    drop(page, files["reference"], files["spot"])
    page.wait_for_selector("html[data-drawn]")
    page.wait_for_function("() => document.querySelectorAll('#boxes div').length === 1")
    box = page.query_selector("#boxes div").bounding_box()
    canvas = page.query_selector("#canvas").bounding_box()
    scale = min(canvas["width"], canvas["height"]) / SIDE
    left = canvas["x"] + (canvas["width"] - SIDE * scale) / 2
    assert box["x"] <= left + SPOT[0] * scale <= box["x"] + box["width"]
    assert box["y"] <= canvas["y"] + SPOT[1] * scale <= box["y"] + box["height"]
    before = page.evaluate("document.querySelector('#canvas').toDataURL()")
    slide(page, "size", 5)
    page.wait_for_function(
        "before => document.querySelector('#canvas').toDataURL() !== before", arg=before
    )


def test_an_order_is_set_by_keyboard_and_copied(page, files, tmp_path):
    drop(page, files["reference"], files["darker"], files["softer"])
    page.focus("[name=how][value=sliders]")
    page.keyboard.press("ArrowRight")
    names = page.locator("#places li").evaluate_all("all => all.map(one => one.dataset.kind)")
    assert set(names) == {*Metric.universal(ranking="color,blur").part_names}
    page.focus("[aria-label='darken: less disruptive']")
    page.keyboard.press("Enter")
    focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert focused.startswith("darken: ")
    page.click("#copy-command")
    page.wait_for_function("() => document.querySelector('#copied').textContent !== ''")
    command = page.evaluate("navigator.clipboard.readText()")
    ranking = re.search(r"--ranking '(.*)'", command)
    assert ranking
    metric = Metric.universal(ranking=ranking[1], device="cpu")
    assert metric.ranking[0] == ("darken",)
    for name, distance in distances(page).items():
        expected = metric.compare(files["reference"], files[name]).distance
        assert distance == pytest.approx(expected, rel=0.06, abs=0.006)
    page.click("#copy-toml")
    page.wait_for_function(
        "() => document.querySelector('#command').textContent.startsWith('format')"
    )
    (tmp_path / "by-hand.toml").write_text(page.evaluate("navigator.clipboard.readText()"))
    assert read_saved(tmp_path / "by-hand.toml").ranking == metric.ranking


def test_wrong_files_are_told_and_the_rest_goes_on(page, files, tmp_path):
    (tmp_path / "words.png").write_text("no picture")
    page.set_input_files("#reference-file", str(tmp_path / "words.png"))
    page.wait_for_selector("#status.error")
    assert "no image" in page.inner_text("#status")
    drop(page, files["reference"], files["small"], files["darker"])
    rows = page.query_selector_all("#candidates button")
    assert "sizes differ" in rows[-1].inner_text()
    assert rows[0].query_selector(".name").inner_text() == "darker.png"


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (820, 1100), (360, 740)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_in_any_size(page, width, height, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    page.click("#example")
    page.wait_for_selector("html[data-answered='4']")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for selector in ("button:visible", ".button", "select:visible"):
        for one in page.query_selector_all(selector):
            box = one.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 300) == (scheme == "dark")


def test_the_package_serves_the_page_isolated(client, tab):
    # A tab of its own: `opened` watches what the other one asks for.
    own = tab.context.new_page()
    own.set_default_timeout(PATIENCE)
    with served(find_page(client / "page-dist")) as place:
        own.goto(place)
        own.wait_for_selector("html[data-ready]")
        assert own.evaluate("crossOriginIsolated")
        own.click("#example")
        own.wait_for_selector("html[data-answered='4']")
        assert len(distances(own)) == 4
    own.close()


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"index\.html is missing"):
        find_page(tmp_path)
