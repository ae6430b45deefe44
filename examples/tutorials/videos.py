"""Make a short video and two candidates: one coded worse, one with a fault in some frames.

The camera pans over a photograph. ``worse.avi`` is the same video in a lower quality;
``glitch.avi`` has five frames, from the 21st on, in which a part is lost.
docs/tutorials/video.md compares them: ``python examples/tutorials/videos.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

PHOTOGRAPH = Path(__file__).parents[1] / "images" / "reference.jpg"
FRAMES, RATE = 40, 20
HEIGHT, WIDTH = 160, 176
GLITCH = range(20, 25)
QUALITY = 20
"""Of JPEG, in the worse video."""

Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=Path("videos"))
    output: Path = parser.parse_args().output
    output.mkdir(parents=True)
    photograph = np.asarray(cv2.imread(str(PHOTOGRAPH)), np.uint8)
    frames = [photograph[40:, 2 * n :][:HEIGHT, :WIDTH] for n in range(FRAMES)]
    write(output / "source.avi", frames)
    write(output / "worse.avi", map(coarse, frames))
    faulty = [lost(frame) if n in GLITCH else frame for n, frame in enumerate(frames)]
    write(output / "glitch.avi", faulty)
    print(f"three videos of {FRAMES} frames written to {output}")


def lost(frame: Pixels) -> Pixels:
    """Return a frame in which a band of blocks is lost."""
    changed = frame.copy()
    changed[80:112] = 128
    return changed


def coarse(frame: Pixels) -> Pixels:
    """Return a frame coded in a lower quality."""
    encoded = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def write(path: Path, frames: Iterable[Pixels]) -> None:
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, RATE, (WIDTH, HEIGHT))
    for frame in frames:
        writer.write(frame)
    writer.release()


if __name__ == "__main__":
    main()
