"""Names of a metric's parts in options and manifests; kept free of PyTorch."""

from __future__ import annotations

from typing import Final

ADDITIVE: Final = "additive"
"""The variant whose head reports an amount per kind of change."""

EMBEDDED: Final = "embedded"
"""The backbone that comes with the package."""

COMPARISONS: Final = ("spatial", "mean", "sort", "layout")
"""See `dps_train.model.comparisons`."""
