"""onnxruntime-web in a headless Chromium: run an ONNX model there on arrays of this process."""

from __future__ import annotations

import base64
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Error, Page, sync_playwright

from dps_infer.errors import DpsError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--no-sandbox",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
)
"""WebGPU computes on the processor, by Chromium's own SwiftShader, whatever the machine has."""

PATIENCE = 1800
"""Seconds for one call in the page. SwiftShader compiles each kernel, which takes minutes."""

SCRIPT = "dist/ort.webgpu.bundle.min.mjs"

TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm", ".onnx": "application/x-onnx"}

ADAPTER = """async () => {
    const adapter = await navigator.gpu?.requestAdapter();
    return adapter ? `${adapter.info.vendor} ${adapter.info.architecture}` : null;
}"""

OPEN = """async ([script, provider]) => {
    window.ort = await import(script);
    // More threads would need a page that is isolated from other origins.
    ort.env.wasm.numThreads = 1;
    window.session = await ort.InferenceSession.create(
        "/model.onnx", {executionProviders: [provider]});
}"""

RUN = """async ([names, feeds]) => {
    const tensors = {};
    for (const [name, [type, shape, content]] of Object.entries(feeds)) {
        const bytes = Uint8Array.from(atob(content), one => one.charCodeAt(0));
        const values = type === "uint8" ? bytes : new Float32Array(bytes.buffer);
        tensors[name] = new ort.Tensor(type, values, shape);
    }
    const outputs = await session.run(tensors, names);
    const found = {};
    for (const name of names) {
        found[name] = [outputs[name].dims, Array.from(await outputs[name].getData())];
    }
    return found;
}"""


class NoBrowserError(DpsError):
    """There is no Chromium, or it has no WebGPU."""


@dataclass(frozen=True)
class BrowserRuntime:
    """A model in a page.

    Attributes:
        page: the page.
        provider: "webgpu" or "wasm".
        adapter: what WebGPU computes on; None without WebGPU.
    """

    page: Page
    provider: str
    adapter: str | None

    def run(self, names: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Return outputs by name, for inputs by name: uint8 or float32.

        Raises:
            DpsError: onnxruntime-web failed.
        """
        given = {
            name: (str(array.dtype), list(array.shape), base64.b64encode(array.tobytes()).decode())
            for name, array in feeds.items()
        }
        found = _evaluate(self.page, RUN, [list(names), given])
        return {
            name: np.array(values, np.float32).reshape(shape)
            for name, (shape, values) in found.items()
        }


def find_browser() -> str | None:
    """Return the path of an installed Chromium; None if there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def package_version(package: Path) -> str:
    """Return the version of the npm package in a folder.

    Raises:
        DpsError: it is not onnxruntime-web.
    """
    try:
        described = msgspec.json.decode((package / "package.json").read_bytes(), type=dict)
        if described["name"] == "onnxruntime-web" and (package / SCRIPT).is_file():
            return str(described["version"])
    except (OSError, msgspec.DecodeError, KeyError):
        pass
    raise DpsError(
        f"{package} is not the npm package onnxruntime-web: "
        "expected a folder such as node_modules/onnxruntime-web"
    )


@contextmanager
def open_in_browser(model: Path, package: Path, provider: str) -> Iterator[BrowserRuntime]:
    """Load a model in onnxruntime-web.

    Args:
        model: the file.
        package: folder of the npm package onnxruntime-web.
        provider: "webgpu", which leaves operators without a kernel to WebAssembly; or "wasm".

    Raises:
        NoBrowserError: there is no Chromium; or, for "webgpu", it has no WebGPU.
        DpsError: onnxruntime-web cannot load the model.
    """
    chromium = find_browser()
    if chromium is None:
        raise NoBrowserError("no browser: expected an installed chromium")
    package_version(package)
    with _served(model, package) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            page = browser.new_page()
            page.set_default_timeout(1000 * PATIENCE)
            page.goto(address)
            adapter = page.evaluate(ADAPTER)
            if provider == "webgpu" and adapter is None:
                raise NoBrowserError(f"{chromium} has no WebGPU")
            _evaluate(page, OPEN, [f"/{SCRIPT}", provider])
            yield BrowserRuntime(page, provider, adapter)
        finally:
            browser.close()


def _evaluate(page: Page, script: str, argument: object) -> Any:
    try:
        return page.evaluate(script, argument)
    except Error as error:
        raise DpsError(f"onnxruntime-web failed: {error.message.splitlines()[0]}") from None


class _Handler(SimpleHTTPRequestHandler):
    """Serve a blank page, the model, and the scripts of the package."""

    def __init__(self, *arguments: Any, model: Path, package: Path) -> None:
        self.model = model
        super().__init__(*arguments, directory=str(package))

    def do_GET(self) -> None:
        if self.path == "/":
            self._send("text/html", b"<!doctype html><title>onnxruntime-web</title>")
        elif self.path == "/model.onnx":
            self._send(TYPES[".onnx"], self.model.read_bytes())
        else:
            super().do_GET()

    def guess_type(self, path: Any) -> str:
        return TYPES.get(Path(path).suffix, "text/plain")

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def _served(model: Path, package: Path) -> Iterator[str]:
    """Serve to this machine only; yields the address, which counts as secure: WebGPU needs that."""
    handler = partial(_Handler, model=model, package=package)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
