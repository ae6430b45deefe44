"""Line drawings and street maps.

Public functions take the side in pixels and a random generator, and return uint8 RGB
[side, side, 3].
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dps_infer.arrays import Pixels
from dps_train.pretrain.images.painting import (
    Color,
    as_color,
    polygon,
    random_color,
    random_point,
    resized,
    to_pixels,
)


class MapTones(NamedTuple):
    """The darkest and the lightest color of each part of a map."""

    land: tuple[int, int]
    street: tuple[int, int]
    area: tuple[int, int]


DAY = MapTones(land=(200, 250), street=(235, 255), area=(140, 235))
NIGHT = MapTones(land=(20, 70), street=(70, 120), area=(20, 110))


def line_drawing(side: int, rng: np.random.Generator) -> Pixels:
    """Draw strokes, boxes, circles and curves, light on dark or dark on light."""
    light, dark = (225, 255), (0, 110)
    paper, ink = (light, dark) if rng.random() < 0.75 else (dark, light)
    image = _canvas(side, random_color(rng, *paper), rng)
    pen = random_color(rng, *ink)
    for _ in range(rng.integers(6, 30)):
        color = pen if rng.random() < 0.7 else random_color(rng)
        _stroke(image, color, int(rng.integers(1, 4)), rng)
    return resized(image, side)


def street_map(side: int, rng: np.random.Generator) -> Pixels:
    """Draw land and water, a grid of streets, main roads across it, and houses."""
    tones = DAY if rng.random() < 0.8 else NIGHT
    land = random_color(rng, *tones.land)
    street = random_color(rng, *tones.street)
    casing = as_color(np.array(land) * rng.uniform(0.65, 0.9))
    image = _canvas(side, land, rng)
    for _ in range(rng.integers(1, 5)):
        area = polygon(random_point(len(image), rng), len(image) * rng.uniform(0.15, 0.5), rng)
        cv2.fillPoly(image, [area], random_color(rng, *tones.area), cv2.LINE_AA)
    _houses(image, casing, rng)
    width = int(rng.integers(2, 7))
    streets = _street_grid(len(image), rng)
    main_roads = [_curve(len(image), rng) for _ in range(rng.integers(1, 4))]
    main_color = street if rng.random() < 0.4 else random_color(rng, 120, 255)
    # Casings before surfaces, so that streets join where they cross.
    cv2.polylines(image, streets, False, casing, width + 2, cv2.LINE_AA)
    cv2.polylines(image, streets, False, street, width, cv2.LINE_AA)
    cv2.polylines(image, main_roads, False, casing, 2 * width + 2, cv2.LINE_AA)
    cv2.polylines(image, main_roads, False, main_color, 2 * width, cv2.LINE_AA)
    return resized(image, side)


def _canvas(side: int, color: Color, rng: np.random.Generator) -> Pixels:
    """Return a canvas of one color, up to three times as large, for finer lines once shrunk."""
    extent = round(side * rng.choice([1, 1.5, 2, 3]))
    return np.full((extent, extent, 3), color, dtype=np.uint8)


def _curve(side: int, rng: np.random.Generator) -> NDArray[np.int32]:
    """Return a smooth curve from one side of the image to another: int32 [N, 2]."""
    start, middle, end = rng.uniform(-0.2 * side, 1.2 * side, (3, 2))
    start[rng.integers(2)] = -0.1 * side
    end[rng.integers(2)] = 1.1 * side
    t = np.linspace(0, 1, 24)[:, None]
    return to_pixels((1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end)


def _stroke(image: Pixels, color: Color, width: int, rng: np.random.Generator) -> None:
    """Draw one line, box, circle, outline or curve on the image."""
    side = len(image)
    start, end = random_point(side, rng), random_point(side, rng)
    shape = rng.integers(5)
    if shape == 0:
        cv2.line(image, start, end, color, width, cv2.LINE_AA)
    elif shape == 1:
        filling = -1 if rng.random() < 0.15 else width
        cv2.rectangle(image, start, end, color, filling)
    elif shape == 2:
        radius = int(side * rng.uniform(0.03, 0.3))
        cv2.circle(image, start, radius, color, width, cv2.LINE_AA)
    elif shape == 3:
        outline = polygon(start, side * rng.uniform(0.1, 0.4), rng)
        cv2.polylines(image, [outline], True, color, width, cv2.LINE_AA)
    else:
        cv2.polylines(image, [_curve(side, rng)], False, color, width, cv2.LINE_AA)


def _street_grid(side: int, rng: np.random.Generator) -> list[NDArray[np.int32]]:
    """Return the streets of a rotated, uneven grid, int32 [2, 2] each."""
    angle = rng.uniform(0, math.pi / 2)
    along = np.array([math.cos(angle), math.sin(angle)])
    across = np.array([-along[1], along[0]])
    streets = []
    for direction, offset in ((along, across), (across, along)):
        block = rng.uniform(16, 60)
        for distance in np.arange(-side, side, block):
            middle = side / 2 + offset * (distance + rng.uniform(-0.25, 0.25) * block)
            # Some streets end at a crossing.
            start, end = np.sort(rng.uniform(-1.5, 1.5, 2)) if rng.random() < 0.3 else (-1.5, 1.5)
            ends = np.stack([middle + side * start * direction, middle + side * end * direction])
            streets.append(to_pixels(ends))
    return streets


def _houses(image: Pixels, color: Color, rng: np.random.Generator) -> None:
    """Draw small rotated boxes on the image."""
    angle = float(rng.uniform(0, 90))
    for _ in range(rng.integers(0, 40)):
        width, depth = rng.uniform(3, 14, 2).tolist()
        column, row = random_point(len(image), rng)
        box = cv2.boxPoints(((column, row), (width, depth), angle))
        cv2.fillConvexPoly(image, to_pixels(box), color, cv2.LINE_AA)
