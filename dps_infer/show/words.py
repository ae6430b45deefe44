"""A comparison in words for people.

Few digits, but never a false impression: the printed parts add up to the printed distance, and
rounding never moves a distance to the other side of its threshold.
"""

from __future__ import annotations

import decimal
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.contexts.ranking import OTHER
from dps_infer.model.anchors import Anchor
from dps_infer.show.phrases import kind_words, two_digits

SMALLEST_DECIMAL = 1e-6
"""Smaller distances are printed in scientific notation and without their parts."""

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
    """Describe a comparison by a metric in a few lines, with its threshold if there is one."""
    lines = [formula(comparison, threshold=threshold)]
    if comparison.distance > 0 and comparison.anchors:
        lines.append(anchor_words(comparison.anchors))
    if comparison.distance > 0 and comparison.percentiles:
        lines.append(standing(comparison.percentiles))
    lines.append(f"context {metric.name}: {metric.describe()}")
    if threshold is not None:
        lines.append(verdict(comparison, threshold))
    return lines


def verdict(comparison: Comparison, threshold: float) -> str:
    """Return on which side of its threshold a comparison is."""
    above = comparison.gated > threshold
    text = f"{'above' if above else 'not above'} the threshold {format_number(threshold)}"
    if not comparison.by_worst:
        return text
    if above and not comparison.distance > threshold:
        return f"{text} in its worst region, though not as a whole"
    return text if above else f"{text}, nor is any region"


def describe_run(
    metrics: Mapping[str, Metric],
    results: Iterable[Mapping[str, Comparison]] = (),
) -> list[str]:
    """Describe how pairs were compared: notes on the device and the images, and the provider.

    Args:
        metrics: by label.
        results: comparisons by label, one mapping per pair, whose notes to show.

    Returns:
        Different lines; those that are notes begin with ``note:``.
    """
    notes = [metric.remark for metric in metrics.values() if metric.remark is not None]
    for comparisons in results:
        for comparison in comparisons.values():
            notes += comparison.notes
    lines = [f"note: {text}" for text in notes]
    for metric in metrics.values():
        lines.append(f"computed by {metric.provider}, CPU threads: {metric.threads}")
    return list(dict.fromkeys(lines))


def formula(comparison: Comparison, *, threshold: float | None = None) -> str:
    """Format a distance and its parts: ``0.81 = 0.74 sharper + 0.07 turned by about 2 degrees``.

    The parts are rounded to the digits of the distance by largest remainders, so that they add
    up to it exactly; those that become zero are left out. If `other` is the only part, the
    distance stands alone. The printed distance is on the same side of the threshold as the exact
    one.
    """
    distance = comparison.distance
    if distance == 0:
        reason = "identical images" if comparison.identical else "this context sees no difference"
        return f"0 ({reason})"
    if distance < SMALLEST_DECIMAL:
        return f"{_scientific(distance, threshold)} (next to nothing)"
    digits = _digits(distance, threshold)
    units = _units(distance, digits)
    total = sum(comparison.parts.values())
    if not total > 0 or set(comparison.parts) == {OTHER}:
        return _format_units(units, digits)
    shares = apportion(units, list(comparison.parts.values()))
    parts = sorted(
        ((share, name) for name, share in zip(comparison.parts, shares, strict=True) if share),
        key=lambda part: -part[0],
    )
    sums = " + ".join(
        f"{_format_units(share, digits)} {kind_words(name, comparison)}" for share, name in parts
    )
    return f"{_format_units(units, digits)} = {sums}"


def apportion(units: int, parts: Sequence[float]) -> list[int]:
    """Divide a whole number in proportion to numbers >= 0, at least one of which is > 0.

    Returns:
        One whole number >= 0 per part. They add up to `units`, and each is less than 1 away from
        its exact share. A larger part never gets less than a smaller one.

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


def anchor_words(anchors: Sequence[Anchor]) -> str:
    """Describe a distance beside well-known changes.

    >>> anchor_words([Anchor("JPEG quality", 35.2, 0), Anchor("blur of sigma", 10.0, 1)])
    'about as different as JPEG quality 35 of a typical photograph'
    """
    near = [_valued(one, two_digits(one.value)) for one in anchors if one.beyond == 0]
    if near:
        *first, last = near
        listed = f"{', '.join(first)} or {last}" if first else last
        return f"about as different as {listed} of a typical photograph"
    more = [_valued(one, f"{one.value:g}") for one in anchors if one.beyond > 0]
    if more:
        return f"more different than {_join(more)} of a typical photograph"
    less = [_valued(one, f"{one.value:g}") for one in anchors]
    return f"less different than {_join(less)} of a typical photograph"


def _valued(one: Anchor, value: str) -> str:
    """Return a change with its value: "JPEG quality 35", "darkening by 20 percent"."""
    name, by, unit = one.change.rpartition(" by ")
    return f"{name} by {value} {unit}" if by else f"{one.change} {value}"


def standing(percentiles: dict[str, float]) -> str:
    """Describe how a distance compares with the distortions of the calibration.

    >>> standing({"blur": 0.94, "rotate": 0.31, "zoom": 0.0, "color": 1.0})
    'more different than all color changes, 94 % of blurs, 31 % of rotations and none of the zooms'
    """
    ordered = sorted(percentiles.items(), key=lambda item: -item[1])
    every = [_plural(name) for name, share in ordered if share >= 1]
    none = [_plural(name) for name, share in ordered if share <= 0]
    if len(none) == len(ordered):
        return f"less different than all {_join(none)} of its calibration"
    if len(every) == len(ordered):
        return f"more different than all {_join(every)} of its calibration"
    pieces = [f"all {name}" for name in every]
    pieces += [f"{_percent(share)} of {_plural(name)}" for name, share in ordered if 0 < share < 1]
    pieces += [f"none of the {name}" for name in none]
    return f"more different than {_join(pieces)}"


def format_number(value: float) -> str:
    """Format a number with all its digits and no more.

    >>> format_number(1.0)
    '1'
    """
    return repr(value).removesuffix(".0")


_EXACT = decimal.Context(prec=200)
"""Enough for every digit of every float32 number."""


def _digits(distance: float, threshold: float | None) -> int:
    """Return the number of decimals to print: at least two, and at least two significant ones.

    More if rounding would move the distance to the other side of the threshold.
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


def _format_units(units: int, digits: int) -> str:
    return f"{Decimal(units).scaleb(-digits, _EXACT):f}"


def _percent(share: float) -> str:
    """Round a share strictly between 0 and 1 without reaching either."""
    percent = round(share * 100)
    if percent <= 0:
        return "under 1 %"
    return "over 99 %" if percent >= 100 else f"{percent} %"


def _plural(name: str) -> str:
    return _PLURALS.get(name, f"{name} changes")


def _join(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
