"""The page's server: on loopback only, and only for the address with its secret.

Other pages in the same browser can send requests to loopback too, but they do not know the
secret. DNS rebinding, a foreign host name that resolves to this server, shows in the header
``Host``, which must be the server's own address.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import msgspec

from dps_infer.errors import DpsError, UsageError

if TYPE_CHECKING:
    # It imports PyTorch, which takes seconds.
    from dps_train.judge.session import Session

HOST = "127.0.0.1"
LONGEST_REQUEST = 1000
"""Maximum bytes of a request."""

PATIENCE = 10.0
"""Seconds that a request may stay silent before its connection is closed."""

PAGE = Path(__file__).with_name("page")
FILES = {
    "": ("page.html", "text/html; charset=utf-8"),
    "page.css": ("page.css", "text/css; charset=utf-8"),
    "page.js": ("page.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Server(ThreadingHTTPServer):
    """Serves one session; port 0 selects a free one.

    It can serve before there is a session: the page then shows how far the pictures are.

    Attributes:
        session: the session; None while it is being prepared.
        prepared: the number of pictures done and their total, 0 if it is unknown.

    Raises:
        UsageError: the port is not free.
    """

    daemon_threads = True
    # On some systems, sharing the port with another process would go unnoticed.
    allow_reuse_address = False

    def __init__(self, session: Session | None = None, port: int = 0) -> None:
        self.session = session
        self.prepared = (0, 0)
        self.finished = threading.Event()
        self.secret = secrets.token_urlsafe(16)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise UsageError(
                f"--port {port} cannot be used ({error.strerror}): leave it out for a free one"
            ) from None

    @property
    def address(self) -> str:
        """Host and port, as in a URL."""
        return f"{HOST}:{self.server_port}"

    @property
    def url(self) -> str:
        """URL of the page."""
        return f"http://{self.address}/{self.secret}/"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in another thread during the block."""
        thread = threading.Thread(target=self.serve_forever, args=(0.1,))
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            thread.join()

    def wait(self) -> None:
        """Return when the person presses Finish."""
        # With a limit, because Windows interrupts no other waiting.
        while not self.finished.wait(1):
            pass


class _Answer(msgspec.Struct):
    question: int
    judge: float


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = PATIENCE

    def do_GET(self) -> None:
        path = self._path()
        if path is None:
            return
        if path in FILES:
            name, kind = FILES[path]
            self._send(HTTPStatus.OK, kind, (PAGE / name).read_bytes())
        elif path == "state":
            self._send_state(HTTPStatus.OK)
        else:
            self._send_picture(path)

    def do_POST(self) -> None:
        path = self._path()
        if path is None:
            return
        if self.headers.get("Origin", f"http://{self.server.address}") != (
            f"http://{self.server.address}"
        ):
            self._refuse(HTTPStatus.FORBIDDEN)
            return
        session = self.server.session
        try:
            if path == "answer":
                answer = self._answer()
                accepted = session is not None and session.answer(answer.question, answer.judge)
            elif path == "undo":
                accepted = session is not None and session.undo()
            elif path == "finish":
                accepted = session is not None
            else:
                self._refuse(HTTPStatus.NOT_FOUND)
                return
        except (ValueError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST)
        except DpsError as error:
            body = json.dumps({"error": str(error)}).encode()
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "application/json", body)
        else:
            self._send_state(HTTPStatus.OK if accepted else HTTPStatus.CONFLICT)
            if path == "finish" and accepted:
                # The page has its answer now, so the program may end.
                self.server.finished.set()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the address contains the secret."""

    def _path(self) -> str | None:
        """Return the path below the secret; refuse other requests and return None."""
        _, secret, *rest = [*self.path.split("/", 2), ""][:3]
        if self.headers.get("Host") != self.server.address or not secrets.compare_digest(
            secret.encode(), self.server.secret.encode()
        ):
            self._refuse(HTTPStatus.FORBIDDEN)
            return None
        return rest[0]

    def _answer(self) -> _Answer:
        """Read the body of a request; ValueError if it is malformed."""
        length = int(self.headers.get("Content-Length", ""))
        if not 0 <= length <= LONGEST_REQUEST:
            raise ValueError(length)
        return msgspec.json.decode(self.rfile.read(length), type=_Answer)

    def _send_picture(self, path: str) -> None:
        kind, *numbers = path.split("/")
        try:
            number, place = map(int, numbers)
            if self.server.session is None:
                raise KeyError(number)
            picture = self.server.session.picture(number, place)
        except (KeyError, ValueError):
            kind = ""
        if kind != "picture":
            self._refuse(HTTPStatus.NOT_FOUND)
            return
        encoded = cv2.imencode(".png", cv2.cvtColor(picture.pixels, cv2.COLOR_RGB2BGR))[1]
        self._send(HTTPStatus.OK, "image/png", encoded.tobytes())

    def _send_state(self, status: HTTPStatus) -> None:
        if self.server.session is None:
            state: dict[str, object] = {"preparing": self.server.prepared}
        else:
            state = self.server.session.state()
        body = json.dumps(state, allow_nan=False).encode()
        self._send(status, "application/json", body)

    def _refuse(self, status: HTTPStatus) -> None:
        self._send(status, "text/plain", f"{status.phrase}\n".encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
