"""Make the conformance vectors: images, contexts, and the numbers that a client must find.

    python -m clients.conformance.make

Images are drawn again (`drawing.py`), and stay as they are where their pixels are the same. The
numbers are those of `dps_infer` with its embedded file: run this once after the file was exported
anew. docs/format.md describes `vectors.json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from clients.conformance import drawing
from dps_infer import Metric
from dps_infer.arrays import Pixels
from dps_infer.files.write import atomic_file
from dps_infer.images.decode import load_picture, make_pair
from dps_infer.model import embedded
from dps_infer.model.anchors import anchor
from dps_infer.model.calibration import percentiles
from dps_infer.show.heatmap import local_values

FOLDER = Path(__file__).parent
VECTORS = FOLDER / "vectors.json"
IMAGES = FOLDER / "images"

TOLERANCES = {"measured": 1e-4, "read": 1e-3, "arithmetic": 1e-9}
"""Largest differences, relative to the largest expected value if that is above 1. `measured`:
distance, size, amounts, parts, map and local distances; `read`: strengths, directions and cells,
which are exponentials and logarithms of faint numbers; `arithmetic`: what follows from given
numbers alone."""

CONTEXTS: tuple[dict[str, Any], ...] = (
    {"importances": {"size": 1.0}},
    {"ranking": "3,1,5,0,2,4"},
    {"ranking": "translate=noise,*,tint,content"},
    {"importances": {"darken": 0.05, "blur": 2.0, "noise": 0.5, "other": 0.1, "size": 0.25}},
)

READ_CONTEXTS = (0, 1, 3)
READ_DISTANCES = (0.0, 0.01, 0.05, 0.2, 0.7, 1.9, 50.0)

REFUSED = (
    {"ranking": "color"},
    {"ranking": "color,color"},
    {"ranking": "color,size"},
    {"ranking": "color,colour"},
    {"ranking": "color,14"},
    {"importances": "color"},
    {"importances": "color=-1"},
    {"importances": "color=1,color=2"},
    {"importances": "color=0"},
    {"importances": "color=1e10"},
    {"importances": "color=nan"},
)

POINTS = 24
"""Pixels at which local distances are stated."""


def cases() -> dict[str, tuple[list[Pixels], list[Pixels]]]:
    """Draw references and candidates by the name of the case."""
    plain, small = drawing.scene(1, 130, 90), drawing.scene(2, 33, 47)
    wide, cell = drawing.scene(3, 150, 200), drawing.scene(4, 64, 64)
    shifted = drawing.scene(1, 130, 93)[:, 3:]
    first = drawing.scene(1, 130, 93)[:, :-3]
    return {
        "identical": ([cell], [cell.copy()]),
        "one-reference": (
            [plain],
            [drawing.darker(plain), drawing.softer(plain), drawing.tinted(plain)],
        ),
        "shifted": ([first], [shifted]),
        "below-a-cell": ([small], [drawing.noisy(small, 5)]),
        "one-place": ([wide], [drawing.with_disc(wide, 128, 180, 9)]),
        "own-references": (
            [cell, drawing.tinted(cell)],
            [drawing.softer(cell, 1), drawing.darker(cell, 60)],
        ),
    }


def main() -> None:
    """Write all images and numbers."""
    IMAGES.mkdir(exist_ok=True)
    metrics = [Metric.universal(**given, device="cpu", threads=1) for given in CONTEXTS]
    metrics[1:] = [metrics[0].in_context(**given) for given in CONTEXTS[1:]]
    found = {
        "format": 1,
        "file": {"name": embedded.UNIVERSAL.name, "sha256": embedded.SHA256},
        "tolerances": TOLERANCES,
        "contexts": [
            {**given, "expected": metric.importances}
            for given, metric in zip(CONTEXTS, metrics, strict=True)
        ],
        "refused": list(REFUSED),
        "cases": [_case(name, *images, metrics) for name, images in cases().items()],
        "readings": [_reading(number, metrics[number]) for number in READ_CONTEXTS],
        "decoding": _decoding(),
    }
    with atomic_file(VECTORS, force=True) as temporary:
        temporary.write_text(_text(found), encoding="utf-8")
    print(f"{VECTORS}: {len(found['cases'])} cases, {VECTORS.stat().st_size / 1e3:.0f} kB")


def _case(
    name: str, references: list[Pixels], candidates: list[Pixels], metrics: Sequence[Metric]
) -> dict[str, Any]:
    names = {}
    for role, images in (("references", references), ("candidates", candidates)):
        names[role] = [f"images/{name}-{role[:-1]}-{place}.png" for place in range(len(images))]
        for path, pixels in zip(names[role], images, strict=True):
            write_image(FOLDER / path, pixels)
    first, second = np.stack(references), np.stack(candidates)
    measured = metrics[0].measure(first, second, with_map=True)
    kinds = {
        key: _rounded(getattr(measured, key))
        for key in ("amounts", "strengths", "directions", "cells")
    }
    return {
        "name": name,
        **names,
        "expected": kinds,
        "contexts": [
            _in_context(number, metric, references, candidates)
            for number, metric in enumerate(metrics)
        ],
    }


def _in_context(
    number: int, metric: Metric, references: list[Pixels], candidates: list[Pixels]
) -> dict[str, Any]:
    height, width = references[0].shape[:2]
    found = metric.compare_batch(np.stack(references), np.stack(candidates), with_map=True)
    random = np.random.default_rng(number)
    rows, columns = random.integers(0, height, POINTS), random.integers(0, width, POINTS)
    # The corners as well, and the border between two places.
    rows[:4], columns[:4] = (0, 0, height - 1, height - 1), (0, width - 1, 0, width - 1)
    rows[4:6], columns[4:6] = (7, 8), (7, 8)
    return {
        "context": number,
        "distance": _rounded([one.distance for one in found]),
        "parts": [{name: _rounded(part) for name, part in one.parts.items()} for one in found],
        "map": [_rounded(one.map) for one in found],
        "local": {
            "x": columns.tolist(),
            "y": rows.tolist(),
            "values": [
                _rounded(local_values(one, metric, (height, width))[rows, columns]) for one in found
            ],
        },
    }


def _reading(number: int, metric: Metric) -> dict[str, Any]:
    return {
        "context": number,
        "distances": list(READ_DISTANCES),
        "percentiles": [percentiles(one, metric.calibration) for one in READ_DISTANCES],
        "anchors": [
            [
                {"change": found.change, "value": found.value, "beyond": found.beyond}
                for found in (anchor(one, scale) for scale in metric.scales)
            ]
            for one in READ_DISTANCES
        ],
    }


def _decoding() -> dict[str, Any]:
    """Two images with alpha of their own, and what is compared: over white, and over black."""
    color = drawing.scene(6, 12, 16)
    rows, columns = np.mgrid[:12, :16]
    alphas = ((rows * 255 // 11), (columns * 255 // 15))
    paths = []
    for place, alpha in enumerate(alphas):
        path = f"images/alpha-{place}.png"
        write_image(FOLDER / path, np.dstack([color, alpha.astype(np.uint8)]))
        paths.append(path)
    pictures = [load_picture(FOLDER / path, label=path) for path in paths]
    renderings = make_pair(*pictures).renderings
    return {
        "images": paths,
        "renderings": [[image.flatten().tolist() for image in pair] for pair in renderings],
    }


def write_image(path: Path, pixels: Pixels) -> None:
    """Write a PNG, unless there is one with the same pixels.

    Args:
        path: the file.
        pixels: uint8 RGB or RGBA [H, W, C].
    """
    stored = cv2.cvtColor(
        pixels, cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    )
    if path.is_file():
        there = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if there is not None and np.array_equal(there, stored):
            return
    _, encoded = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    path.write_bytes(encoded.tobytes())


def _rounded(value: Any) -> Any:
    """Return numbers with seven digits: more than any tolerance asks for."""
    values = np.asarray(value, np.float64)
    if values.ndim:
        return [_rounded(one) for one in values]
    return float(f"{float(values):.7g}")


def _text(found: Mapping[str, Any]) -> str:
    """Return JSON with a line for each entry of the lists at its top."""
    lines = []
    for key, value in found.items():
        if isinstance(value, list):
            entries = ",\n    ".join(json.dumps(one) for one in value)
            lines.append(f"{json.dumps(key)}: [\n    {entries}\n  ]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n  " + ",\n  ".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
