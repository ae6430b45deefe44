"""How different two images are: the result of a comparison."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparison:
    """How different two images are, and why.

    Attributes:
        distance: >= 0; 0 for identical images; larger means more different.
        amounts: per distortion and ``other``, how much of it the pair shows (0 none, 1 the
            distortion's reference strength); empty if the context file has none.
        parts: per distortion and ``other``, importance times amount; they add up to
            `distance`. Empty if `amounts` is.
        percentiles: per calibrated distortion, the share in [0, 1] of its calibration
            draws whose distance is smaller, interpolated.
        identical: no pixel of the two images differs.
        notes: what was done to the images before they were compared, for people.
        provider: the onnxruntime execution provider that computed it.
        view: how the file looked at the images; None for a file without views.
        map: where the distance comes from, float32 [H', W'], if it was asked for; the
            manifest's `map` says how it relates to `distance`.
        tiles: float32 [TH, TW, K+1], the amounts of each tile, in the order of `amounts`, if
            the map was asked for and the view has tiles.
    """

    distance: float
    amounts: dict[str, float]
    parts: dict[str, float]
    percentiles: dict[str, float]
    identical: bool
    notes: tuple[str, ...]
    provider: str
    view: str | None = None
    map: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
    tiles: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)
