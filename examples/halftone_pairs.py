"""Make pairs of images before and after a distortion, as a process outside Python would.

A newspaper prints dots of ink instead of shades. A few lines of code stand in for the press and
the scanner, and write a folder of images and a CSV file with the columns before,after,strength.
docs/custom-distortions.md shows how to train on it.

    python examples/halftone_pairs.py PHOTOGRAPHS -o halftone
    dps-train --distortions halftone/halftone.csv --ranking color,halftone,blur
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

SCREENS = (2, 3, 4, 6, 8)
"""Distances between dots, in pixels."""

ABOUT = """\
name = "halftone"
unit = "distance between dots, in pixels"
range = [3, 8]
threshold = 1
reference = 4
"""

Image = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, help="folder of images")
    parser.add_argument("-o", "--output", type=Path, default=Path("halftone"))
    arguments = parser.parse_args()
    output: Path = arguments.output
    output.mkdir(parents=True)
    rows = []
    for path in sorted(arguments.photographs.iterdir()):
        image = cv2.imread(str(path))
        if image is None:
            continue
        before = f"{path.stem}.png"
        cv2.imwrite(str(output / before), image)
        for screen in SCREENS:
            after = f"{path.stem}-{screen}.png"
            cv2.imwrite(str(output / after), printed(np.asarray(image, np.uint8), screen))
            rows.append((before, after, screen))
    with (output / "halftone.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("before", "after", "strength"), *rows])
    (output / "halftone.toml").write_text(ABOUT)
    print(f"{len(rows)} pairs written to {output}")


def printed(image: Image, screen: int) -> Image:
    """Print uint8 [H, W, 3] in round dots, with a screen at another angle for each ink."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    planes = []
    for plane, degrees in zip(cv2.split(image), (0, 15, 75), strict=True):
        angle = np.deg2rad(degrees)
        along = (x * np.cos(angle) + y * np.sin(angle)) * np.pi / screen
        across = (y * np.cos(angle) - x * np.sin(angle)) * np.pi / screen
        dots = 0.5 + 0.25 * (np.cos(2 * along) + np.cos(2 * across))
        # There is ink where the shade is darker than the screen; the scanner softens the edges.
        paper = 1 / (1 + np.exp(-12 * (plane / 255 - dots)))
        planes.append((255 * paper).astype(np.uint8))
    return np.asarray(cv2.merge(planes), np.uint8)


if __name__ == "__main__":
    main()
