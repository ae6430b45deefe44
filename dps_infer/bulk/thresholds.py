"""Thresholds that mean something: estimated from pairs that are known to be acceptable.

A threshold at a false-alarm rate r is a number that at most the share r of acceptable
pairs exceeds. It is estimated without any assumption on how distances are distributed, as
one of the distances that were seen (a one-sided tolerance bound; Wilks 1941): the k-th
largest of n, where k is the largest number for which

    P(X < k) <= 1 - confidence,  X ~ binomial(n, r).

So if the n pairs are drawn as later ones will be, independently of each other, the rate is
kept with at least the stated confidence. Few pairs cannot support a low rate at all: with
fewer than log(1 - confidence) / log(1 - r) even the largest distance is too small, and
the estimate is refused. For 1 % with a confidence of 80 % it takes 161 pairs.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from dps_infer.bulk.pairs import open_pairs, read_pairs
from dps_infer.compare.metric import Metric
from dps_infer.compare.stream import PairSource, score
from dps_infer.errors import DpsError, ThresholdError, UsageError
from dps_infer.files.read import MEBIBYTE, read_bytes
from dps_infer.files.write import atomic_file
from dps_infer.model import embedded
from dps_infer.model.manifest import Count, NonNegative
from dps_infer.model.view import View

FORMAT_VERSION = 1
"""The one format of threshold files that this version reads and writes."""

SUFFIX = ".threshold.json"

FALSE_ALARMS = 0.01
CONFIDENCE = 0.8

MARGIN = 1e-4
"""By this share of itself a threshold lies above the distance that it comes from: another
processor or batch rounds differently, and that very pair must not raise an alarm."""

AUTO = "auto"

Probability = Annotated[float, msgspec.Meta(gt=0, lt=1)]


class Seen(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The context that a threshold holds for, and nothing else."""

    sha256: str
    """Of the context file."""
    name: str
    description: str
    importances: dict[str, NonNegative]
    view: View | None


class Threshold(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A threshold file."""

    format: int = FORMAT_VERSION
    threshold: NonNegative
    false_alarms: Probability
    """The share of acceptable pairs that may be above the threshold."""
    confidence: Probability
    """With which that rate is kept."""
    pairs: Count
    """Acceptable pairs it was estimated from."""
    references: Count
    """Different references among them."""
    place: Count
    """The threshold is the distance of the pair at this place, the largest being 1."""
    largest: NonNegative
    median: NonNegative
    estimator: str
    """How it was estimated, for people."""
    context: Seen


@dataclass(frozen=True)
class Bound:
    """A distance that few acceptable pairs exceed.

    Attributes:
        distance: one of those that were given.
        place: which of them: 1 for the largest.
    """

    distance: float
    place: int


def upper_bound(distances: Sequence[float], *, false_alarms: float, confidence: float) -> Bound:
    """Return the smallest of some distances that keeps a false-alarm rate.

    Args:
        distances: of acceptable pairs.
        false_alarms: the rate, between 0 and 1.
        confidence: with which it is kept, between 0 and 1.

    Raises:
        ThresholdError: there are too few distances for the rate.
        UsageError: a rate or confidence that is not between 0 and 1.

    >>> upper_bound(range(300), false_alarms=0.01, confidence=0.8)
    Bound(distance=298, place=2)
    >>> upper_bound(range(1000), false_alarms=0.01, confidence=0.8).place
    7
    """
    for name, value in (("false-alarm rate", false_alarms), ("confidence", confidence)):
        if not 0 < value < 1:
            raise UsageError(f"expected a {name} between 0 and 1 (0.01 is 1 %), got {value}")
    place = _place(len(distances), false_alarms, confidence)
    if place == 0:
        needed = math.ceil(math.log1p(-confidence) / math.log1p(-false_alarms))
        advice = f"give {needed} or more"
        if distances:
            supported = -math.expm1(math.log1p(-confidence) / len(distances))
            # Rounded up, so that the advice works.
            advice += f", or accept --false-alarms {math.ceil(supported * 1e4) / 1e4:g}"
        raise ThresholdError(
            f"{len(distances)} acceptable pairs are too few for a false-alarm rate of "
            f"{false_alarms:g} with a confidence of {confidence:g}: {advice}"
        )
    return Bound(sorted(distances, reverse=True)[place - 1], place)


def make_threshold(
    distances: Sequence[float],
    metric: Metric,
    *,
    references: int,
    view: View | str | None = None,
    false_alarms: float = FALSE_ALARMS,
    confidence: float = CONFIDENCE,
) -> Threshold:
    """Estimate a threshold from distances of acceptable pairs.

    Args:
        distances: measured in the context and view.
        metric: what they were measured in.
        references: different references among the pairs.
        view: how the images were looked at.
        false_alarms: the share of acceptable pairs that may be above the threshold.
        confidence: with which that is kept.

    Raises:
        ThresholdError: as `upper_bound`.
        UsageError: as `upper_bound`; an unknown view.
    """
    bound = upper_bound(distances, false_alarms=false_alarms, confidence=confidence)
    ordered = sorted(distances)
    return Threshold(
        threshold=bound.distance * (1 + MARGIN),
        false_alarms=false_alarms,
        confidence=confidence,
        pairs=len(distances),
        references=references,
        place=bound.place,
        largest=ordered[-1],
        median=ordered[len(ordered) // 2],
        estimator=(
            f"one-sided tolerance bound without assumptions: distance {bound.place} of "
            f"{len(distances)} from the largest, raised by {MARGIN:.2%} for rounding"
        ),
        context=seen_by(metric, view),
    )


def calibrate_file(
    path: str | os.PathLike[str],
    metric: Metric,
    *,
    view: View | str | None = None,
    resize: bool = False,
    false_alarms: float = FALSE_ALARMS,
    confidence: float = CONFIDENCE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Threshold:
    """Measure a file of acceptable pairs, and estimate a threshold from them.

    Args:
        path: a file of pairs (`dps_infer.bulk.pairs`).
        metric: what to measure in.
        view: how to look at the images.
        resize: resize candidates to the size of their references.
        false_alarms: as in `make_threshold`.
        confidence: as in `make_threshold`.
        progress: is told how many pairs are measured, and of how many.

    Raises:
        ThresholdError: a pair cannot be measured, so that the threshold would rest on
            whichever pairs can; or as `upper_bound`.
        UsageError: as `make_threshold`, or the file's suffix is none of a table.
        TableError: it cannot be read.
    """
    path = Path(path)
    total = open_pairs(path).rows
    references: set[str] = set()

    def sources() -> Iterator[PairSource]:
        for row in read_pairs(path):
            if not isinstance(row.source, DpsError):
                references.add(str(row.source[0]))
            yield row.source

    distances: list[float] = []
    faults: list[str] = []
    for scored in score(sources(), {"": metric}, view=view, resize=resize):
        if scored.error:
            faults.append(scored.error)
        else:
            distances.append(scored.comparisons[""].distance)
        progress(scored.index + 1, total)
    if faults:
        raise ThresholdError(
            f"{path}: {len(faults)} of {total} pairs cannot be measured, the first: {faults[0]}"
        )
    return make_threshold(
        distances,
        metric,
        references=len(references),
        view=view,
        false_alarms=false_alarms,
        confidence=confidence,
    )


def seen_by(metric: Metric, view: View | str | None) -> Seen:
    """Return what a threshold for a context and a view holds for."""
    return Seen(
        sha256=metric.sha256,
        name=metric.manifest.metric.name,
        description=metric.describe(),
        importances=dict(metric.importances),
        view=metric.runner.choose_view(view),
    )


def describe(threshold: Threshold) -> list[str]:
    """Say a threshold and what it rests on."""
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
            f"note: the pairs have {threshold.references} different references: expect more false "
            "alarms on others, unless each stands for many"
        )
    if threshold.largest == 0:
        lines.append("note: every distance is 0, so that whatever is seen is an alarm")
    return lines


def default_path(metric: Metric) -> Path:
    """Return where the threshold of a context file belongs: beside it.

    Raises:
        UsageError: it is the package's own file, beside which nothing is written.
    """
    if Path(metric.path) == embedded.UNIVERSAL:
        raise UsageError(
            "the metric of this package has no file of yours to keep a threshold beside: name "
            "one (calibrate -o FILE, and then --threshold FILE)"
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
        ThresholdError: it cannot be read, or is none of a known format.
    """
    data = read_bytes(
        path,
        expected="a threshold file (made by dps-infer calibrate)",
        limit=MEBIBYTE,
        error=ThresholdError,
    )
    try:
        threshold = msgspec.json.decode(data, type=Threshold)
    except (ValueError, RecursionError) as error:
        raise ThresholdError(f"{path}: is no threshold file ({error})") from None
    if threshold.format != FORMAT_VERSION:
        raise ThresholdError(
            f"{path}: is of format {threshold.format}, expected {FORMAT_VERSION}: update "
            "dps-toolkit, or run dps-infer calibrate again"
        )
    return threshold


def resolve_threshold(
    value: str | float | None, metric: Metric, *, view: View | str | None = None
) -> float | None:
    """Return the number that distances in a context are held against.

    Args:
        value: a number; ``auto`` for the file beside the context file; another text for the
            path of a threshold file; None for none.
        metric: what is measured in.
        view: how images are looked at.

    Raises:
        ThresholdError: the file is missing, is none, or was made for another context,
            importances or view.
        UsageError: ``auto`` with the package's own file; a number that is not finite and >= 0.
    """
    if value is None:
        return None
    number = number_of(value)
    if number is not None:
        return number
    path = default_path(metric) if value == AUTO else Path(str(value))
    threshold = read_threshold(path)
    made_for, asked = threshold.context, seen_by(metric, view)
    for what, there, here in (
        ("context file", made_for.sha256[:12], asked.sha256[:12]),
        ("context", made_for.importances, asked.importances),
        ("view", _name(made_for.view), _name(asked.view)),
    ):
        if there != here:
            if what == "context":
                there, here = made_for.description, asked.description
            raise ThresholdError(
                f"{path}: was made for another {what} ({there}), here it is {here}: run "
                "dps-infer calibrate for this one"
            )
    return threshold.threshold


def resolve_thresholds(
    value: str | float | None, metrics: Mapping[str, Metric], *, view: View | str | None = None
) -> dict[str, float | None]:
    """Return `resolve_threshold` of each context, by their labels."""
    return {label: resolve_threshold(value, metric, view=view) for label, metric in metrics.items()}


def number_of(value: str | float) -> float | None:
    """Return a threshold that is given as a number; None for another text.

    Raises:
        UsageError: it is not finite or below 0.
    """
    try:
        number = float(value)
    except ValueError:
        return None
    if not (math.isfinite(number) and number >= 0):
        raise UsageError(f"expected a threshold that is a finite number >= 0, got {value}")
    return number


def _place(count: int, rate: float, confidence: float) -> int:
    """Return the largest k with P(X < k) <= 1 - confidence, X ~ binomial(count, rate)."""
    below = 0.0
    for place in range(count):
        # In logarithms, as the first terms of many pairs vanish in floating point.
        choices = math.lgamma(count + 1) - math.lgamma(place + 1) - math.lgamma(count - place + 1)
        below += math.exp(choices + place * math.log(rate) + (count - place) * math.log1p(-rate))
        if below > 1 - confidence:
            return place
    return count


def _name(view: View | None) -> str:
    return "none" if view is None else view.value
