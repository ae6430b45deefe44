"""Contact sheets: an image under each distortion at several strengths, to see what is ranked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from dps_infer.errors import OutputError
from dps_infer.files.write import atomic_file, check_output
from dps_train.data.batches import to_tensor
from dps_train.data.sources import Image
from dps_train.distortions.paper import DISTORTIONS, Distortion

COLUMNS = 5
CELL = 160
GAP = 8
CAPTION = 22
TITLE = 110

WORKING_SIZE = 64
"""Distortions are drawn at the paper's size, where the blur's kernel has its meaning."""

INK = (40, 40, 40)
PAPER = 255

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def distortion_sheet(image: Image, distortions: Sequence[Distortion] = DISTORTIONS) -> Image:
    """Draw an image under each distortion, weak to strong over its range.

    Args:
        image: uint8 RGB [H, W, 3].
        distortions: in the order of their numbers; those that need originals are left out.

    Returns:
        uint8 RGB: a row a distortion, the undistorted image first, strengths below.
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
        cells = [_cell(small[0]), *(_cell(one) for one in changed)]
        captions = ["original", *(_caption(one[: distortion.columns]) for one in parameters)]
        rows.append(_row(f"{number} {distortion.name}", cells, captions))
    return np.concatenate([*rows, _blank(GAP, rows[0].shape[1])])


def labelled_row(title: str, images: Sequence[Image], captions: Sequence[str]) -> Image:
    """Draw images side by side, each with a caption: uint8 RGB."""
    cells = [_sized(image, cv2.INTER_AREA) for image in images]
    return _row(title, cells, captions)


def check_sheet(path: Path, *, force: bool = False) -> None:
    """Refuse early a name that no sheet can be written to.

    Raises:
        OutputError: the suffix is none of `SHEET_SUFFIXES`, or `path` cannot be written.
    """
    if path.suffix.lower() not in SHEET_SUFFIXES:
        raise OutputError(
            f"cannot write {path}: expected a name that ends in {', '.join(SHEET_SUFFIXES)}"
        )
    check_output(path, force=force)


def save_sheet(sheet: Image, path: Path, *, force: bool = False) -> None:
    """Write a sheet as an image in the format that the suffix names; errors as `check_sheet`."""
    check_sheet(path, force=force)
    with atomic_file(path, force=force) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def _parameters(distortion: Distortion) -> torch.Tensor:
    """Return parameters of rising strength [COLUMNS, columns], from faint to the range's end."""
    if distortion.range[0] == -distortion.range[1] or distortion.name == "rotate":
        # Both directions look alike in strength, so one is enough.
        strongest, weakest = distortion.limit, distortion.limit / COLUMNS
    else:
        ends = torch.tensor(distortion.range)[:, None]
        weakest, strongest = sorted(distortion.strength(ends).tolist())
    strengths = torch.linspace(weakest, strongest, COLUMNS)
    return distortion.with_strength(strengths, torch.full((COLUMNS,), 0.9))


def _caption(parameters: torch.Tensor) -> str:
    return " ".join(f"{value:.3g}" for value in parameters.tolist())


def _cell(image: torch.Tensor) -> Image:
    pixels = (image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    # Nearest neighbours: the sheet shows the very pixels that the network sees.
    return _sized(pixels, cv2.INTER_NEAREST)


def _sized(image: Image, interpolation: int) -> Image:
    return np.asarray(cv2.resize(image, (CELL, CELL), interpolation=interpolation), np.uint8)


def _row(title: str, cells: Sequence[Image], captions: Sequence[str]) -> Image:
    row = _blank(CELL + CAPTION + GAP, TITLE + len(cells) * (CELL + GAP))
    _write(row, title, (GAP, GAP + CELL // 2), 0.55)
    for column, (cell, caption) in enumerate(zip(cells, captions, strict=True)):
        left = TITLE + column * (CELL + GAP)
        row[GAP : GAP + CELL, left : left + CELL] = cell
        _write(row, caption, (left, GAP + CELL + 16), 0.45)
    return row


def _blank(height: int, width: int) -> Image:
    return np.full((height, width, 3), PAPER, dtype=np.uint8)


def _write(canvas: Image, text: str, origin: tuple[int, int], scale: float) -> None:
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)
