"""Reading a raw distance by what is known of it: the quantiles in a context file."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

from dps_infer.manifest import Calibration


def percentiles(distance: float, calibration: Calibration) -> dict[str, float]:
    """Say how a distance compares with those of known distortions.

    Returns:
        Per calibrated distortion, the share in [0, 1] of its draws whose distance is
        smaller, interpolated linearly between the known quantiles.
    """
    return {
        name: _share_below(distance, quantiles, calibration.levels)
        for name, quantiles in calibration.distances.items()
    }


def _share_below(distance: float, quantiles: Sequence[float], levels: Sequence[float]) -> float:
    # The leftmost place: of draws that share this very distance, none is smaller.
    place = bisect.bisect_left(quantiles, distance)
    if place == 0:
        return 0.0
    if place == len(quantiles):
        return 1.0
    low, high = quantiles[place - 1], quantiles[place]
    within = (distance - low) / (high - low)
    return levels[place - 1] + within * (levels[place] - levels[place - 1])
