"""Serve the page with sliders (clients/js) to this machine: a folder of static files.

with served(built_page()) as address:
webbrowser.open(address)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dps_infer.errors import UsageError

CLIENT = Path(__file__).parents[1] / "clients" / "js"
"""The client's sources, in a checkout."""

BUILD = "npm --prefix clients/js install && npm --prefix clients/js run page"

FILES = ("index.html", "universal.onnx", "contexts.json")
"""Files by which the folder is recognized."""

TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
"""Browsers refuse scripts of another type, and some systems give them one."""

ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
"""Headers with which a browser lets the page use several threads. It works without them, too."""


def built_page() -> Path:
    """Return the page that was built in this checkout.

    Raises:
        UsageError: this installation is no checkout, or the page is not built there.
    """
    if not (CLIENT / "package.json").is_file():
        raise UsageError(
            "the page with sliders is not in this installation: in a checkout of dps-toolkit, "
            f"build it with `{BUILD}`, which needs Node, and run `python -m dps_infer demo --page`"
        )
    return find_page(CLIENT / "page-dist")


def find_page(folder: Path) -> Path:
    """Return a folder if it holds the page.

    Raises:
        UsageError: it does not.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise UsageError(
            f"{folder} is not the page with sliders ({missing[0]} is missing): build it in the "
            f"checkout with `{BUILD}`, which needs Node"
        )
    return folder


@contextmanager
def served(folder: Path, *, port: int = 0) -> Iterator[str]:
    """Serve a folder to this machine only, and yield the address.

    Args:
        folder: the page; see `find_page`.
        port: of the machine; 0 takes a free one.

    Raises:
        UsageError: the port is in use.
    """
    handler = partial(_Handler, directory=str(folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise UsageError(f"cannot serve on port {port} ({error.strerror}): take another") from None
    with server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class _Handler(SimpleHTTPRequestHandler):
    """Send files with the types and headers above."""

    def guess_type(self, path: Any) -> str:
        return TYPES.get(Path(path).suffix, "application/octet-stream")

    def end_headers(self) -> None:
        for name, value in ISOLATED.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""
