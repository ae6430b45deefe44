"""The inputs of the commands that are killed: small images, tables and videos, made by code."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np


def make_inputs(folder: Path) -> None:
    """Write images, a table of pairs, and two videos."""
    for place, seed in (("ref", 0), ("cand", 1)):
        (folder / place).mkdir(parents=True)
        for number in range(12):
            cv2.imwrite(str(folder / place / f"{number:02}.png"), _photo(number, seed))
    with (folder / "pairs.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "reference", "candidate"])
        for number in range(600):
            other = f"{'ref' if number % 2 else 'cand'}/{number % 12:02}.png"
            writer.writerow([f"{number:04}", f"ref/{number // 12 % 12:02}.png", other])
    for name, seed in (("a.avi", 0), ("b.avi", 1)):
        writer = cv2.VideoWriter(
            str(folder / name), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (128, 96)
        )
        for number in range(60):
            writer.write(np.roll(_photo(3, seed), number, axis=1))
        writer.release()


def _photo(number: int, seed: int) -> np.ndarray:
    """Draw smooth blobs; another seed adds a little noise."""
    draw = np.random.default_rng(number)
    noise = draw.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    blobs = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 6), None, 0, 255, cv2.NORM_MINMAX)
    grain = np.random.default_rng([seed, number]).normal(0, 4 * seed, blobs.shape)
    return np.clip(blobs + grain, 0, 255).astype(np.uint8)
