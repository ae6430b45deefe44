"""The weight of tiles under motion of the whole image.

When the whole image has moved, corresponding tiles show different content, and every amount of
a tile rises. The whole view estimates the motion best. So tiles are weighted down as the
estimated motion grows, and the shift that remains in them, as small as a pixel, is converted
from a fraction of a tile to a fraction of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dps_infer.arrays import Floats
from dps_infer.model.manifest import DistortionInfo

NAMES = ("rotate", "translate", "zoom")

FAINT, FULL = 0.02, 0.1
"""Motion as a fraction of a tile's side: tiles count fully up to the first, not at all from the
second."""

TRUST = 2.0
"""Factor on the shift that tiles report: they see motion that is too small for the whole view."""

EVEN = 0.05
"""Added to amounts of motion before they are compared."""

LARGEST = 4.0
"""Amounts are clipped to this before they are converted to strengths."""

RULE = (
    "t is freed of motion first. S(a) is the strength that an amount a stands for (a = log(1 + "
    "S / threshold) / log(1 + reference / threshold), a at most 4), n = max(1, sqrt(height * "
    "width) / tile). Motion in tiles: m = max(n * (S(w_translate) + S(w_rotate) * pi / 360 + "
    "S(w_zoom) / 4), 2 * S(t_translate)); s = (m - 0.02) / 0.08 within 0 and 1. t_translate "
    "becomes the amount of S(t_translate) / n, times 1 - s + s * (w_translate + 0.05) / "
    "(max(w_rotate, w_translate, w_zoom) + 0.05); t_rotate and t_zoom become 0; the others are "
    "multiplied by 1 - s"
)


@dataclass(frozen=True)
class Motions:
    """The amounts of motion among all amounts; in the order of `NAMES`.

    Attributes:
        columns: their indices.
        thresholds: see `dps_infer.model.manifest.DistortionInfo`.
        references: see `dps_infer.model.manifest.DistortionInfo`.
    """

    columns: tuple[int, ...]
    thresholds: tuple[float, ...]
    references: tuple[float, ...]


def motions(amounts: Sequence[str], distortions: Sequence[DistortionInfo]) -> Motions | None:
    """Return the amounts of motion; None for a metric that does not report them all."""
    if not set(NAMES) <= set(amounts):
        return None
    by_name = {distortion.name: distortion for distortion in distortions}
    return Motions(
        tuple(list(amounts).index(name) for name in NAMES),
        tuple(by_name[name].threshold for name in NAMES),
        tuple(by_name[name].reference for name in NAMES),
    )


def without_motion(whole: Floats, tiles: Floats, across: float, among: Motions | None) -> Floats:
    """Return the amounts of tiles [N, K + 1], corrected for motion by `RULE`.

    Args:
        whole: amounts of the whole image [N, K + 1].
        tiles: aggregated amounts of its tiles [N, K + 1].
        across: number of tiles along a side: the root of the number that cover the image, >= 1.
        among: the amounts that are of motion; None leaves `tiles` unchanged.
    """
    if among is None:
        return tiles
    _, shift, _ = among.columns
    turn, moved, enlarged = (_strength(whole, number, among) for number in range(3))
    own = _strength(tiles, 1, among)
    motion = np.maximum(across * (moved + turn * (np.pi / 360) + enlarged / 4), TRUST * own)
    fade = np.clip((motion - FAINT) / (FULL - FAINT), 0, 1)[:, None]
    result = tiles * (1 - fade)
    largest = whole[:, list(among.columns)].max(axis=1)
    share = (whole[:, shift] + EVEN) / (largest + EVEN)
    result[:, list(among.columns)] = 0
    result[:, shift] = _amount(own / across, among) * (1 - fade[:, 0] * (1 - share))
    freed: Floats = result.astype(np.float32)
    return freed


def _strength(amounts: Floats, number: int, among: Motions) -> Floats:
    threshold, reference = among.thresholds[number], among.references[number]
    column = np.minimum(amounts[:, among.columns[number]], LARGEST)
    strength: Floats = threshold * np.expm1(column * np.log1p(reference / threshold))
    return strength


def _amount(strength: Floats, among: Motions) -> Floats:
    threshold, reference = among.thresholds[1], among.references[1]
    amount: Floats = np.log1p(strength / threshold) / np.log1p(reference / threshold)
    return amount
