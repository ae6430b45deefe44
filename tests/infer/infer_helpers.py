"""A tiny context file with a closed form, and images to measure with it.

The fake metric: the mean absolute difference of each colour channel, in [0, 1], is the
amount of one distortion (red: rotate, green: blur, blue: color); the rest are 0.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dps_infer import manifest as contract

DISTORTIONS = ["rotate", "translate", "darken", "color", "blur", "zoom"]
IMPORTANCES = {
    "rotate": 0.25,
    "translate": 0.5,
    "darken": 0.5,
    "color": 0.125,
    "blur": 1.0,
    "zoom": 0.5,
    "other": 0.5,
}
CHANNEL_OF = {"rotate": 0, "blur": 1, "color": 2}
LEVELS = [0.0, 0.25, 0.5, 0.75, 1.0]


def make_manifest(**changes: object) -> contract.Manifest:
    metric = contract.MetricInfo(
        name="fake",
        variant="additive",
        ranking=[["color"], ["rotate"], ["blur"]],
        importances=IMPORTANCES,
        distortions=[
            contract.DistortionInfo(
                name=name,
                parameter="strength",
                range=(0.0, 1.0),
                strength="the parameter",
                threshold=0.01,
                reference=1.0,
            )
            for name in DISTORTIONS
        ],
        backbone="none",
        layers=["pixels"],
        comparison="mean",
        channel_norm=False,
        normalize_mean=(0.0, 0.0, 0.0),
        normalize_std=(1.0, 1.0, 1.0),
        working_size=None,
        weights=contract.WeightsInfo(source="none", sha256="0" * 64, licence="none needed"),
        training_data=contract.DataInfo(source="none", images=0, sha256="0" * 64),
        held_out_data=contract.DataInfo(source="none", images=0, sha256="0" * 64),
        seed=0,
        scores=contract.Scores(baseline=0.5, adapted=1.0, ceiling=1.0),
        tools={"onnx": "1"},
    )
    calibration = contract.Calibration(
        levels=LEVELS,
        distances={"rotate": [0.0, 0.1, 0.2, 0.3, 0.4], "blur": [0.4, 0.5, 0.6, 0.7, 0.8]},
        images=1,
    )
    fields = {
        "format": contract.FORMAT_VERSION,
        "metric": metric,
        "calibration": calibration,
        "parity": contract.Parity(max_abs_error=0.0, pairs=1),
        "precision": "float32",
        "map": "its mean is the distance",
        **changes,
    }
    return contract.Manifest(**fields)  # type: ignore[arg-type]


def make_model(
    manifest: contract.Manifest | str | None = None,
    *,
    amounts: bool = True,
    importances: dict[str, float] = IMPORTANCES,
    offset: float = 0.0,
) -> onnx.ModelProto:
    """The fake metric as a model; `offset` is added to the distance alone."""
    columns = list(importances)
    spread = np.zeros((3, len(columns)), np.float32)
    for name, channel in CHANNEL_OF.items():
        spread[channel, columns.index(name)] = 1
    weights = np.array(list(importances.values()), np.float32)
    constants = {
        "scale": np.float32(1 / 255),
        "spread": spread,
        "weights": weights,
        "positions": np.array([1, 2]),
        "channels": np.array([3]),
        "offset": np.float32(offset),
        "per_channel": spread @ weights,
    }
    nodes = [
        helper.make_node("Cast", ["reference"], ["first"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["distorted"], ["second"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["first", "second"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["absolute"]),
        helper.make_node("Mul", ["absolute", "scale"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled", "positions"], ["means"], keepdims=0),
        helper.make_node("MatMul", ["means", "spread"], ["amounts"]),
        helper.make_node("MatMul", ["amounts", "weights"], ["plain"]),
        helper.make_node("Add", ["plain", "offset"], ["distance"]),
        helper.make_node("MatMul", ["scaled", "per_channel"], ["map"]),
    ]
    image = ["N", "H", "W", 3]
    outputs = {"distance": ["N"], "amounts": ["N", len(columns)], "map": ["N", "H", "W"]}
    if not amounts:
        del outputs["amounts"]
    graph = helper.make_graph(
        nodes,
        "fake",
        [
            helper.make_tensor_value_info("reference", TensorProto.UINT8, ["R", *image[1:]]),
            helper.make_tensor_value_info("distorted", TensorProto.UINT8, image),
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if manifest is None:
        manifest = make_manifest()
    if not isinstance(manifest, str):
        manifest = contract.encode_manifest(manifest)
    if manifest:
        helper.set_model_props(model, {contract.METADATA_KEY: manifest})
    return model


def write(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def encode(extension: str, rgb: np.ndarray, *parameters: int) -> bytes:
    """Encode uint8 or uint16 grey, RGB or RGBA pixels with OpenCV."""
    order = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    code = order[2 if rgb.ndim == 2 else rgb.shape[2]]
    pixels = rgb if code is None else cv2.cvtColor(rgb, code)
    done, data = cv2.imencode(extension, pixels, list(parameters))
    assert done
    return data.tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def make_png(
    width: int, height: int, bits: int, colour: int, rows: bytes, *extra: tuple[bytes, bytes]
) -> bytes:
    """A PNG from its rows (each led by its filter byte) and extra chunks before the data."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def make_tiff(pixels: np.ndarray, *, order: str = "<", **tags: int | list[int]) -> bytes:
    """An uncompressed TIFF from grey, RGB or RGBA pixels; `tags` are named t<number>."""
    height, width = pixels.shape[:2]
    samples = 1 if pixels.ndim == 2 else pixels.shape[2]
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    entries = {
        256: [width],
        257: [height],
        258: [pixels.dtype.itemsize * 8] * samples,
        259: [1],
        262: [2 if samples >= 3 else 1],
        273: [8],
        277: [samples],
        278: [height],
        279: [len(data)],
        **{int(name[1:]): [v] if isinstance(v, int) else v for name, v in tags.items()},
    }
    start = 8 + len(data) + len(data) % 2
    beyond = start + 2 + 12 * len(entries) + 4
    directory, tail = struct.pack(order + "H", len(entries)), b""
    for tag, values in sorted(entries.items()):
        raw = struct.pack(f"{order}{len(values)}I", *values)
        if len(raw) > 4:
            raw, tail = struct.pack(order + "I", beyond + len(tail)), tail + raw
        directory += struct.pack(order + "HHI", tag, 4, len(values)) + raw
    magic = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, start)
    return (magic + data).ljust(start, b"\0") + directory + bytes(4) + tail


def bomb(side: int = 50_000) -> bytes:
    """A small file that would decode to 7.5 GB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    data = b"".join(packer.compress(row) for _ in range(20)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def exif(orientation: int) -> bytes:
    """EXIF data (a TIFF directory) that state an orientation and nothing else."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 274, 3, 1, orientation, 0, 0)


def with_exif(jpeg: bytes, orientation: int) -> bytes:
    body = b"Exif\0\0" + exif(orientation)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def error_line(self) -> str:
        """The only line on stderr, which every failure must be; nothing is on stdout."""
        assert self.out == ""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("dps-infer: error: ")
        return lines[0]

    @property
    def record(self) -> dict:
        return json.loads(self.out)


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
