"""What a metric is worth on held-out images: agreement with contexts, and the marks of a metric.

The images' changes are drawn and compared once (`EvaluationBank`); every context and
every head is measured on the same ones. Definitions, per measure:

* score: 2AFC over every pair of distortions that the ranking orders and every pair of
  draws in the paper's ranges, mean over images. A tie of distances counts 0.5.
* baseline: the same for the uniform head on the same channel distances.
* ceiling: the same for the true amounts of the draws.
* improved: share of contexts whose score is above their baseline.
* monotonicity: per distortion, Spearman correlation of distance with strength from
  barely visible to the end of the range, averaged over images and contexts.
* composition: share of (image, two distortions in range) where both in turn are at
  least as far as the farther of the two alone.
* stability: distance of uniform noise of half a grey level, over the median distance of
  the context's least disruptive distortion.
* retention: per kind of change that training never saw, Spearman correlation of
  distance with its strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor

from dps_train.bank import FeatureDistances
from dps_train.changes import HELD_OUT
from dps_train.contexts import Context, importance_table, pair_table
from dps_train.distortions import DISTORTIONS, NAMES, quantize
from dps_train.draws import strengths_of_amounts
from dps_train.heads import AdditiveHead, uniform_distance
from dps_train.metric import Metric
from dps_train.progress import track

DRAWS = 4
GRADES = 10
BATCH = 256

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class EvaluationBank:
    """Channel distances of held-out images to changes of them; M images, K distortions.

    Attributes:
        drawn: draws in the paper's ranges [K, DRAWS, M, D].
        drawn_amounts: their true amounts [K, DRAWS, M].
        graded: rising strengths [K, GRADES, M, D].
        composed: the second distortion on top of the first, both as in the first draws
            [K, K, M, D]; the diagonal is unused.
        noise: uniform noise of half a grey level [M, D].
        unseen: per held-out kind of change, rising strengths [GRADES, M, D].
    """

    drawn: Tensor
    drawn_amounts: Tensor
    graded: Tensor
    composed: Tensor
    noise: Tensor
    unseen: dict[str, Tensor]


@dataclass(frozen=True)
class Spread:
    """A measure over several contexts."""

    mean: float
    min: float
    max: float


@dataclass(frozen=True)
class Measures:
    """See the module's definitions. `pairs` maps ``less>more`` to the 2AFC of that pair.

    Scores are None where a context orders no two distortions, stability where the metric
    ignores the least disruptive one.
    """

    rankings: int
    score: Spread | None
    baseline: Spread | None
    ceiling: Spread | None
    improved: float | None
    pairs: dict[str, float]
    baseline_pairs: dict[str, float]
    ceiling_pairs: dict[str, float]
    monotonicity: dict[str, float]
    composition: float
    stability: float | None
    retention: dict[str, float]
    images: int


def build_evaluation_bank(
    distances: FeatureDistances, images: Tensor, generator: torch.Generator
) -> EvaluationBank:
    """Draw the changes of held-out images and compare each with its image.

    Args:
        distances: runs the backbone.
        images: float RGB [M, 3, size, size] in [0, 1].
        generator: draws the parameters.
    """
    count = len(images)
    kinds = len(DISTORTIONS)
    reference = [distances.maps(images[i : i + BATCH]) for i in range(0, count, BATCH)]

    def compared(changed: Tensor) -> Tensor:
        batches = changed.split(BATCH)
        return torch.cat([distances.z(r, b) for r, b in zip(reference, batches, strict=True)])

    parameters = [[d.sample(count, generator) for _ in range(DRAWS)] for d in DISTORTIONS]
    drawn, graded, composed = [], [], []
    shares = torch.linspace(0, 1, GRADES)
    for number in track(range(kinds), "held-out images"):
        distortion = DISTORTIONS[number]
        drawn += [compared(quantize(distortion.apply(images, p))) for p in parameters[number]]
        direction = torch.rand(count, generator=generator)
        lowest = float(np.log(2) / np.log1p(distortion.limit / distortion.threshold))
        for strength in strengths_of_amounts(distortion, lowest + (1 - lowest) * shares):
            graded_parameters = distortion.with_strength(strength.expand(count), direction)
            graded.append(compared(quantize(distortion.apply(images, graded_parameters))))
        first = distortion.apply(images, parameters[number][0])
        for other in range(kinds):
            # The diagonal only keeps the table square.
            composed.append(
                drawn[-DRAWS]
                if other == number
                else compared(quantize(DISTORTIONS[other].apply(first, parameters[other][0])))
            )
    # Rounding would undo noise this weak; what counts is how the metric takes it.
    noise = compared(images + (torch.rand(images.shape, generator=generator) - 0.5) / 255)
    grades = torch.linspace(1 / GRADES, 1, GRADES)
    unseen = {
        name: torch.stack(
            [compared(quantize(change(images, grade.expand(count), generator))) for grade in grades]
        )
        for name, change in HELD_OUT.items()
    }
    return EvaluationBank(
        drawn=torch.stack(drawn).unflatten(0, (kinds, DRAWS)),
        drawn_amounts=torch.stack(
            [
                torch.stack([d.amount(p) for p in draws])
                for d, draws in zip(DISTORTIONS, parameters, strict=True)
            ]
        ),
        graded=torch.stack(graded).unflatten(0, (kinds, GRADES)),
        composed=torch.stack(composed).unflatten(0, (kinds, kinds)),
        noise=noise,
        unseen=unseen,
    )


@torch.no_grad()
def evaluate(head: AdditiveHead, bank: EvaluationBank, contexts: Sequence[Context]) -> Measures:
    """Measure a head in each of several contexts; see the module for the definitions."""
    importances = importance_table(contexts)
    judged = pair_table(contexts)
    kinds, _, images = bank.drawn_amounts.shape

    def distances(z: Tensor) -> Tensor:
        """Return distances in every context [R, ...] for z [..., D]."""
        amounts = head.amounts(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
        return torch.einsum("...k,rk->r...", amounts, importances)

    drawn = distances(bank.drawn)
    true_distances = importances[:, :kinds, None, None] * bank.drawn_amounts
    uniform = uniform_distance(bank.drawn)[None].expand(len(contexts), -1, -1, -1)
    score, ceiling = two_afc(drawn, judged), two_afc(true_distances, judged)
    baseline = two_afc(uniform, judged)
    graded = distances(bank.graded)
    least = torch.where(judged.any(2) & ~judged.any(1), importances[:, :kinds], torch.inf)
    least_drawn = drawn[torch.arange(len(contexts)), least.argmin(dim=1)]
    return Measures(
        rankings=len(contexts),
        score=_spread(score, judged),
        baseline=_spread(baseline, judged),
        ceiling=_spread(ceiling, judged),
        improved=_improved(score, baseline, judged),
        pairs=_by_pair(score, judged),
        baseline_pairs=_by_pair(baseline, judged),
        ceiling_pairs=_by_pair(ceiling, judged),
        monotonicity={
            name: float(_spearman(graded[:, number], axis=1).mean())
            for number, name in enumerate(NAMES)
        },
        composition=_composition(drawn[:, :, 0], distances(bank.composed)),
        stability=_stability(distances(bank.noise), least_drawn.flatten(1)),
        retention={
            name: float(_spearman(distances(z), axis=1).mean()) for name, z in bank.unseen.items()
        },
        images=images,
    )


def measure(
    metric: Metric,
    images: Tensor,
    contexts: Sequence[Context],
    generator: torch.Generator,
    device: torch.device,
) -> Measures:
    """Measure a trained metric on images [M, 3, size, size] in [0, 1]."""
    distances = FeatureDistances(metric.preprocess, metric.backbone, metric.comparison, device)
    return evaluate(
        metric.head.cpu(), build_evaluation_bank(distances, images, generator), contexts
    )


def two_afc(distances: Tensor, judged: Tensor) -> Tensor:
    """Return how often the less disruptive of two changes is the closer one.

    Args:
        distances: [R, K, V, M], of V draws of each of K distortions of M images.
        judged: bool [R, K, K], pairs of (less, more) disruptive.

    Returns:
        [R, K, K] in [0, 1], mean over images and pairs of draws; NaN where not judged.
    """
    table = torch.full(judged.shape, torch.nan)
    for row, less, more in judged.nonzero().tolist():
        close, far = distances[row, less, :, None], distances[row, more, None, :]
        table[row, less, more] = ((far > close).float() + 0.5 * (far == close).float()).mean()
    return table


def calibration_quantiles(
    head: AdditiveHead, bank: EvaluationBank, context: Context, levels: Sequence[float]
) -> dict[str, list[float]]:
    """Return, per distortion, the quantiles of the distance over draws in the paper's ranges."""
    importances = importance_table([context])[0]
    with torch.no_grad():
        distances = head.amounts(bank.drawn.flatten(0, -2)) @ importances
    table = torch.quantile(
        distances.double().reshape(len(NAMES), -1), torch.tensor(levels, dtype=torch.double), dim=1
    )
    return {name: table[:, number].tolist() for number, name in enumerate(NAMES)}


def _composition(alone: Tensor, composed: Tensor) -> float:
    """Compare both in turn [R, K, K, M] with the farther of the two alone [R, K, M]."""
    farther = torch.maximum(alone[:, :, None], alone[:, None, :])
    different = ~torch.eye(alone.shape[1], dtype=torch.bool)
    return float((composed >= farther)[:, different].float().mean())


def _spearman(distances: Tensor, *, axis: int) -> FloatArray:
    """Return the rank correlation with the position along `axis`; a constant series gives 0."""
    ranks = np.moveaxis(rankdata(distances.numpy(), axis=axis), axis, -1)
    position = np.arange(ranks.shape[-1], dtype=float)
    ranks = ranks - ranks.mean(axis=-1, keepdims=True)
    position -= position.mean()
    norm = np.sqrt((ranks**2).sum(axis=-1) * (position**2).sum())
    correlation: FloatArray = (ranks @ position) / np.where(norm > 0, norm, 1)
    return correlation


def _mean(table: Tensor, judged: Tensor) -> Tensor:
    """Return the mean over judged pairs, per context: [R]."""
    return torch.where(judged, table, 0).sum(dim=(1, 2)) / judged.sum(dim=(1, 2))


def _improved(score: Tensor, baseline: Tensor, judged: Tensor) -> float | None:
    if not judged.any():
        return None
    return float((_mean(score, judged) > _mean(baseline, judged)).float().mean())


def _stability(noise: Tensor, least: Tensor) -> float | None:
    """Compare distances of noise [R, M] with those of the least disruptive draws [R, V * M]."""
    typical = least.median(dim=1).values
    return float((noise.mean(dim=1) / typical).mean()) if bool((typical > 0).all()) else None


def _spread(table: Tensor, judged: Tensor) -> Spread | None:
    if not judged.any():
        return None
    values = _mean(table, judged)
    return Spread(float(values.mean()), float(values.min()), float(values.max()))


def _by_pair(table: Tensor, judged: Tensor) -> dict[str, float]:
    """Return the mean of each pair over the contexts that judge it."""
    count = judged.sum(dim=0)
    mean = torch.where(judged, table, 0).sum(dim=0) / count
    return {
        f"{NAMES[less]}>{NAMES[more]}": float(mean[less, more])
        for less, more in count.nonzero().tolist()
    }
