"""Make judgements of a simulated person, for whom softness and noise matter, and color does not.

Writes triplets (a part of a photograph and two changes of it) and ``judged/judgements.csv`` with
the columns reference, p0, p1 and judge: 1 where the person finds p1 closer. One answer in ten is
wrong, as those of people are. docs/tutorials/judgements.md learns a context from them:
``python examples/tutorials/judged_triplets.py``.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

PHOTOGRAPH = Path(__file__).parents[1] / "images" / "reference.jpg"
REFERENCES, EACH = 6, 8
SIDE = 96
WRONG = 0.1

Pixels = NDArray[np.uint8]
Rng = np.random.Generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("judged"))
    output: Path = parser.parse_args().output
    output.mkdir(parents=True)
    photograph = np.asarray(cv2.imread(str(PHOTOGRAPH)), np.uint8)
    rng = np.random.default_rng(0)
    rows = []
    corners = rng.integers(0, photograph.shape[0] - SIDE, (REFERENCES, 2))
    for number in range(REFERENCES * EACH):
        top, left = corners[number // EACH]
        reference = photograph[top : top + SIDE, left : left + SIDE]
        kinds = rng.choice(list(CHANGES), 2, replace=False)
        strengths = rng.uniform(0.3, 1, 2)
        name = f"{number // EACH}.png"
        names = [name, *(f"{number:02}-{candidate}.png" for candidate in ("p0", "p1"))]
        changed = [CHANGES[k](reference, s) for k, s in zip(kinds, strengths, strict=True)]
        for name, pixels in zip(names, (reference, *changed), strict=True):
            cv2.imwrite(str(output / name), pixels)
        first, second = (MATTERS[k] * s for k, s in zip(kinds, strengths, strict=True))
        rows.append((*names, int((second < first) != (rng.random() < WRONG))))
    with (output / "judgements.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("reference", "p0", "p1", "judge"), *rows])
    print(f"{len(rows)} judgements written to {output}")


def softer(image: Pixels, strength: float) -> Pixels:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 4 * strength), np.uint8)


def noisier(image: Pixels, strength: float) -> Pixels:
    grain = np.random.default_rng(1).normal(0, 30 * strength, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def darker(image: Pixels, strength: float) -> Pixels:
    return np.asarray(image * (1 - 0.6 * strength), np.uint8)


def recolored(image: Pixels, strength: float) -> Pixels:
    hue = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hue[..., 0] = (hue[..., 0] + round(70 * strength)) % 180
    return np.asarray(cv2.cvtColor(hue, cv2.COLOR_HSV2BGR), np.uint8)


def shifted(image: Pixels, strength: float) -> Pixels:
    move = np.array([[1, 0, 16 * strength], [0, 1, 8 * strength]], np.float32)
    moved = cv2.warpAffine(image, move, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


CHANGES: dict[str, Callable[[Pixels, float], Pixels]] = {
    "blur": softer,
    "noise": noisier,
    "darken": darker,
    "color": recolored,
    "translate": shifted,
}
MATTERS = {"blur": 1.0, "noise": 0.7, "darken": 0.2, "translate": 0.1, "color": 0.05}
"""How much a change of full strength disturbs this person."""


if __name__ == "__main__":
    main()
