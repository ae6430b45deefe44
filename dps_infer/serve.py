"""A server process that compares images for a program in any language.

The program writes one JSON object per line and reads one JSON object per line: first a ready line,
then one answer per request, in the order of the requests. ``docs/serve.md`` specifies the protocol.
An invalid request is answered with an error; the process keeps running.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, BinaryIO

import msgspec

from dps_infer.compare.metric import Metric
from dps_infer.compare.regions.gate import Gate
from dps_infer.errors import (
    ContextError,
    DeviceError,
    DpsError,
    ImageError,
    RankingError,
    UsageError,
)
from dps_infer.files.read import MEBIBYTE
from dps_infer.images.decode import ImageSource, load_picture, make_pair
from dps_infer.images.ignored import Ignored
from dps_infer.model import embedded
from dps_infer.runtime.device import Device
from dps_infer.show.records import comparison_record
from dps_infer.version import __version__

PROTOCOL = 2
"""Version of the protocol; incremented by changes that break clients."""

MAX_LINE_BYTES = 64 * MEBIBYTE
"""Default size limit of a request, including its base64 images."""

CONTEXTS_KEPT = 64
"""Contexts of requests whose calibration is cached."""

_PLACEHOLDER = {"other": 1.0}
"""Importances to open the universal file with; every request replaces them."""

KINDS: dict[type[DpsError], str] = {
    ImageError: "image",
    ContextError: "context",
    DeviceError: "device",
    RankingError: "usage",
    UsageError: "usage",
}

RequestId = str | int | None


class Encoded(msgspec.Struct, forbid_unknown_fields=True):
    """An encoded image (PNG, JPEG, ...) inside a request."""

    base64: str


class _Request(msgspec.Struct, forbid_unknown_fields=True, tag_field="method", kw_only=True):
    requestId: RequestId = None


class Compare(_Request, tag="compare", kw_only=True):
    """Compare two images.

    Takes at most one of `context`, `ranking` and `importances`; all may be omitted if exactly one
    context was opened at the start.
    """

    reference: str | Encoded
    candidate: str | Encoded
    context: str | None = None
    """The label of a context that was opened at the start."""
    ranking: str | None = None
    importances: str | dict[str, float] | None = None
    resize: bool = False
    ignore: list[str] = []
    """Boxes to leave out, ``X,Y,W,H`` in pixels or percent."""
    mask: str | Encoded | None = None
    """Leave out what is black in this image."""
    regions: bool = False
    """Find the regions that differ."""
    gate: Gate = Gate.whole
    threshold: Annotated[float, msgspec.Meta(ge=0)] | None = None


class Ping(_Request, tag="ping", kw_only=True):
    """Check that the process responds."""


class Info(_Request, tag="info", kw_only=True):
    """Ask for the content of the ready line."""


class Shutdown(_Request, tag="shutdown", kw_only=True):
    """Ask the process to answer and exit."""


Request = Compare | Ping | Info | Shutdown


class Server:
    """Answers requests one by one."""

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        *,
        device: Device = Device.auto,
        threads: int | None = None,
        ignored: Ignored | None = None,
    ) -> None:
        """Take the metrics that were opened at the start.

        Args:
            metrics: by label. A ranking in a request applies to the first universal file among
                them. If there is none, it applies to the universal metric of the package, which is
                opened now if there are no metrics at all, otherwise when it is first needed.
            device: the device of the universal metric of the package.
            threads: CPU threads of the universal metric of the package.
            ignored: parts to leave out of every pair, besides those of its request.
        """
        self._metrics = dict(metrics)
        self._universal = next((m for m in metrics.values() if m.manifest.universal), None)
        self._device, self._threads = device, threads
        self._ignored = ignored
        # Calibrating a universal file takes longer than comparing small images.
        self._in_context = lru_cache(CONTEXTS_KEPT)(self._open_context)
        if not metrics:
            self._base()

    def info(self) -> dict[str, Any]:
        """Describe the server: its version, device and contexts."""
        first = next(iter(self._metrics.values()), None) or self._base()
        return {
            "protocol": PROTOCOL,
            "version": __version__,
            "provider": first.provider,
            "threads": first.threads,
            "contexts": {
                label: {
                    "description": metric.describe(),
                    "universal": metric.manifest.universal,
                    "sha256": metric.sha256,
                }
                for label, metric in self._metrics.items()
            },
        }

    def answer(self, line: bytes) -> tuple[dict[str, Any], bool]:
        """Return the answer to a line of JSON, and whether to keep running."""
        request_id: RequestId = None
        try:
            request_id, request = _parse(line)
            result = self._do(request)
        except DpsError as error:
            kind = next((k for e, k in KINDS.items() if isinstance(error, e)), "broken")
            return _failed(request_id, kind, str(error)), True
        except _BadRequest as error:
            return _failed(error.request_id, "request", str(error)), True
        # Even a defect of the toolkit must not end a process that other programs rely on.
        except Exception as error:
            text = f"unexpected {type(error).__name__}: {error}"
            return _failed(request_id, "broken", text), True
        return {"requestId": request_id, "ok": True, "result": result}, not isinstance(
            request, Shutdown
        )

    def _do(self, request: Request) -> dict[str, Any]:
        if isinstance(request, Compare):
            return self._compare(request)
        return self.info() if isinstance(request, Info) else {}

    def _compare(self, request: Compare) -> dict[str, Any]:
        metric = self._metric(request)
        sources = {"reference": request.reference, "candidate": request.candidate}
        pictures = [load_picture(_source(s, name), label=name) for name, s in sources.items()]
        pair = make_pair(*pictures, resize=request.resize, ignored=self._ignored_by(request))
        regions = request.gate if request.regions or request.gate is Gate.worst else None
        (comparison,) = metric.compare_pairs([pair], with_map=False, regions=regions)
        reference, candidate = (s if isinstance(s, str) else "base64" for s in sources.values())
        return comparison_record(
            comparison,
            metric,
            reference,
            candidate,
            label=request.context,
            threshold=request.threshold,
        )

    def _ignored_by(self, request: Compare) -> Ignored | None:
        """Return what a request and the options of the server leave out."""
        if not request.ignore and request.mask is None:
            return self._ignored
        mask = None if request.mask is None else _source(request.mask, "mask")
        return Ignored(request.ignore, mask) | self._ignored

    def _metric(self, request: Compare) -> Metric:
        """Return the metric in the context of a request."""
        given = [request.context, request.ranking, request.importances]
        if sum(value is not None for value in given) > 1:
            raise UsageError("context, ranking and importances exclude each other: give one")
        importances = request.importances
        if request.ranking is not None or importances is not None:
            # A mapping cannot be a cache key.
            numbers = tuple(importances.items()) if isinstance(importances, dict) else importances
            return self._in_context(request.ranking, numbers)
        known = ", ".join(self._metrics) or "none"
        if request.context is None:
            if len(self._metrics) == 1:
                return next(iter(self._metrics.values()))
            raise UsageError(
                f"say what matters: a ranking, importances, or a context (open are: {known})"
            )
        if request.context not in self._metrics:
            raise UsageError(f"no context {request.context!r} was opened (open are: {known})")
        return self._metrics[request.context]

    def _open_context(
        self, ranking: str | None, importances: str | tuple[tuple[str, float], ...] | None
    ) -> Metric:
        numbers = dict(importances) if isinstance(importances, tuple) else importances
        return self._base().in_context(ranking=ranking, importances=numbers)

    def _base(self) -> Metric:
        """Return the universal file, in an arbitrary context."""
        if self._universal is None:
            self._universal = Metric.load(
                embedded.UNIVERSAL,
                importances=_PLACEHOLDER,
                device=self._device,
                threads=self._threads,
            )
        return self._universal


def serve(
    server: Server,
    requests: BinaryIO,
    answers: BinaryIO,
    *,
    max_line: int = MAX_LINE_BYTES,
) -> None:
    """Write the ready line, then answer every request until the end of the input or a shutdown.

    Args:
        server: the server.
        requests: the input, one request per line.
        answers: the output; every line is flushed.
        max_line: longest request in bytes; no more than that is held in memory.
    """
    encoder = msgspec.json.Encoder()

    def send(answer: dict[str, Any]) -> None:
        answers.write(encoder.encode(answer) + b"\n")
        answers.flush()

    send({"ready": True, **server.info()})
    for line in _lines(requests, max_line):
        if line is None:
            send(_failed(None, "request", f"the line is longer than {max_line} bytes"))
        elif line.strip():
            answer, more = server.answer(line)
            send(answer)
            if not more:
                return


class _BadRequest(Exception):
    """An invalid request, with its id if it has one."""

    def __init__(self, message: str, request_id: RequestId = None) -> None:
        super().__init__(message)
        self.request_id = request_id


def _parse(line: bytes) -> tuple[RequestId, Request]:
    try:
        value = msgspec.json.decode(line)
    except (ValueError, RecursionError) as error:
        raise _BadRequest(f"is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _BadRequest("expected a JSON object on a line of its own")
    request_id = value.get("requestId")
    if isinstance(request_id, bool) or not isinstance(request_id, (str, int, type(None))):
        raise _BadRequest("expected a requestId that is a string or an integer")
    try:
        return request_id, msgspec.convert(value, Request)
    except (ValueError, RecursionError) as error:
        raise _BadRequest(f"is not a valid request: {error}", request_id) from None


def _source(image: str | Encoded, name: str) -> ImageSource:
    if isinstance(image, str):
        return image
    try:
        return base64.b64decode(image.base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageError(f"{name}: is not valid base64 ({error})") from None


def _failed(request_id: RequestId, kind: str, message: str) -> dict[str, Any]:
    return {
        "requestId": request_id,
        "ok": False,
        "error": {"kind": kind, "message": " ".join(message.split())},
    }


def _lines(stream: BinaryIO, limit: int) -> Iterator[bytes | None]:
    """Yield lines; None for one that is too long, whose rest is read and dropped."""
    while line := stream.readline(limit + 1):
        if len(line) <= limit or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(limit)
        yield None
