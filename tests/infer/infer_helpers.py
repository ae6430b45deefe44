"""Tiny context files with a closed form, and images to measure with them.

The fake metric: the mean absolute difference of each color channel, in [0, 1], is the
amount of one distortion (red: rotate, green: blur, blue: color); the rest are 0. The size is the
mean of the three. A strength is `STRENGTH` times the amount; a direction is 1 where the mean of
the channel rises, -1 where it falls. The map has a place per pixel, and cells have `CELL` pixels.
A file without kinds reports one amount, or none: the distance in the context `IMPORTANCES`.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from dps_infer.contexts import ranking as contexts
from dps_infer.model import manifest as contract

DRAWN = ["rotate", "translate", "darken", "color", "blur", "zoom"]
"""The distortions that have draws for calibration."""
DISTORTIONS = list(contexts.KINDS)
IMPORTANCES = {
    "rotate": 0.25,
    "translate": 0.5,
    "darken": 0.5,
    "color": 0.125,
    "blur": 1.0,
    "zoom": 0.5,
    **dict.fromkeys(DISTORTIONS[6:], 0.5),
    "other": 0.5,
    "size": 0.0,
}
AMOUNTS = list(IMPORTANCES)
KINDS = AMOUNTS[:-1]
CHANNEL_OF = {"rotate": 0, "blur": 1, "color": 2}
LEVELS = [0.0, 0.25, 0.5, 0.75, 1.0]
STRENGTH = 10
UNITS = {"rotate": "degrees", "blur": "pixels of sigma"}
DIRECTIONS = {"rotate": ("clockwise", "counterclockwise"), "blur": ("softer", "sharper")}
CELL = 8
IMAGES, DRAWS_EACH = 3, 4


def make_draws() -> contract.Draws:
    """Made-up draws, in which a metric is right often, but not always."""
    generator = np.random.default_rng(0)
    rows = IMAGES * DRAWS_EACH
    true = {name: generator.uniform(0, 2, rows) for name in DRAWN}
    amounts = {name: generator.uniform(0, 0.3, (rows, len(AMOUNTS))) for name in DRAWN}
    for number, name in enumerate(DRAWN):
        amounts[name][:, number] += true[name]
    return contract.Draws(
        images=IMAGES,
        per_image=DRAWS_EACH,
        amounts={name: values.tolist() for name, values in amounts.items()},
        true_amounts={name: values.tolist() for name, values in true.items()},
        uniform={name: generator.uniform(0, 1, rows).tolist() for name in DRAWN},
    )


def make_ladder() -> contract.Ladder:
    """JPEG qualities of two photographs; with an importance of 1 for blur: 0.2, 0.3 and 0.6."""
    amounts = [
        [[amount if name == "blur" else 0.0 for name in AMOUNTS] for amount in step]
        for step in ([0.1, 0.3], [0.2, 0.4], [0.4, 0.8])
    ]
    return contract.Ladder(name="JPEG quality", steps=[90.0, 50.0, 10.0], amounts=amounts)


def make_manifest(
    *, universal: bool = False, kinds: bool = True, **changes: object
) -> contract.Manifest:
    importances = IMPORTANCES if kinds else {"other": 1.0}
    metric = contract.MetricInfo(
        name="universal" if universal else "fake",
        variant="additive" if kinds else "lin",
        ranking=None if universal else [["color"], ["rotate"], ["blur"]],
        judgements=None,
        amounts=list(importances),
        importances=None if universal else importances,
        distortions=[
            contract.DistortionInfo(
                name=name,
                unit=UNITS.get(name) if kinds else None,
                directions=DIRECTIONS.get(name) if kinds else None,
                parameter="strength" if name in DRAWN else None,
                range=(0.0, 1.0) if name in DRAWN else None,
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
        "ladders": [make_ladder()] if kinds else [],
        "parity": contract.Parity(max_abs_error=0.0, pairs=1),
        "precision": "float32",
        "cell": CELL if kinds else None,
        "map": "its mean is the distance",
        **changes,
    }
    return contract.Manifest(**fields)  # type: ignore[arg-type]


def make_model(
    manifest: contract.Manifest | str | None = None,
    *,
    universal: bool = False,
    kinds: bool = True,
    amounts: bool = True,
    offsets: Mapping[str, float] | None = None,
) -> onnx.ModelProto:
    """The fake metric as a model.

    Args:
        manifest: the manifest, as an object or as text; "" leaves it out.
        universal: the context is an input.
        kinds: tell kinds of change apart.
        amounts: without kinds, report the one amount.
        offsets: added to all values of outputs, by name.
    """
    columns = len(AMOUNTS) if kinds else 1
    spread = np.zeros((3, columns), np.float32)
    for name, channel in CHANNEL_OF.items():
        spread[channel, AMOUNTS.index(name) if kinds else 0] = 1 if kinds else IMPORTANCES[name]
    if kinds:
        spread[:, -1] = 1 / 3
    constants = {
        "scale": np.float32(1 / 255),
        "spread": spread,
        "spread_kinds": spread[:, :-1],
        "positions": np.array([1, 2]),
        "ten": np.float32(STRENGTH),
        "last": np.array(columns - 1),
    }
    inputs = {
        "reference": (TensorProto.UINT8, ["R", "H", "W", 3]),
        "distorted": (TensorProto.UINT8, ["N", "H", "W", 3]),
    }
    if universal:
        inputs["importance"] = (TensorProto.FLOAT, [columns])
    else:
        frozen = list(IMPORTANCES.values()) if kinds else [1.0]
        constants["importance"] = np.array(frozen, np.float32)
    nodes = [
        helper.make_node("Cast", ["reference"], ["first"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["distorted"], ["second"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["second", "first"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["absolute"]),
        helper.make_node("Mul", ["absolute", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "spread"], ["pixels"]),
        helper.make_node("ReduceMean", ["pixels", "positions"], ["means"], keepdims=0),
    ]
    outputs: dict[str, list[object]] = {}

    def add_output(name: str, shape: list[object], operator: str, *given: str, **how: int) -> None:
        offset = (offsets or {}).get(name)
        found = name if offset is None else f"{name}_exact"
        nodes.append(helper.make_node(operator, list(given), [found], **how))
        if offset is not None:
            constants[f"{name}_offset"] = np.float32(offset)
            nodes.append(helper.make_node("Add", [found, f"{name}_offset"], [name]))
        outputs[name] = shape

    add_output("distance", ["N"], "MatMul", "means", "importance")
    if kinds:
        nodes += [
            helper.make_node("MatMul", ["scaled", "spread_kinds"], ["pixels_by_kind"]),
            helper.make_node(
                "ReduceMean", ["pixels_by_kind", "positions"], ["by_kind"], keepdims=0
            ),
            helper.make_node("MatMul", ["difference", "spread_kinds"], ["signed"]),
            helper.make_node("ReduceMean", ["signed", "positions"], ["rise"], keepdims=0),
            helper.make_node("Transpose", ["pixels_by_kind"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node(
                "AveragePool",
                ["planes"],
                ["pooled"],
                kernel_shape=[CELL, CELL],
                strides=[CELL, CELL],
                ceil_mode=1,
            ),
        ]
        add_output("size", ["N"], "Gather", "means", "last", axis=1)
    if amounts:
        add_output("amounts", ["N", columns], "Identity", "means")
    if kinds:
        add_output("strengths", ["N", columns - 1], "Mul", "by_kind", "ten")
        add_output("directions", ["N", columns - 1], "Sign", "rise")
    add_output("map", ["N", "H2", "W2"], "MatMul", "pixels", "importance")
    if kinds:
        nodes.append(helper.make_node("Transpose", ["pooled"], ["pooled_last"], perm=[0, 2, 3, 1]))
        add_output("cells", ["N", "CH", "CW", columns - 1], "Identity", "pooled_last")
    used = {name for node in nodes for name in node.input}
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
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in constants.items()
            if name in used
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    if manifest is None:
        manifest = make_manifest(universal=universal, kinds=kinds)
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


def without_progress(err: str) -> list[str]:
    """The lines of standard error but for those that a slow machine adds."""
    return [line for line in err.splitlines() if "still working" not in line]


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
