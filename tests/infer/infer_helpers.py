"""Tiny context files with a closed form, and images to measure with them.

The fake metric: the mean absolute difference of each color channel, in [0, 1], is the
amount of one distortion (red: rotate, green: blur, blue: color); the rest are 0. With
views, a tile is `TILE` pixels, the smaller ones at the right and the bottom included, and
an amount of the view ``tiles`` is the largest of any tile, of ``both`` the larger one.
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

from dps_infer.model import manifest as contract

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


TILE = 4
VIEWS = contract.Views(
    default="both",
    tile=TILE,
    layout="side by side from the left upper corner",
    aggregation="the largest amount of any tile",
    both="the larger amount of the two",
)
IMAGES, DRAWS_EACH = 3, 4


def make_draws() -> contract.Draws:
    """Made-up draws, in which a metric is right often, but not always."""
    generator = np.random.default_rng(0)
    rows = IMAGES * DRAWS_EACH
    true = {name: generator.uniform(0, 2, rows) for name in DISTORTIONS}
    columns = len(IMPORTANCES)
    amounts = {name: generator.uniform(0, 0.3, (rows, columns)) for name in DISTORTIONS}
    for number, name in enumerate(DISTORTIONS):
        amounts[name][:, number] += true[name]
    return contract.Draws(
        images=IMAGES,
        per_image=DRAWS_EACH,
        amounts={name: values.tolist() for name, values in amounts.items()},
        true_amounts={name: values.tolist() for name, values in true.items()},
        uniform={name: generator.uniform(0, 1, rows).tolist() for name in DISTORTIONS},
    )


def make_manifest(
    *, universal: bool = False, views: bool = False, **changes: object
) -> contract.Manifest:
    metric = contract.MetricInfo(
        name="universal" if universal else "fake",
        variant="additive",
        ranking=None if universal else [["color"], ["rotate"], ["blur"]],
        judgements=None,
        amounts=list(IMPORTANCES),
        importances=None if universal else IMPORTANCES,
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
        scores=None if universal else contract.Scores(baseline=0.5, adapted=1.0, ceiling=1.0),
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
        "calibration": None if universal else calibration,
        "draws": make_draws() if universal else None,
        "views": VIEWS if views else None,
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
    universal: bool = False,
    views: bool = False,
    offset: float = 0.0,
) -> onnx.ModelProto:
    """The fake metric as a model; `offset` is added to the distances alone."""
    columns = list(IMPORTANCES)
    spread = np.zeros((3, len(columns)), np.float32)
    for name, channel in CHANNEL_OF.items():
        spread[channel, columns.index(name)] = 1
    constants = {
        "scale": np.float32(1 / 255),
        "spread": spread,
        "positions": np.array([1, 2]),
        "offset": np.float32(offset),
    }
    inputs = {
        "reference": (TensorProto.UINT8, ["R", "H", "W", 3]),
        "distorted": (TensorProto.UINT8, ["N", "H", "W", 3]),
    }
    if universal:
        inputs["importance"] = (TensorProto.FLOAT, [len(columns)])
    else:
        constants["importance"] = np.array(list(IMPORTANCES.values()), np.float32)
    nodes = [
        helper.make_node("Cast", ["reference"], ["first"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["distorted"], ["second"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["first", "second"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["absolute"]),
        helper.make_node("Mul", ["absolute", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "spread"], ["pixels"]),
    ]
    outputs = {}

    def add_view(suffix: str, cells: str) -> None:
        """The outputs of a view whose amounts are there; `cells` [N, H', W', K+1] has its map."""
        nodes.extend(
            [
                helper.make_node("MatMul", [f"amounts{suffix}", "importance"], [f"sum{suffix}"]),
                helper.make_node("Add", [f"sum{suffix}", "offset"], [f"distance{suffix}"]),
                helper.make_node("MatMul", [cells, "importance"], [f"map{suffix}"]),
            ]
        )
        outputs[f"distance{suffix}"] = ["N"]
        outputs[f"amounts{suffix}"] = ["N", len(columns)]
        outputs[f"map{suffix}"] = ["N", "H2", "W2"]

    if views:
        whole, tiles, both = "_whole", "_tiles", "_both"
        nodes += [
            helper.make_node(
                "ReduceMean", ["pixels", "positions"], [f"amounts{whole}"], keepdims=0
            ),
            helper.make_node("Transpose", ["pixels"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node(
                "AveragePool",
                ["planes"],
                ["pooled"],
                kernel_shape=[TILE, TILE],
                strides=[TILE, TILE],
                ceil_mode=1,
            ),
            helper.make_node("Transpose", ["pooled"], ["tiles"], perm=[0, 2, 3, 1]),
            helper.make_node("ReduceMax", ["tiles", "positions"], [f"amounts{tiles}"], keepdims=0),
            helper.make_node("Max", [f"amounts{whole}", f"amounts{tiles}"], [f"amounts{both}"]),
        ]
        for suffix, cells in ((whole, "pixels"), (tiles, "tiles"), (both, "tiles")):
            add_view(suffix, cells)
        outputs["tiles"] = ["N", "TH", "TW", len(columns)]
        for kind in ("distance", "amounts", "map"):
            nodes.append(helper.make_node("Identity", [f"{kind}_both"], [kind]))
            outputs[kind] = outputs[f"{kind}_both"]
    else:
        nodes.append(
            helper.make_node("ReduceMean", ["pixels", "positions"], ["amounts"], keepdims=0)
        )
        add_view("", "pixels")
    if not amounts:
        del outputs["amounts"]
    graph = helper.make_graph(
        nodes,
        "fake",
        [
            helper.make_tensor_value_info(name, kind, shape)
            for name, (kind, shape) in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if manifest is None:
        manifest = make_manifest(universal=universal, views=views)
    if not isinstance(manifest, str):
        manifest = contract.encode_manifest(manifest)
    if manifest:
        helper.set_model_props(model, {contract.METADATA_KEY: manifest})
    return model


def varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def write(path: Path, model: onnx.ModelProto) -> Path:
    path.write_bytes(model.SerializeToString())
    return path


def encode(extension: str, rgb: np.ndarray, *parameters: int) -> bytes:
    """Encode uint8 or uint16 gray, RGB or RGBA pixels with OpenCV."""
    order = {2: None, 3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    code = order[2 if rgb.ndim == 2 else rgb.shape[2]]
    pixels = rgb if code is None else cv2.cvtColor(rgb, code)
    done, data = cv2.imencode(extension, pixels, list(parameters))
    assert done
    return data.tobytes()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def make_png(
    width: int, height: int, bits: int, color: int, rows: bytes, *extra: tuple[bytes, bytes]
) -> bytes:
    """A PNG from its rows (each led by its filter byte) and extra chunks before the data."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, body) for kind, body in chunks)


def make_tiff(pixels: np.ndarray, *, order: str = "<", **tags: int | list[int]) -> bytes:
    """An uncompressed TIFF from gray, RGB or RGBA pixels; `tags` are named t<number>."""
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


def upright(orientation: int, stored: np.ndarray) -> np.ndarray:
    """Turn stored pixels upright as EXIF defines: by the place of the first row and column."""
    return {
        1: stored,
        2: np.fliplr(stored),
        3: np.rot90(stored, 2),
        4: np.flipud(stored),
        5: np.swapaxes(stored, 0, 1),
        6: np.rot90(stored, -1),
        7: np.swapaxes(np.rot90(stored, 2), 0, 1),
        8: np.rot90(stored, 1),
    }[orientation]


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
