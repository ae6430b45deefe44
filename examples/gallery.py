"""Draw a contact sheet for each context of the gallery: the same changes in a different order.

Each sheet shows a photograph under the six distortions, at the strength of amount 1 and sorted by
distance, and the heat map of one pair in which four parts are changed in different ways. Makes the
pictures of docs/contexts.md: ``python examples/gallery.py -o docs/images/gallery``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from skimage import data

from dps_infer import Metric
from dps_infer.contexts.folders import GALLERY
from dps_infer.contexts.saved import read_saved
from dps_infer.report.examples import examples
from dps_infer.show.heatmap import draw_map
from dps_infer.show.words import formula

CELL, CAPTION, GAP, COLUMNS = 192, 44, 8, 4
PAPER, INK = 255, (40, 40, 40)
LINE = 0.42
SHOWN_PARTS = 2
COLORS = 256

Image = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("gallery"))
    output: Path = parser.parse_args().output
    # A square, so that every cell is filled.
    reference = np.ascontiguousarray(data.chelsea()[:, 75:375])
    candidate = changed(reference)
    pair = [cell(reference, ["reference"]), cell(candidate, ["candidate"])]
    output.mkdir(parents=True, exist_ok=True)
    save(np.concatenate(pair, axis=1), output / "pair.png")
    for file in sorted(GALLERY.glob("*.toml")):
        # By file: a context of the user's own would hide one of the gallery's name.
        metric = Metric.universal(context=read_saved(file))
        save(sheet(metric, reference, candidate), output / f"{file.stem}.png")
        print(f"{metric.name}: {metric.describe()}")
    print(f"Pictures written to {output}")


def changed(reference: Image) -> Image:
    """Return a copy with four changed quarters: recolored, blurred, darkened and shifted."""
    candidate = reference.copy()
    top, bottom, left, right = slice(10, 140), slice(160, 290), slice(10, 140), slice(160, 290)
    hue = cv2.cvtColor(reference, cv2.COLOR_RGB2HSV)
    hue[..., 0] = (hue[..., 0].astype(int) + 60) % 180
    candidate[top, left] = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[top, left]
    candidate[top, right] = cv2.GaussianBlur(reference, (0, 0), sigmaX=8)[top, right]
    candidate[bottom, left] = reference[bottom, left] // 3
    candidate[bottom, right] = np.roll(reference, 20, axis=1)[bottom, right]
    return candidate


def sheet(metric: Metric, reference: Image, candidate: Image) -> Image:
    """Return the reference, its six distortions sorted by distance, and the pair's heat map."""
    found = examples(metric, reference)
    cells = [cell(e.pixels, caption(e.name, e.strength, e.distance)) for e in found]
    comparison = metric.compare(reference, candidate, with_map=True)
    picture = draw_map(comparison, metric, candidate)
    total, _, parts = formula(comparison).partition(" = ")
    largest = " + ".join(parts.split(" + ")[:SHOWN_PARTS])
    cells.append(cell(picture, [f"the pair: {total}", largest]))
    rows = [cells[start : start + COLUMNS] for start in range(0, len(cells), COLUMNS)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])


def caption(name: str, strength: str, distance: float) -> list[str]:
    return [f"{name} {distance:.2f}", strength] if name else ["reference"]


def cell(picture: Image, words: list[str]) -> Image:
    """Put lines of text above a picture, and a margin to the right and below."""
    head = np.full((CAPTION, CELL, 3), PAPER, np.uint8)
    for number, line in enumerate(words):
        origin = (1, 16 + 20 * number)
        cv2.putText(head, line, origin, cv2.FONT_HERSHEY_SIMPLEX, LINE, INK, 1, cv2.LINE_AA)
    small = cv2.resize(picture, (CELL, CELL), interpolation=cv2.INTER_AREA)
    margin = ((0, GAP), (0, GAP), (0, 0))
    return np.pad(np.concatenate([head, small]), margin, constant_values=PAPER)


def save(picture: Image, path: Path) -> None:
    """Write a picture with a palette: less than half the size of full color."""
    full = Pillow.fromarray(picture)
    # Pillow dithers, which avoids visible bands, only where it is given a palette.
    palette = full.quantize(COLORS, kmeans=1)
    full.quantize(palette=palette, dither=Pillow.Dither.FLOYDSTEINBERG).save(path, optimize=True)


if __name__ == "__main__":
    main()
