"""Draw a printed label and scans of it: good prints, and prints with faults.

``approved.png`` is a scan of the print that was approved. ``good`` has forty scans of good prints,
each lying a little differently under the camera, with the camera's noise; ``good.csv`` lists them.
``faults`` has one scan for each fault. docs/tutorials/print-inspection.md inspects them:
``python examples/tutorials/print_sheets.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

HEIGHT, WIDTH = 360, 480
GOOD = 40
PAPER = (250, 248, 242)
NOISE = 1.5
"""Of the camera: standard deviation in gray levels."""

Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("prints"))
    output: Path = parser.parse_args().output
    for name in ("good", "faults"):
        (output / name).mkdir(parents=True)
    sheet = draw()
    rng = np.random.default_rng(0)
    save(output / "approved.png", scan(sheet, rng))
    rows = []
    for number in range(GOOD):
        save(output / f"good/{number:02}.png", scan(sheet, rng))
        rows.append(f"approved.png,good/{number:02}.png\n")
    for name, fault in FAULTS.items():
        save(output / f"faults/{name}.png", scan(fault(sheet), rng))
    (output / "good.csv").write_text("reference,candidate\n" + "".join(rows), encoding="utf-8")
    print(f"an approved scan, {GOOD} good ones and {len(FAULTS)} faults written to {output}")


def draw() -> Pixels:
    """Draw the label: uint8 RGB."""
    image = Image.new("RGB", (WIDTH, HEIGHT), PAPER)
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((20, 20, WIDTH - 21, HEIGHT - 21), outline="#1d3557", width=3)
    canvas.rectangle((20, 20, WIDTH - 21, 96), fill="#c8102e")
    canvas.text((40, 34), "Orchard & Sons", PAPER, ImageFont.load_default(38))
    canvas.text(
        (40, 116), "Apple juice, not from concentrate", "#1d3557", ImageFont.load_default(21)
    )
    canvas.ellipse((330, 160, 440, 270), fill="#3a8f3f")
    canvas.ellipse((350, 176, 390, 216), fill="#7cc47f")
    for number, line in enumerate(("1 liter", "Keep cool after opening", "Lot 4711")):
        canvas.text((40, 170 + 32 * number), line, "#222222", ImageFont.load_default(18))
    bars = np.random.default_rng(1).integers(0, 2, 60)
    for number in np.flatnonzero(bars):
        canvas.rectangle((40 + 4 * number, 285, 43 + 4 * number, 325), fill="#111111")
    return np.asarray(image, np.uint8)


def scan(sheet: Pixels, rng: np.random.Generator) -> Pixels:
    """Lay a sheet under the camera: up to 2 pixels and 0.3 degrees from its place, with noise."""
    turn = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), rng.uniform(-0.3, 0.3), 1)
    turn[:, 2] += rng.uniform(-2, 2, 2)
    laid = cv2.warpAffine(sheet, turn, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)
    noisy = laid + rng.normal(0, NOISE, laid.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def color_cast(sheet: Pixels) -> Pixels:
    return np.clip(sheet * np.array([1.0, 0.94, 0.86]), 0, 255).astype(np.uint8)


def little_ink(sheet: Pixels) -> Pixels:
    return np.asarray(255 - 0.75 * (255.0 - sheet), np.uint8)


def missing_line(sheet: Pixels) -> Pixels:
    changed = sheet.copy()
    changed[200:228, 36:280] = PAPER
    return changed


def smeared(sheet: Pixels) -> Pixels:
    return np.asarray(cv2.blur(sheet, (7, 1)), np.uint8)


def spot(sheet: Pixels) -> Pixels:
    return np.asarray(cv2.circle(sheet.copy(), (290, 235), 7, (60, 50, 45), -1, cv2.LINE_AA))


FAULTS: dict[str, Callable[[Pixels], Pixels]] = {
    "color-cast": color_cast,
    "little-ink": little_ink,
    "missing-line": missing_line,
    "smeared": smeared,
    "spot": spot,
}


def save(path: Path, pixels: Pixels) -> None:
    cv2.imwrite(str(path), pixels[..., ::-1])


if __name__ == "__main__":
    main()
