"""A result in words for people, and as a record for machines.

Machines get every digit. People get few, but never a false impression: the parts that
are printed add up to the distance that is printed, and no rounding carries a distance
across the threshold it was measured against.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.contexts.ranking import OTHER
from dps_infer.model.manifest import Calibration, Manifest, Views
from dps_infer.model.view import View
from dps_infer.show.columns import aligned

SMALLEST_SPELT = 1e-6
"""Distances below are printed in scientific notation and not taken apart."""

_PLURALS = {
    "rotate": "rotations",
    "translate": "shifts",
    "darken": "darkenings",
    "color": "color changes",
    "blur": "blurs",
    "zoom": "zooms",
}


def describe(
    comparison: Comparison, metric: Metric, *, threshold: float | None = None
) -> list[str]:
    """Say a comparison in a few lines.

    Args:
        comparison: what was measured.
        metric: what it was measured in.
        threshold: what the distance is held against, if anything.
    """
    lines = [formula(comparison, threshold=threshold)]
    if comparison.distance > 0 and comparison.percentiles:
        lines.append(standing(comparison.percentiles))
    lines.append(f"context {metric.name}: {metric.describe()}")
    if threshold is not None:
        above = comparison.distance > threshold
        lines.append(f"{'above' if above else 'not above'} the threshold {spelt(threshold)}")
    return lines


def formula(comparison: Comparison, *, threshold: float | None = None) -> str:
    """Say a distance and what it is made of: ``0.81 = blur 0.74 + color 0.05 + other 0.02``.

    The parts are rounded to the digits of the distance by largest remainders, so that
    they add up to it exactly; what comes out as zero is left out. A metric that names no
    distortion, and so has nothing but `other`, gives the distance alone.
    """
    distance = comparison.distance
    if distance == 0:
        seen = "identical images" if comparison.identical else "this context sees no difference"
        return f"0 ({seen})"
    if distance < SMALLEST_SPELT:
        return f"{_scientific(distance, threshold)} (next to nothing)"
    digits = _digits(distance, threshold)
    units = _units(distance, digits)
    total = sum(comparison.parts.values())
    if not total > 0 or set(comparison.parts) == {OTHER}:
        return _spell(units, digits)
    shares = apportion(units, list(comparison.parts.values()))
    parts = sorted(
        ((share, name) for name, share in zip(comparison.parts, shares, strict=True) if share),
        key=lambda part: -part[0],
    )
    sums = " + ".join(f"{name} {_spell(share, digits)}" for share, name in parts)
    return f"{_spell(units, digits)} = {sums}"


def apportion(units: int, parts: Sequence[float]) -> list[int]:
    """Divide a whole number in proportion to numbers >= 0, of which one is > 0.

    Returns:
        One whole number >= 0 a part, adding up to `units`, each less than 1 away from its
        exact share. A larger part never gets less than a smaller one.

    >>> apportion(100, [1.0, 1.0, 1.0])
    [34, 33, 33]
    """
    total = sum(parts)
    exact = [units * (part / total) for part in parts]
    shares = [math.floor(share) for share in exact]
    left = units - sum(shares)
    by_remainder = sorted(range(len(parts)), key=lambda index: shares[index] - exact[index])
    for index in by_remainder[:left]:
        shares[index] += 1
    return shares


def standing(percentiles: dict[str, float]) -> str:
    """Say how a distance compares with the calibration's distortions.

    >>> standing({"blur": 0.94, "rotate": 0.31, "zoom": 0.0, "color": 1.0})
    'more different than all color changes, 94 % of blurs, 31 % of rotations and none of the zooms'
    """
    ordered = sorted(percentiles.items(), key=lambda item: -item[1])
    every = [_plural(name) for name, share in ordered if share >= 1]
    none = [_plural(name) for name, share in ordered if share <= 0]
    if len(none) == len(ordered):
        return f"less different than all {_listed(none)} of its calibration"
    if len(every) == len(ordered):
        return f"more different than all {_listed(every)} of its calibration"
    pieces = [f"all {name}" for name in every]
    pieces += [f"{_percent(share)} of {_plural(name)}" for name, share in ordered if 0 < share < 1]
    pieces += [f"none of the {name}" for name in none]
    return f"more different than {_listed(pieces)}"


def spelt(value: float) -> str:
    """Write a number with all its digits, and no others.

    >>> spelt(1.0)
    '1'
    """
    return repr(value).removesuffix(".0")


def describe_manifest(manifest: Manifest, *, name: str, sha256: str) -> list[str]:
    """Say all that a context file says about itself, as aligned lines."""
    metric = manifest.metric
    size = "the images' own" if metric.working_size is None else f"{metric.working_size} pixels"
    facts = [
        ("context", metric.name),
        ("file", name),
        ("SHA-256", sha256),
        ("context in words", metric.describe_context()),
        ("variant", f"{metric.variant}, {manifest.precision}"),
        ("working size", size),
        *_view_facts(manifest.views),
        ("backbone", f"{metric.backbone}, layers {', '.join(metric.layers)}"),
        ("comparison", metric.comparison),
        ("weights", f"{metric.weights.source} (licence: {metric.weights.licence})"),
        ("trained on", f"{metric.training_data.source}, {metric.training_data.images} images"),
        ("held out", f"{metric.held_out_data.source}, {metric.held_out_data.images} images"),
        ("2AFC score", _scores(manifest)),
        (
            "parity",
            f"within {manifest.parity.max_abs_error:.1e} of training over "
            f"{manifest.parity.pairs} pairs",
        ),
        ("map", manifest.map),
        ("made with", ", ".join(f"{tool} {version}" for tool, version in metric.tools.items())),
    ]
    lines = aligned([[f"{label}:", value] for label, value in facts])
    if metric.importances is not None:
        importances = [[part, f"{value:g}"] for part, value in metric.importances.items()]
        lines += ["", *aligned([["part", "importance"], *importances])]
    distortions = [
        [
            distortion.name,
            f"{distortion.parameter} {distortion.range[0]:g} to {distortion.range[1]:g}",
            f"{distortion.reference:g} ({distortion.strength})",
        ]
        for distortion in metric.distortions
    ]
    lines += ["", *aligned([["distortion", "drawn", "amount 1 at strength"], *distortions])]
    if manifest.calibration is not None:
        lines += ["", f"Distances of drawn distortions ({manifest.calibration.images} images):"]
        lines += aligned(_calibration_rows(manifest.calibration))
    return lines


def record(
    comparison: Comparison,
    metric: Metric,
    reference: str,
    candidate: str,
    *,
    label: str | None = None,
    threshold: float | None = None,
) -> dict[str, Any]:
    """Return a comparison as a record for JSON, every number at full precision.

    Args:
        comparison: what was measured.
        metric: what it was measured in.
        reference: name of the first image.
        candidate: name of the second image.
        label: of the context, if it differs from its own.
        threshold: what the distance is held against, if anything.
    """
    return {
        "reference": reference,
        "candidate": candidate,
        "identical": comparison.identical,
        "notes": list(comparison.notes),
        **numbers(comparison, threshold=threshold),
        **context_record(metric, label=label),
        "view": comparison.view,
    }


def numbers(comparison: Comparison, *, threshold: float | None = None) -> dict[str, Any]:
    """Return what was measured, and what it is held against, as a record for JSON."""
    return {
        "distance": comparison.distance,
        "amounts": comparison.amounts,
        "parts": comparison.parts,
        "percentiles": comparison.percentiles,
        "threshold": threshold,
        "above": None if threshold is None else comparison.distance > threshold,
    }


def context_record(metric: Metric, *, label: str | None = None) -> dict[str, Any]:
    """Return what measures, and on what, as a record for JSON."""
    return {
        "context": {
            "label": metric.label if label is None else label,
            "name": metric.manifest.metric.name,
            "sha256": metric.sha256,
            "ranking": metric.ranking,
            "importances": metric.importances,
        },
        "provider": metric.provider,
        "threads": metric.threads,
    }


_EXACT = decimal.Context(prec=200)
"""Enough for every digit of every float32 number."""


def _digits(distance: float, threshold: float | None) -> int:
    """Return how many decimals to print: at least two, and two that count.

    More, if the distance as printed stood on the other side of the threshold as printed.
    """
    digits = max(2, 1 - math.floor(math.log10(distance)))
    while threshold is not None:
        rounded = Decimal(_units(distance, digits)).scaleb(-digits, _EXACT)
        if (rounded > Decimal(repr(threshold))) == (distance > threshold):
            break
        digits += 1
    return digits


def _scientific(distance: float, threshold: float | None) -> str:
    for digits in range(1, 17):
        text = f"{distance:.{digits}e}"
        if threshold is None or (float(text) > threshold) == (distance > threshold):
            return text
    return repr(distance)


def _units(value: float, digits: int) -> int:
    """Round to whole units of the last decimal."""
    return int(Decimal(value).scaleb(digits, _EXACT).to_integral_value())


def _spell(units: int, digits: int) -> str:
    return f"{Decimal(units).scaleb(-digits, _EXACT):f}"


def _percent(share: float) -> str:
    """Round a share strictly between 0 and 1 without calling it none or all."""
    percent = round(share * 100)
    if percent <= 0:
        return "under 1 %"
    return "over 99 %" if percent >= 100 else f"{percent} %"


def _plural(name: str) -> str:
    return _PLURALS.get(name, f"{name} changes")


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _view_facts(views: Views | None) -> list[tuple[str, str]]:
    if views is None:
        return []
    return [
        ("views", f"{', '.join(view.value for view in View)}; default: {views.default}"),
        ("tiles", f"{views.tile} pixels; {views.layout}"),
        ("view tiles", views.aggregation),
        ("view both", views.both),
    ]


def _scores(manifest: Manifest) -> str:
    if manifest.universal:
        return "follows from the context"
    scores = manifest.metric.scores
    if scores is None:
        return "none: the context orders no two distortions"
    return (
        f"{scores.adapted:.3f}, unadapted {scores.baseline:.3f}, noise ceiling {scores.ceiling:.3f}"
    )


def _calibration_rows(calibration: Calibration) -> list[list[str]]:
    levels = calibration.levels
    # Nearest known levels: a table for people needs no more than the rough course.
    shown = sorted(
        {
            min(range(len(levels)), key=lambda place: abs(levels[place] - wanted))
            for wanted in (0.05, 0.25, 0.5, 0.75, 0.95)
        }
    )
    rows = [["distortion", *(f"{levels[place]:.0%}" for place in shown)]]
    for name, distances in calibration.distances.items():
        rows.append([name, *(f"{distances[place]:.3g}" for place in shown)])
    return rows
