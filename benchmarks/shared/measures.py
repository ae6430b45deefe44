"""The measures of ``dps-train evaluate`` as figures of a record."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import msgspec
import torch

from dps_infer.contexts.context import Context
from dps_train.data.crops import TRAINING_SIZE, resize_images
from dps_train.data.sources import Images
from dps_train.evaluate.heads import measure_heads
from dps_train.measure.evaluation import Measures
from dps_train.model.metric import Metric
from dps_train.model.names import ADDITIVE

NONE = ""
"""The cell of a value that does not exist."""


class Row(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Measures of one head on one set of images; docs/measures.md explains them.

    Attributes:
        metric: for people.
        images: for people.
        count: number of images.
        rankings: number of rankings.
        score: 2AFC, mean over the rankings.
        lowest: 2AFC in the worst ranking.
        baseline: 2AFC of the unadapted distance, mean over the rankings.
        ceiling: 2AFC of the true amounts, mean over the rankings.
        improved: share of rankings with a score above the baseline.
        named: by distortion; empty for a head without amounts.
        monotonicity: by distortion.
        composition: share of pairs of distortions.
        stability: None where it is not defined.
        retention: by kind of change.
    """

    metric: str
    images: str
    count: int
    rankings: int
    score: float
    lowest: float
    baseline: float
    ceiling: float
    improved: float
    named: dict[str, float]
    monotonicity: dict[str, float]
    composition: float
    stability: float | None
    retention: dict[str, float]


def measure_rows(
    metric: Metric,
    name: str,
    images: Images,
    label: str,
    contexts: Sequence[Context],
    *,
    heads: Sequence[str] = (ADDITIVE,),
    training: Images | None = None,
    seed: int,
) -> list[Row]:
    """Measure heads of a metric as ``dps-train evaluate`` does, and return a row for each.

    Args:
        metric: in PyTorch.
        name: of the metric, for people; the name of a head is added where there are several.
        images: held out.
        label: of the images, for people.
        contexts: rankings.
        heads: see `dps_train.evaluate.heads`.
        training: images to train the linear heads on.
        seed: of everything random.
    """
    measured = measure_heads(
        metric,
        heads,
        resize_images(images.images, metric.preprocess.size or TRAINING_SIZE),
        contexts,
        own=ADDITIVE,
        training=training,
        seed=seed,
        device=torch.device("cpu"),
    )
    return [
        _row(name if len(heads) == 1 else head, label, measures)
        for head, measures in measured.items()
    ]


def share(value: float | None) -> str:
    """Return a measure between 0 and 1 for a table."""
    return NONE if value is None else f"{value:.3f}"


def extent(values: dict[str, float]) -> str:
    """Return the smallest and the largest value for a table."""
    return f"{min(values.values()):.2f} to {max(values.values()):.2f}"


def mean(values: dict[str, float]) -> float | None:
    """Return the mean of values by name; None of none."""
    return fmean(values.values()) if values else None


def _row(metric: str, images: str, measures: Measures) -> Row:
    assert measures.score is not None, "a ranking orders distortions"
    assert measures.baseline is not None, "every head in PyTorch has an unadapted distance"
    assert measures.ceiling is not None, "a ranking orders distortions"
    assert measures.improved is not None, "every head in PyTorch has an unadapted distance"
    return Row(
        metric=metric,
        images=images,
        count=measures.images,
        rankings=measures.rankings,
        score=measures.score.mean,
        lowest=measures.score.min,
        baseline=measures.baseline.mean,
        ceiling=measures.ceiling.mean,
        improved=measures.improved,
        named=measures.named or {},
        monotonicity={name: v for name, v in measures.monotonicity.items() if v is not None},
        composition=measures.composition,
        stability=measures.stability,
        retention=dict(measures.retention),
    )
