"""Contact sheets: an image under each distortion at several strengths, at its own size."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.errors import OutputError
from dps_infer.files.write import atomic_file, check_output
from dps_train.data.crops import to_tensor
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS

COLUMNS = 5
GAP = 8

NARROWEST = 96
"""Least width of a column in pixels: the captions need it."""

WORKING_SIZE = 64
"""The paper's size in pixels, which strengths in pixels belong to."""

MOST_PIXELS = 60_000_000
"""Of a sheet; larger photographs are reduced before they are changed."""

LONGEST = 16_000
"""Longest side of a sheet in pixels; WebP ends at 16,383."""

INK = (40, 40, 40)
PAPER = 255

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def distortion_sheet(image: Pixels, distortions: Sequence[Distortion] = DISTORTIONS) -> Pixels:
    """Draw an image uint8 RGB [H, W, 3] under each distortion, weak to strong over its range.

    Each distortion has a row: its name with the unit of its strength above, the original image
    first, and the strengths below. Distortions that need originals are left out.
    """
    shown = [pair for pair in enumerate(distortions) if not pair[1].needs_original]
    image = reduced(image, len(shown))
    original = to_tensor(image)
    rows = []
    for number, distortion in shown:
        strengths = _strengths(distortion)
        cells = [_changed(distortion, original, strength) for strength in strengths]
        captions = ["original", *(f"{strength:.3g}" for strength in strengths.tolist())]
        rows.append(labeled_row(row_title(number, distortion), [image, *cells], captions))
    return np.concatenate([*rows, _blank(GAP, rows[0].shape[1])])


def shown_share(image: Pixels, rows: int) -> float:
    """Return the share of an image's sides at which a sheet of so many rows shows it: 1 or less."""
    height, width = image.shape[:2]
    columns = COLUMNS + 1
    sides = LONGEST / max(columns * width, rows * height)
    return min(1.0, sides, math.sqrt(MOST_PIXELS / (columns * rows * height * width)))


def reduced(image: Pixels, rows: int) -> Pixels:
    """Return an image at the size at which a sheet of so many rows shows it."""
    share = shown_share(image, rows)
    if share == 1:
        return image
    height, width = (max(1, int(share * side)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def labeled_row(title: str, images: Sequence[Pixels], captions: Sequence[str]) -> Pixels:
    """Draw images of one size side by side, a title above, and a caption below each: uint8 RGB."""
    height, width = images[0].shape[:2]
    column = max(width, NARROWEST)
    letters = max(0.45, column / 900)
    line = round(42 * letters)
    row = _blank(line + height + line, GAP + len(images) * (column + GAP))
    _write(row, title, (GAP, round(0.75 * line)), letters)
    for place, (image, caption) in enumerate(zip(images, captions, strict=True)):
        left = GAP + place * (column + GAP)
        row[line : line + height, left : left + width] = image
        _write(row, caption, (left, line + height + round(0.65 * line)), letters)
    return row


def check_sheet(
    path: Path, *, force: bool = False, inputs: Iterable[str | os.PathLike[str] | None] = ()
) -> None:
    """Raise an OutputError early if the suffix is unknown or `path` cannot be written."""
    if path.suffix.lower() not in SHEET_SUFFIXES:
        raise OutputError(
            f"cannot write {path}: expected a name that ends in {', '.join(SHEET_SUFFIXES)}"
        )
    check_output(path, force=force, inputs=inputs)


def save_sheet(sheet: Pixels, path: Path, *, force: bool = False) -> None:
    """Write a sheet in the image format of the suffix; raises as `check_sheet`."""
    check_sheet(path, force=force)
    with atomic_file(path, force=force) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def row_title(number: int, distortion: Distortion) -> str:
    """Return what a row shows: the distortion, and the unit of its strength."""
    where = f" of an image with {WORKING_SIZE} x {WORKING_SIZE}" if distortion.in_pixels else ""
    return f"{number} {distortion.name}: {distortion.unit}{where}"


def _strengths(distortion: Distortion) -> Tensor:
    """Return rising strengths [COLUMNS], from faint to the range's end."""
    if distortion.range[0] == -distortion.range[1] or distortion.name == "rotate":
        # Both directions are equally strong, so one is enough.
        strongest, weakest = distortion.limit, distortion.limit / COLUMNS
    else:
        ends = torch.tensor(distortion.range)[:, None]
        weakest, strongest = sorted(distortion.strength(ends).tolist())
    return torch.linspace(weakest, strongest, COLUMNS)


def _changed(distortion: Distortion, original: Tensor, strength: Tensor) -> Pixels:
    """Change an image float RGB [1, 3, H, W]: uint8 RGB [H, W, 3]."""
    parameters = distortion.with_strength(strength[None], torch.tensor([0.9]))
    if distortion.in_pixels:
        small = _resized(original, (WORKING_SIZE, WORKING_SIZE))
        changed = _resized(distortion.apply(small, parameters), original.shape[-2:])
    else:
        changed = distortion.apply(original, parameters)
    rounded = (changed[0] * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).numpy())


def _resized(images: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(
        images, size=tuple(size), mode="bilinear", antialias=True, align_corners=False
    ).clamp(0, 1)


def _blank(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), PAPER, dtype=np.uint8)


def _write(canvas: Pixels, text: str, origin: tuple[int, int], scale: float) -> None:
    thickness = max(1, round(1.5 * scale))
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, thickness, cv2.LINE_AA)
