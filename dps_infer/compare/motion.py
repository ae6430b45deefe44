"""What motion does to tiles, taken out of what they show: the rule in numbers.

Where the whole image has moved, its tiles show different things, and name everything at
once: a turn of the whole would be another image to them. How far it has moved, the whole
shows best. So the farther, the less the tiles count beside it; and what is left of a
shift in tiles, which see one of a pixel, is told as a fraction of the image, not of a tile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dps_infer.model.manifest import DistortionInfo

NAMES = ("rotate", "translate", "zoom")

FAINT, FULL = 0.02, 0.1
"""Motion, as a fraction of a tile's side, up to which tiles count fully; from which they do not."""

TRUST = 2.0
"""How many times the shift that tiles show themselves counts: it tells of motion too small for the
whole to show."""

EVEN = 0.05
"""Added to amounts of motion before they are compared."""

LARGEST = 4.0
"""Amount that is turned into a strength at most."""

RULE = (
    "t is freed of motion first. S(a) is the strength that an amount a stands for (a = log(1 + "
    "S / threshold) / log(1 + reference / threshold), a at most 4), n = max(1, sqrt(height * "
    "width) / tile). Motion in tiles: m = max(n * (S(w_translate) + S(w_rotate) * pi / 360 + "
    "S(w_zoom) / 4), 2 * S(t_translate)); s = (m - 0.02) / 0.08 within 0 and 1. t_translate "
    "becomes the amount of S(t_translate) / n, times 1 - s + s * (w_translate + 0.05) / "
    "(max(w_rotate, w_translate, w_zoom) + 0.05); t_rotate and t_zoom become 0; the others are "
    "multiplied by 1 - s"
)

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Motions:
    """The amounts of motion among all amounts; in the order of `NAMES`.

    Attributes:
        columns: which they are.
        thresholds: see `dps_infer.model.manifest.DistortionInfo`.
        references: likewise.
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
    """Return the amounts of tiles [N, K + 1] freed of what motion does to them; see `RULE`.

    Args:
        whole: amounts of the whole image [N, K + 1].
        tiles: those of its tiles, put together [N, K + 1].
        across: tiles along a side of the image, as the root of how many cover it; >= 1.
        among: which amounts are of motion; None leaves `tiles` as they are.
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
