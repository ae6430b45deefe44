"""One pair of images in two contexts: two distances, and two heat maps.

A copy of a photograph is blurred in one part and recolored in another. Where blur matters most,
the blurred part stands out; where color does, the recolored one. Makes the picture in the README:
``python examples/two_contexts.py -o docs/images/two-contexts.png``.
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from dps_infer import Metric
from dps_infer.show.heatmap import draw_map, save_picture
from dps_infer.show.words import formula

RANKINGS = ("color,translate,zoom,rotate,darken,blur", "blur,translate,zoom,rotate,darken,color")
GAP, LINE, MOST_LINES = 12, 26, 4
LETTERS = 38
"""Letters of a caption beside each other, at the width of a photograph."""

WIDTH = 1400
PAPER, INK = 255, (40, 40, 40)
BLURRED = (slice(40, 240), slice(160, 310))
RECOLORED = (slice(310, 490), slice(60, 240))

Image = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("two-contexts.png"))
    output: Path = parser.parse_args().output
    reference = np.ascontiguousarray(data.astronaut())
    candidate = changed(reference)
    columns = [
        column(reference, ["reference"]),
        column(candidate, ["candidate:", "blurred above, recolored below"]),
    ]
    universal = Metric.universal(ranking=RANKINGS[0])
    for ranking in RANKINGS:
        metric = universal.in_context(ranking=ranking)
        comparison = metric.compare(reference, candidate, with_map=True)
        picture = draw_map(comparison, metric, candidate, overlay=True, legend=True)
        reading = formula(comparison)
        print(f"{metric.describe()}: {reading}")
        lines = textwrap.wrap(reading, LETTERS, max_lines=MOST_LINES - 1)
        columns.append(column(picture, [f"{ranking.split(',')[-1]} matters most:", *lines]))
    sheet = beside(columns)
    size = (WIDTH, round(sheet.shape[0] * WIDTH / sheet.shape[1]))
    save_picture(cv2.resize(sheet, size, interpolation=cv2.INTER_AREA), output, force=True)
    print(f"Picture written to {output}")


def changed(reference: Image) -> Image:
    """Return a copy that is blurred in one part, and has its hues turned in another."""
    candidate = reference.copy()
    candidate[BLURRED] = cv2.GaussianBlur(reference, (0, 0), sigmaX=3)[BLURRED]
    hue = cv2.cvtColor(reference, cv2.COLOR_RGB2HSV)
    hue[..., 0] = (hue[..., 0].astype(int) + 30) % 180
    candidate[RECOLORED] = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[RECOLORED]
    return candidate


def column(picture: Image, words: list[str]) -> Image:
    """Put lines of text above a picture."""
    head = np.full((LINE * MOST_LINES + GAP, picture.shape[1], 3), PAPER, np.uint8)
    for number, line in enumerate(words):
        origin = (2, LINE * (1 + number))
        cv2.putText(head, line, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.7, INK, 1, cv2.LINE_AA)
    return np.concatenate([head, picture])


def beside(columns: list[Image]) -> Image:
    """Put pictures side by side, aligned at the top."""
    height = max(picture.shape[0] for picture in columns)
    padded = [
        np.pad(p, ((0, height - p.shape[0]), (0, GAP), (0, 0)), constant_values=PAPER)
        for p in columns
    ]
    return np.concatenate(padded, axis=1)


if __name__ == "__main__":
    main()
