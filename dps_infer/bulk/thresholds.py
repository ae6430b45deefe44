"""Threshold files: the largest distance to accept in one context.

``dps-infer calibrate`` writes them (`dps_infer.bulk.threshold_estimate`); a threshold is used
only with the context file and the importances that it was made for.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from dps_infer.compare.metric import Metric
from dps_infer.errors import ThresholdError, UsageError
from dps_infer.files.read import MEBIBYTE, read_bytes
from dps_infer.files.write import atomic_file
from dps_infer.model import embedded
from dps_infer.model.manifest import Count, NonNegative

FORMAT_VERSION = 2
"""The format of threshold files that this version reads and writes."""

SUFFIX = ".threshold.json"

AUTO = "auto"
"""Stands for the threshold file beside the context file."""

Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class ThresholdContext(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The context that a threshold was made for."""

    sha256: str
    """SHA-256 of the context file."""
    name: str
    description: str
    importances: dict[str, NonNegative]


class Threshold(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A threshold file."""

    format: int = FORMAT_VERSION
    threshold: NonNegative
    false_alarms: Probability
    """The share of acceptable pairs that may be above the threshold."""
    confidence: Probability
    """The confidence that this share is not exceeded."""
    pairs: Count
    """Number of acceptable pairs that it was estimated from."""
    references: Count
    """Number of different references among them."""
    place: Count
    """The rank of the distance that the threshold is based on; 1 is the largest."""
    largest: NonNegative
    median: NonNegative
    estimator: str
    """The method of estimation, for people."""
    context: ThresholdContext


def threshold_context(metric: Metric) -> ThresholdContext:
    """Return the context of a threshold for a metric."""
    return ThresholdContext(
        sha256=metric.sha256,
        name=metric.manifest.metric.name,
        description=metric.describe(),
        importances=dict(metric.importances),
    )


def describe(threshold: Threshold) -> list[str]:
    """Describe a threshold and its data in a few lines."""
    lines = [
        f"threshold {threshold.threshold:.6g}: at most "
        f"{100 * threshold.false_alarms:.4g} % of acceptable pairs are above it, with a "
        f"confidence of {100 * threshold.confidence:.4g} %",
        f"from {threshold.pairs} pairs, median {threshold.median:.3g}, largest "
        f"{threshold.largest:.3g}: {threshold.estimator}",
        f"context {threshold.context.name}: {threshold.context.description}",
    ]
    if threshold.references < threshold.pairs:
        lines.append(
            f"note: the pairs have only {threshold.references} different references: expect more "
            "false alarms on others, unless each one is typical of many"
        )
    if threshold.largest == 0:
        lines.append("note: every distance is 0, so any visible difference raises an alarm")
    return lines


def default_path(metric: Metric) -> Path:
    """Return the path of the threshold file beside a context file.

    Raises:
        UsageError: the context file is the one of the package, beside which nothing is written.
    """
    if Path(metric.path) == embedded.UNIVERSAL:
        raise UsageError(
            "the universal metric of this package has no context file of yours to keep a "
            "threshold beside: name a file (calibrate -o FILE, then --threshold FILE)"
        )
    return Path(metric.path).with_suffix(SUFFIX)


def write_threshold(
    threshold: Threshold, path: str | os.PathLike[str], *, force: bool = False
) -> None:
    """Write a threshold file.

    Raises:
        OutputError: it exists (without `force`) or cannot be written.
    """
    with atomic_file(Path(path), force=force) as temporary:
        text = msgspec.json.format(msgspec.json.encode(threshold), indent=2)
        temporary.write_bytes(text + b"\n")


def read_threshold(path: Path) -> Threshold:
    """Read a threshold file.

    Raises:
        ThresholdError: it cannot be read, is not valid, or has an unknown format.
    """
    data = read_bytes(
        path,
        expected="a threshold file (made by dps-infer calibrate)",
        limit=MEBIBYTE,
        error=ThresholdError,
    )
    try:
        raw: Any = msgspec.json.decode(data)
        # The version comes first: another format has other fields.
        version = raw.get("format") if isinstance(raw, dict) else None
        if type(version) is int and version != FORMAT_VERSION:
            hint = "upgrade dps-toolkit" if version > FORMAT_VERSION else "run calibrate again"
            raise ThresholdError(
                f"{path}: has format {version}, this version reads {FORMAT_VERSION}: {hint}"
            )
        return msgspec.convert(raw, Threshold)
    except (ValueError, RecursionError) as error:
        raise ThresholdError(f"{path}: is not a threshold file ({error})") from None


def resolve_threshold(value: str | float | None, metric: Metric) -> float | None:
    """Return a threshold for distances of a metric as a number.

    Args:
        value: a number; ``auto`` for the file beside the context file; the path of a threshold
            file (``.json``); None gives None.
        metric: the metric.

    Raises:
        ThresholdError: the file is missing or not valid, or was made for another context file,
            or context.
        UsageError: ``auto`` with the metric of the package; a number that is not finite and >= 0;
            any other text.
    """
    if value is None:
        return None
    number = number_of(value)
    if number is not None:
        return number
    path = default_path(metric) if value == AUTO else Path(str(value))
    threshold = read_threshold(path)
    made_for, asked = threshold.context, threshold_context(metric)
    for subject, there, here in (
        ("context file", made_for.sha256[:12], asked.sha256[:12]),
        ("context", made_for.importances, asked.importances),
    ):
        if there != here:
            if subject == "context":
                there, here = made_for.description, asked.description
            raise ThresholdError(
                f"{path}: was made for another {subject} ({there}), here it is {here}: run "
                "dps-infer calibrate for this one"
            )
    return threshold.threshold


def resolve_thresholds(
    value: str | float | None, metrics: Mapping[str, Metric]
) -> dict[str, float | None]:
    """Return `resolve_threshold` of each metric by its label."""
    return {label: resolve_threshold(value, metric) for label, metric in metrics.items()}


def number_of(value: str | float) -> float | None:
    """Return a threshold that is a number; None for ``auto`` and the path of a threshold file.

    Raises:
        UsageError: any other text; a number that is not finite and >= 0.
    """
    try:
        number = float(value)
    except ValueError:
        if value == AUTO or str(value).lower().endswith(".json"):
            return None
        raise UsageError(
            f"expected a threshold that is a number, auto, or a file (.json), got {value!r}"
        ) from None
    if not (math.isfinite(number) and number >= 0):
        raise UsageError(f"expected a threshold that is a finite number >= 0, got {value}")
    return number
