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
from dps_infer.model.context_figures import embedded_figures


class Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One context.

    Attributes:
        name: of the context.
        importances: by amount.
        score: 2AFC of the packaged metric in this context; None if it orders no distortions.
        baseline: 2AFC of the unadapted distance.
    """

    name: str
    importances: dict[str, float]
    score: float | None
    baseline: float | None


class Figures(msgspec.Struct, forbid_unknown_fields=True):
    """All contexts of the gallery."""

    entries: list[Entry]


def measure() -> Measured:
    """Score the packaged metric in every context of the gallery."""
    entries = []
    for file in sorted(GALLERY.glob("*.toml")):
        # By file: a context of the user's own would hide one of the gallery's name.
        metric = Metric.universal(context=read_saved(file), device="cpu", threads=1)
        found = embedded_figures(metric.context)
        entries.append(
            Entry(
                name=file.stem,
                importances=dict(metric.importances),
                score=found.get("adapted"),
                baseline=found.get("baseline"),
            )
        )
    return Measured(Figures(entries), {"universal": file_input(embedded.UNIVERSAL)})


def tables(figures: Figures) -> dict[str, Table]:
    """Return importances and agreement, a column for each context."""
    entries = figures.entries
    names = dict.fromkeys(name for entry in entries for name in entry.importances)
    rows = [
        (name, *(f"{entry.importances.get(name, 0):.3g}" for entry in entries)) for name in names
    ]
    rows += [
        ("2AFC", *(_score(entry.score) for entry in entries)),
        ("2AFC, unadapted", *(_score(entry.baseline) for entry in entries)),
    ]
    return {"": Table(("", *(entry.name for entry in entries)), rows)}


def _score(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
