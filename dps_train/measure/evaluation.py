"""What a metric is worth on held-out images: agreement with contexts, and the marks of a metric.

The images' changes are drawn and compared once (`EvaluationBank`); every context and
every head is measured on the same ones. Definitions, per measure:

* score: 2AFC over every pair of distortions that the ranking orders and every pair of
  draws in the paper's ranges, mean over images. A tie of distances counts 0.5.
* baseline: the same for the unadapted distance of the same pairs.
* ceiling: the same for the true amounts of the draws.
* improved: share of contexts whose score is above their baseline.
* named: per distortion, share of draws in the paper's range of which its amount is larger
  than every other amount; only for heads that report amounts.
* monotonicity: per distortion, Spearman correlation of distance with strength from
  barely visible to the end of the range, averaged over images and contexts.
* composition: share of (image, two distortions in range) where both in turn are at
  least as far as the farther of the two alone.
* stability: distance of uniform noise of half a grey level, over the median distance of
  the context's least disruptive distortion, or of the closest one where it orders none.
* retention: per kind of change that training never saw, Spearman correlation of
  distance with its strength.

A distortion that only some of the images can show (`dps_train.custom.recorded`) is measured on
these: parameters of other images are NaN, and so is all that follows from them.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dps_infer.contexts.context import Context
from dps_infer.progress import track
from dps_train.contexts import importance_table, pair_table
from dps_train.distortions.paper import DISTORTIONS, NAMES, Distortion, quantize
from dps_train.distortions.random_changes import strengths_of_amounts
from dps_train.distortions.unnamed import HELD_OUT
from dps_train.model.context_heads import Adapted, context_distances, head_in
from dps_train.model.heads import Head

DRAWS = 4
GRADES = 10
BATCH = 256

DISTANCES_AT_ONCE = 2**20
"""Of one kind, over all contexts that are measured together: it bounds the memory."""


class Distances(Protocol):
    """Tells changed images from their originals, as `dps_train.bank.bank.FeatureDistances`."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return what is compared of float RGB images [N, 3, size, size] in [0, 1]."""
        ...

    def z(self, reference: list[Tensor], changed: Tensor) -> Tensor:
        """Return [N, D] between the `maps` of originals and changed images, on the CPU."""
        ...


@dataclass(frozen=True)
class EvaluationBank:
    """Channel distances of held-out images to changes of them; M images, K distortions.

    Attributes:
        names: of the distortions.
        drawn: draws in the ranges [K, DRAWS, M, D].
        drawn_amounts: their true amounts [K, DRAWS, M].
        graded: rising strengths [K, GRADES, M, D].
        strengths: of these [K, GRADES, M].
        composed: the second distortion on top of the first, both as in the first draws
            [K, K, M, D]; the diagonal is unused.
        noise: uniform noise of half a grey level [M, D]; NaN where that cannot be shown.
        unseen: per held-out kind of change, rising strengths [GRADES, M, D].
    """

    names: tuple[str, ...]
    drawn: Tensor
    drawn_amounts: Tensor
    graded: Tensor
    strengths: Tensor
    composed: Tensor
    noise: Tensor
    unseen: dict[str, Tensor]

    def mapped(self, function: Callable[[Tensor], Tensor]) -> EvaluationBank:
        """Return the bank with every tensor [..., D] replaced by what `function` makes of it."""
        return dataclasses.replace(
            self,
            drawn=function(self.drawn),
            graded=function(self.graded),
            composed=function(self.composed),
            noise=function(self.noise),
            unseen={name: function(z) for name, z in self.unseen.items()},
        )


@dataclass(frozen=True)
class Spread:
    """A measure over several contexts."""

    mean: float
    min: float
    max: float


@dataclass(frozen=True)
class Measures:
    """See the module's definitions. `pairs` maps ``less>more`` to the 2AFC of that pair.

    Scores are None where a context orders no two distortions, `baseline` and `improved` where
    there is no unadapted distance as well, `named` where the head reports no amounts,
    stability where the metric ignores the least disruptive one or cannot be shown the noise,
    monotonicity where no image shows a distortion at several strengths.
    """

    rankings: int
    score: Spread | None
    baseline: Spread | None
    ceiling: Spread | None
    improved: float | None
    pairs: dict[str, float]
    baseline_pairs: dict[str, float] | None
    ceiling_pairs: dict[str, float]
    named: dict[str, float] | None
    monotonicity: dict[str, float | None]
    composition: float
    stability: float | None
    retention: dict[str, float]
    images: int


def build_evaluation_bank(
    distances: Distances,
    images: Tensor,
    generator: torch.Generator,
    *,
    faint_noise: bool = True,
    distortions: Sequence[Distortion] = DISTORTIONS,
) -> EvaluationBank:
    """Draw the changes of held-out images and compare each with its image.

    Args:
        distances: runs the backbone.
        images: float RGB [M, 3, size, size] in [0, 1].
        generator: draws the parameters.
        faint_noise: whether noise below the step from one of 256 levels to the next can be shown.
        distortions: what there is to be told apart.
    """
    count = len(images)
    kinds = len(distortions)
    names = tuple(distortion.name for distortion in distortions)
    reference = [distances.maps(images[i : i + BATCH]) for i in range(0, count, BATCH)]

    def compared(changed: Tensor) -> Tensor:
        batches = changed.split(BATCH)
        return torch.cat([distances.z(r, b) for r, b in zip(reference, batches, strict=True)])

    def changed(distortion: Distortion, originals: Tensor, drawn: Tensor) -> Tensor:
        z = compared(quantize(distortion.apply(originals, drawn)))
        return z.masked_fill(distortion.strength(drawn).isnan()[:, None], torch.nan)

    parameters = [[d.sample(count, generator) for _ in range(DRAWS)] for d in distortions]
    drawn, graded, strengths, composed = [], [], [], []
    shares = torch.linspace(0, 1, GRADES)
    for number in track(range(kinds), "held-out images"):
        distortion = distortions[number]
        drawn += [changed(distortion, images, p) for p in parameters[number]]
        direction = torch.rand(count, generator=generator)
        lowest = float(np.log(2) / np.log1p(distortion.limit / distortion.threshold))
        for strength in strengths_of_amounts(distortion, lowest + (1 - lowest) * shares):
            graded_parameters = distortion.with_strength(strength.expand(count), direction)
            graded.append(changed(distortion, images, graded_parameters))
            strengths.append(distortion.strength(graded_parameters))
        first = distortion.apply(images, parameters[number][0])
        absent = distortion.strength(parameters[number][0]).isnan()[:, None]
        for other in range(kinds):
            # The diagonal only keeps the table square.
            if other == number:
                composed.append(drawn[-DRAWS])
            elif distortions[other].needs_original:
                composed.append(torch.full_like(drawn[-DRAWS], torch.nan))
            else:
                z = changed(distortions[other], first, parameters[other][0])
                composed.append(z.masked_fill(absent, torch.nan))
    # Rounding would undo noise this weak; what counts is how the metric takes it.
    noisy = images + (torch.rand(images.shape, generator=generator) - 0.5) / 255
    noise = compared(noisy) if faint_noise else torch.full_like(drawn[0], torch.nan)
    grades = torch.linspace(1 / GRADES, 1, GRADES)
    unseen = {
        name: torch.stack(
            [compared(quantize(change(images, grade.expand(count), generator))) for grade in grades]
        )
        for name, change in HELD_OUT.items()
        if name not in names
    }
    return EvaluationBank(
        names=names,
        drawn=torch.stack(drawn).unflatten(0, (kinds, DRAWS)),
        drawn_amounts=torch.stack(
            [
                torch.stack([d.amount(p) for p in draws])
                for d, draws in zip(distortions, parameters, strict=True)
            ]
        ),
        graded=torch.stack(graded).unflatten(0, (kinds, GRADES)),
        strengths=torch.stack(strengths).unflatten(0, (kinds, GRADES)),
        composed=torch.stack(composed).unflatten(0, (kinds, kinds)),
        noise=noise,
        unseen=unseen,
    )


@torch.no_grad()
def evaluate(head: Head, bank: EvaluationBank, contexts: Sequence[Context]) -> Measures:
    """Measure a head in each of several contexts; see the module for the definitions."""
    return evaluate_adapted(head_in(head, contexts), bank, contexts)


@torch.no_grad()
def evaluate_adapted(
    adapted: Adapted, bank: EvaluationBank, contexts: Sequence[Context]
) -> Measures:
    """Measure any head, adapted to each of several contexts; see the module for the definitions.

    Args:
        adapted: the head, one row of weights for each context.
        bank: of held-out images.
        contexts: what the head was adapted to.
    """
    judged = pair_table(contexts)
    columns = bank.mapped(adapted.columns)
    at_once = max(1, DISTANCES_AT_ONCE // bank.graded[..., 0].numel())
    marks = _joined(
        [
            _marks(columns, weights, importances, pairs)
            for weights, importances, pairs in zip(
                adapted.weights.split(at_once),
                importance_table(contexts).split(at_once),
                judged.split(at_once),
                strict=True,
            )
        ]
    )
    baseline = None
    if adapted.total is not None:
        uniform = adapted.total(bank.drawn.flatten(0, -2)).unflatten(0, bank.drawn.shape[:-1])
        baseline = two_afc(uniform[None], judged)
    return Measures(
        rankings=len(contexts),
        score=_spread(marks.score),
        baseline=None if baseline is None else _spread(baseline),
        ceiling=_spread(marks.ceiling),
        improved=None if baseline is None else _improved(marks.score, baseline),
        pairs=_by_pair(marks.score, bank.names),
        baseline_pairs=None if baseline is None else _by_pair(baseline, bank.names),
        ceiling_pairs=_by_pair(marks.ceiling, bank.names),
        named=_named(adapted.names, columns),
        monotonicity=_by_name(marks.monotonicity, bank.names),
        composition=float(marks.composition.mean()),
        stability=_finite_mean(marks.stability),
        retention=dict(zip(bank.unseen, marks.retention.mean(dim=0).tolist(), strict=True)),
        images=bank.noise.shape[0],
    )


def two_afc(distances: Tensor, judged: Tensor) -> Tensor:
    """Return how often the less disruptive of two changes is the closer one.

    Args:
        distances: of V draws of each of K distortions of M images [R, K, V, M], or
            [1, K, V, M] where they are the same in all contexts.
        judged: bool [R, K, K], pairs of (less, more) disruptive.

    Returns:
        [R, K, K] in [0, 1], mean over images and pairs of draws; NaN where not judged, or
        where no image shows both.
    """
    rows, kinds = distances.shape[:2]
    table = torch.full((rows, kinds, kinds), torch.nan)
    for one, other in itertools.combinations(range(kinds), 2):
        first, second = distances[:, one, :, None], distances[:, other, None, :]
        # Whole numbers and halves: the two directions add up to 1 exactly.
        count = (first - second).isfinite().sum(dim=(1, 2, 3))
        closer = (first < second).sum(dim=(1, 2, 3)) + 0.5 * (first == second).sum(dim=(1, 2, 3))
        table[:, one, other] = closer / count
        table[:, other, one] = (count - closer) / count
    return torch.where(judged, table, torch.nan)


def spearman(distances: Tensor, dim: int, strengths: Tensor | None = None) -> Tensor:
    """Return the rank correlation of distances with strengths along a dimension.

    Args:
        distances: of any shape.
        dim: along which they should rise.
        strengths: that broadcast to `distances`; None where they rise with the position.

    Returns:
        float64 in [-1, 1], without the dimension; 0 for a constant series, NaN where something
        is NaN or all strengths are equal.
    """
    if strengths is None:
        shape = [1] * distances.dim()
        shape[dim] = -1
        strengths = torch.arange(distances.shape[dim]).reshape(shape)
    from_last = dim - distances.dim() if dim >= 0 else dim
    ranks, expected = (_ranks(values, from_last) for values in (distances, strengths))
    spread = expected.square().sum(dim=-1)
    norm = torch.sqrt(ranks.square().sum(dim=-1) * spread)
    correlation = (ranks * expected).sum(dim=-1) / torch.where(norm != 0, norm, 1)
    return torch.where(spread > 0, correlation, torch.nan)


def _ranks(values: Tensor, dim: int) -> Tensor:
    """Return twice the ranks about their mean, ties included, the dimension last."""
    # How many are below less how many are above.
    ranks = torch.zeros(values.shape)
    for number in range(values.shape[dim]):
        ranks += torch.sign(values - values.narrow(dim, number, 1))
    return ranks.movedim(dim, -1).double()


def named_share(amounts: Tensor, names: Sequence[str] = NAMES) -> dict[str, float]:
    """Return how often the amount of what was done is the largest, per distortion.

    Args:
        amounts: of draws of single distortions [K, V, M, K + 1], NaN where there is no draw.
        names: of the distortions.

    Returns:
        Per distortion, the share of its draws of which its own amount is larger than every other.
    """
    shares = {}
    for number, name in enumerate(names):
        own = amounts[number, ..., number]
        others = amounts[number].clone()
        others[..., number] = -torch.inf
        largest = own > others.amax(dim=-1)
        shares[name] = float(largest[own.isfinite()].double().mean())
    return shares


def _named(names: tuple[str, ...] | None, columns: EvaluationBank) -> dict[str, float] | None:
    """Return `named_share`, where all distortions have an amount."""
    if names is None or names[:-1] != columns.names:
        return None
    return named_share(columns.drawn, columns.names)


def calibration_quantiles(
    head: Head, bank: EvaluationBank, levels: Sequence[float]
) -> dict[str, list[float]]:
    """Return, per distortion, the quantiles of the distance over draws in the ranges."""
    with torch.no_grad():
        distances = head(bank.drawn.flatten(0, -2))
    table = torch.nanquantile(
        distances.double().reshape(len(bank.names), -1),
        torch.tensor(levels, dtype=torch.double),
        dim=1,
    )
    return {name: table[:, number].tolist() for number, name in enumerate(bank.names)}


@dataclass(frozen=True)
class _Marks:
    """Measures of R contexts, one row each, means over the images.

    Attributes:
        score: [R, K, K], NaN where not judged.
        ceiling: likewise.
        monotonicity: [R, K].
        composition: [R].
        stability: [R], infinite or NaN where the least disruptive distortion is ignored, or
            there is no noise.
        retention: [R, U] of U kinds of change.
    """

    score: Tensor
    ceiling: Tensor
    monotonicity: Tensor
    composition: Tensor
    stability: Tensor
    retention: Tensor


def _marks(columns: EvaluationBank, weights: Tensor, importances: Tensor, judged: Tensor) -> _Marks:
    """Measure some contexts together.

    Args:
        columns: what the weights multiply, in the place of z.
        weights: [R, F].
        importances: [R, K + 1].
        judged: [R, K, K].
    """
    distances = columns.mapped(lambda read: context_distances(read, weights))
    kinds = columns.drawn_amounts.shape[0]
    true_distances = importances[:, :kinds, None, None] * columns.drawn_amounts
    unseen = [spearman(series, 1).mean(dim=1) for series in distances.unseen.values()]
    return _Marks(
        score=two_afc(distances.drawn, judged),
        ceiling=two_afc(true_distances, judged),
        monotonicity=spearman(distances.graded, 2, columns.strengths).nanmean(dim=2),
        composition=_composition(distances.drawn[:, :, 0], distances.composed),
        stability=distances.noise.mean(dim=1) / _least(distances.drawn, importances, judged),
        retention=torch.stack(unseen, dim=1),
    )


def _least(drawn: Tensor, importances: Tensor, judged: Tensor) -> Tensor:
    """Return the median distance [R] of each context's least disruptive distortion."""
    typical = drawn.flatten(2).nanmedian(dim=2).values
    first = judged.any(dim=2) & ~judged.any(dim=1)
    ranks = torch.where(first, importances[:, : typical.shape[1]], torch.inf)
    # Nothing is least disruptive where nothing is ordered: there, the closest one is taken.
    ranks = torch.where(first.any(dim=1, keepdim=True), ranks, typical)
    return typical[torch.arange(len(typical)), ranks.argmin(dim=1)]


def _joined(parts: Sequence[_Marks]) -> _Marks:
    names = [field.name for field in dataclasses.fields(_Marks)]
    return _Marks(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _composition(alone: Tensor, composed: Tensor) -> Tensor:
    """Compare both in turn [R, K, K, M] with the farther of the two alone [R, K, M]: [R]."""
    farther = torch.maximum(alone[:, :, None], alone[:, None, :])
    different = ~torch.eye(alone.shape[1], dtype=torch.bool)[:, :, None]
    shown = different & (composed - farther).isfinite()
    kept = (shown & (composed >= farther)).sum(dim=(1, 2, 3))
    return kept.double() / shown.sum(dim=(1, 2, 3))


def _mean(table: Tensor) -> Tensor:
    """Return the mean over what is judged, per context: [R]."""
    judged = table.isfinite()
    return torch.where(judged, table, 0).sum(dim=(1, 2)) / judged.sum(dim=(1, 2))


def _improved(score: Tensor, baseline: Tensor) -> float | None:
    if not score.isfinite().any():
        return None
    return float((_mean(score) > _mean(baseline)).float().mean())


def _finite_mean(values: Tensor) -> float | None:
    return float(values.mean()) if bool(values.isfinite().all()) else None


def _spread(table: Tensor) -> Spread | None:
    values = _mean(table)
    values = values[values.isfinite()]
    if len(values) == 0:
        return None
    return Spread(float(values.mean()), float(values.min()), float(values.max()))


def _by_pair(table: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return the mean of each pair over the contexts that judge it."""
    judged = table.isfinite()
    count = judged.sum(dim=0)
    mean = torch.where(judged, table, 0).sum(dim=0) / count
    return {
        f"{names[less]}>{names[more]}": float(mean[less, more])
        for less, more in count.nonzero().tolist()
    }


def _by_name(values: Tensor, names: Sequence[str]) -> dict[str, float | None]:
    """Return the mean over the contexts by name; None where nothing could be measured."""
    means = values.mean(dim=0).tolist()
    return {
        name: None if math.isnan(mean) else mean for name, mean in zip(names, means, strict=True)
    }
