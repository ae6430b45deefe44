"""The contexts of the gallery: importances, and agreement of the packaged metric with each.

Agreement is measured on the held-out images that the packaged metric was calibrated on; their
amounts are in the file.
"""

from __future__ import annotations

import msgspec

from benchmarks.shared.record import file_input
from benchmarks.shared.suite import Measured
from benchmarks.shared.table import Table
from dps_infer import Metric
from dps_infer.contexts.folders import GALLERY
from dps_infer.contexts.saved import read_saved
from dps_infer.model import embedded
from dps_infer.model.calibration import scores


class Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One context.

    Attributes:
        name: of the context.
        importances: by amount.
        score: 2AFC of the packaged metric in this context.
        baseline: 2AFC of the unadapted distance.
    """

    name: str
    importances: dict[str, float]
    score: float
    baseline: float


class Figures(msgspec.Struct, forbid_unknown_fields=True):
    """All contexts of the gallery."""

    entries: list[Entry]


def measure() -> Measured:
    """Score the packaged metric in every context of the gallery."""
    entries = []
    for file in sorted(GALLERY.glob("*.toml")):
        # By file: a context of the user's own would hide one of the gallery's name.
        metric = Metric.universal(context=read_saved(file), device="cpu", threads=1)
        draws = metric.manifest.draws
        assert draws is not None, "the packaged file is universal"
        found = scores(draws, metric.context)
        assert found is not None, "every context of the gallery orders distortions"
        entries.append(
            Entry(
                name=file.stem,
                importances=dict(metric.importances),
                score=found.adapted,
                baseline=found.baseline,
            )
        )
    return Measured(Figures(entries), {"universal": file_input(embedded.UNIVERSAL)})


def tables(figures: Figures) -> dict[str, Table]:
    """Return importances and agreement, a column for each context."""
    entries = figures.entries
    rows = [
        (name, *(f"{entry.importances[name]:.3g}" for entry in entries))
        for name in entries[0].importances
    ]
    rows += [
        ("2AFC", *(f"{entry.score:.3f}" for entry in entries)),
        ("2AFC, unadapted", *(f"{entry.baseline:.3f}" for entry in entries)),
    ]
    return {"": Table(("", *(entry.name for entry in entries)), rows)}
