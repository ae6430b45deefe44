"""Requests to ``dps-infer serve``: each line gets one answer, and none is a defect."""

from __future__ import annotations

import base64
import json
import random
import tempfile
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from infer_helpers import encode, make_model, write

from dps_infer import Metric
from dps_infer.serve import Server
from tests.fuzz.structure import mutate_json

TEST_INPUTS = 500


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp())


@cache
def _server() -> Server:
    path = write(_folder() / "u.onnx", make_model(universal=True))
    return Server({"u": Metric.load(path, ranking="color,blur", device="cpu", threads=1)})


@cache
def seeds() -> dict[str, bytes]:
    """Return a request of every method."""
    photo = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    paths = []
    for name, pixels in (("a.png", photo), ("b.png", 255 - photo)):
        (_folder() / name).write_bytes(encode(".png", pixels))
        paths.append(str(_folder() / name))
    inside = {"base64": base64.b64encode(encode(".png", photo)).decode()}
    compare = {"method": "compare", "reference": paths[0], "candidate": paths[1]}
    requests = {
        "ping": {"method": "ping", "requestId": 1},
        "info": {"method": "info", "requestId": "x"},
        "shutdown": {"method": "shutdown"},
        "compare": {**compare, "requestId": 2, "context": "u", "view": "both", "threshold": 0.5},
        "ranking": {**compare, "ranking": "color,blur", "resize": True},
        "importances": {**compare, "importances": {"color": 0.5, "blur": 1.0}},
        "inside": {**compare, "reference": inside, "candidate": inside, "context": "u"},
    }
    return {name: json.dumps(request).encode() for name, request in requests.items()}


def check(data: bytes, seed: str) -> str:
    """Answer the line as the server does."""
    answer, _ = _server().answer(data.replace(b"\n", b" "))
    line = msgspec.json.encode(answer)
    assert b"\n" not in line
    if answer["ok"]:
        return "right"
    assert answer["error"]["kind"] != "broken", answer["error"]["message"]
    assert answer["error"]["message"]
    return f"refused ({answer['error']['kind']})"


def mutate(data: bytes, seed: str, draw: random.Random) -> bytes:
    """Change values."""
    return mutate_json(data, draw)
