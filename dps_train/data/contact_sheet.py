"""Contact sheets: an image under each distortion at several strengths."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from dps_infer.arrays import Pixels
from dps_infer.errors import OutputError
from dps_infer.files.write import atomic_file, check_output
from dps_train.data.crops import to_tensor
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS

COLUMNS = 5
CELL = 160
GAP = 8
CAPTION = 22
TITLE = 110

WORKING_SIZE = 64
"""The paper's size in pixels: the blur's kernel, in pixels, is chosen for it."""

INK = (40, 40, 40)
PAPER = 255

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def distortion_sheet(image: Pixels, distortions: Sequence[Distortion] = DISTORTIONS) -> Pixels:
    """Draw an image uint8 RGB [H, W, 3] under each distortion, weak to strong over its range.

    Each distortion has a row: the original image first, strengths below. Distortions that need
    originals are left out.
    """
    small = F.interpolate(
        to_tensor(image),
        size=(WORKING_SIZE, WORKING_SIZE),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    ).clamp(0, 1)
    rows = []
    for number, distortion in enumerate(distortions):
        if distortion.needs_original:
            continue
        parameters = _parameters(distortion)
        changed = distortion.apply(small.expand(len(parameters), -1, -1, -1), parameters)
        cells = [_cell(image) for image in (small[0], *changed)]
        drawn = parameters[:, : distortion.columns].tolist()
        captions = [" ".join(f"{value:.3g}" for value in values) for values in drawn]
        rows.append(_row(f"{number} {distortion.name}", cells, ["original", *captions]))
    return np.concatenate([*rows, _blank(GAP, rows[0].shape[1])])


def labeled_row(title: str, images: Sequence[Pixels], captions: Sequence[str]) -> Pixels:
    """Draw images side by side, each with a caption: uint8 RGB."""
    return _row(title, [_resized(image, cv2.INTER_AREA) for image in images], captions)


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


def _parameters(distortion: Distortion) -> torch.Tensor:
    """Return parameters of rising strength [COLUMNS, columns], from faint to the range's end."""
    if distortion.range[0] == -distortion.range[1] or distortion.name == "rotate":
        # Both directions are equally strong, so one is enough.
        strongest, weakest = distortion.limit, distortion.limit / COLUMNS
    else:
        ends = torch.tensor(distortion.range)[:, None]
        weakest, strongest = sorted(distortion.strength(ends).tolist())
    strengths = torch.linspace(weakest, strongest, COLUMNS)
    return distortion.with_strength(strengths, torch.full((COLUMNS,), 0.9))


def _cell(image: torch.Tensor) -> Pixels:
    pixels = (image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    # Nearest neighbors: the sheet shows exactly the pixels that the network sees.
    return _resized(pixels, cv2.INTER_NEAREST)


def _resized(image: Pixels, interpolation: int) -> Pixels:
    return np.asarray(cv2.resize(image, (CELL, CELL), interpolation=interpolation), np.uint8)


def _row(title: str, cells: Sequence[Pixels], captions: Sequence[str]) -> Pixels:
    row = _blank(CELL + CAPTION + GAP, TITLE + len(cells) * (CELL + GAP))
    _write(row, title, (GAP, GAP + CELL // 2), 0.55)
    for column, (cell, caption) in enumerate(zip(cells, captions, strict=True)):
        left = TITLE + column * (CELL + GAP)
        row[GAP : GAP + CELL, left : left + CELL] = cell
        _write(row, caption, (left, GAP + CELL + 16), 0.45)
    return row


def _blank(height: int, width: int) -> Pixels:
    return np.full((height, width, 3), PAPER, dtype=np.uint8)


def _write(canvas: Pixels, text: str, origin: tuple[int, int], scale: float) -> None:
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)
