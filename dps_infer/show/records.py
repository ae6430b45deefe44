"""Comparisons as records for JSON, every number at full precision; docs/json/ has the schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.compare.summary import Spread, Thresholds
from dps_infer.show.regions import region_records


def comparison_record(
    comparison: Comparison,
    metric: Metric,
    reference: str,
    candidate: str,
    *,
    label: str | None = None,
    threshold: float | None = None,
) -> dict[str, Any]:
    """Return the record of one pair in one context, with the names of its images."""
    return {
        "reference": reference,
        "candidate": candidate,
        "identical": comparison.identical,
        "notes": list(comparison.notes),
        "ignored": comparison.ignored,
        **_numbers(comparison, threshold),
        **_metric_record(metric, metric.label if label is None else label),
    }


def pair_record(
    comparisons: Mapping[str, Comparison], *, thresholds: Thresholds | None = None
) -> dict[str, Any]:
    """Return the record of one pair in all contexts, at least one."""
    limits = thresholds or {}
    first = next(iter(comparisons.values()))
    return {
        # The images were converted once, for all contexts.
        "identical": first.identical,
        "notes": list(first.notes),
        "ignored": first.ignored,
        "results": {
            label: _numbers(comparison, limits.get(label))
            for label, comparison in comparisons.items()
        },
    }


def contexts_record(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """Return the records of metrics by their labels."""
    return {label: _metric_record(metric, label) for label, metric in metrics.items()}


def spreads_record(spreads: Mapping[str, Spread]) -> dict[str, Any]:
    """Return the records of spreads by the labels of the metrics."""
    return {
        label: {
            "median": spread.median,
            "largest": spread.largest,
            "threshold": spread.threshold,
            "above": spread.above,
        }
        for label, spread in spreads.items()
    }


def _numbers(comparison: Comparison, threshold: float | None) -> dict[str, Any]:
    return {
        "distance": comparison.distance,
        "size": comparison.size,
        "amounts": comparison.amounts,
        "parts": comparison.parts,
        "strengths": comparison.strengths,
        "directions": comparison.directions,
        "percentiles": comparison.percentiles,
        "anchors": {
            one.change: {"value": one.value, "beyond": one.beyond} for one in comparison.anchors
        },
        "threshold": threshold,
        "gate": ("worst" if comparison.by_worst else "whole"),
        "above": None if threshold is None else comparison.gated > threshold,
        "regions": region_records(comparison),
    }


def _metric_record(metric: Metric, label: str) -> dict[str, Any]:
    return {
        "context": {
            "label": label,
            "name": metric.manifest.metric.name,
            "sha256": metric.sha256,
            "ranking": metric.ranking,
            "importances": metric.importances,
        },
        "provider": metric.provider,
        "threads": metric.threads,
    }
