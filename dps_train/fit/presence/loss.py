"""What the head of size and presence learns from families of changes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.contexts.ranking import OTHER
from dps_train.distortions.kinds import KIND_NAMES
from dps_train.fit.presence.bank import MeasuredPairs
from dps_train.model.change.change_metric import ROTATE, TRANSLATE, ChangeMetric
from dps_train.model.change.presence_head import (
    BEHIND,
    FULLY,
    NOTHING,
    Reading,
    presences_in_cells,
)

KINDS = len(KIND_NAMES)
CONTENT = KIND_NAMES.index("content")
MIRROR = KIND_NAMES.index("mirror")
LAST = KIND_NAMES.index(OTHER)

VISIBLE = 0.15 / 255
"""Mean difference at which a pair counts half."""

FAINT_CELL = 4e-3
"""Distance of a cell below which it shows nothing."""

INSIDE, OUTSIDE = 0.25, 0.01
"""Share of a cell from which on it shows a change of a part, and below which it does not."""

UNNAMED, UNNAMED_OTHER = 0.3, 0.5
"""Weights of changes without a name, which resemble others: of the names, and of `other`."""

COMBINED = 2.5
"""Weight of kinds that are there together with others: some are hidden, and a combination in which
an important kind is overlooked is nearer than that kind alone."""

GROSS, GROSS_TURN = 2.2, 90.0
"""Size that a mirror image, another picture, and a turn by so many degrees should at least have."""

MARGIN = 0.02
"""Margin in log distance by which a stronger change is farther."""

OVERLOOKED_CONTENT = 1.5
"""Weight of other content that is there: it is worse to overlook a missing part than to suspect
one."""

CONTEXTS = 16
SPREAD = 1.3
"""Random contexts in each step, and the standard deviation of the logarithms of importances."""

FAINT_IMPORTANCE = 1e-3
"""Added to importances before their logarithms are compared."""

SOFT = 0.6
"""Log odds within which a presence mostly rises, where it needs a gradient everywhere."""


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of the loss."""

    cells: float = 1.0
    presence: float = 4.0
    size: float = 5.0
    directions: float = 0.3
    cell_directions: float = 0.2
    strengths: float = 0.2
    gross: float = 2.0
    correction: float = 0.15
    contexts: float = 1.0
    order_in_contexts: float = 2.0


@dataclass(frozen=True)
class Read:
    """What a metric reads of P pairs.

    Attributes:
        evidence: in cells [P, C, K].
        directions: in cells [P, C, K].
        reading: of the whole images.
        size: [P].
    """

    evidence: Tensor
    directions: Tensor
    reading: Reading
    size: Tensor


def read_pairs(metric: ChangeMetric, pairs: MeasuredPairs) -> Read:
    """Read measured pairs."""
    evidence, directions = metric.comparison.cell_head(pairs.cells.float(), pairs.motion[:, None])
    z = _z(pairs, evidence)
    reading = metric.head.read(z)
    return Read(evidence, directions, reading, metric.head.size(z, reading))


@torch.no_grad()
def z_of(metric: ChangeMetric, pairs: MeasuredPairs) -> Tensor:
    """Return z [P, D] of measured pairs."""
    evidence, _ = metric.comparison.cell_head(pairs.cells.float(), pairs.motion[:, None])
    return _z(pairs, evidence)


def _z(pairs: MeasuredPairs, evidence: Tensor) -> Tensor:
    in_cells = presences_in_cells(evidence, pairs.cell_distances)
    parts = pairs.total[:, None], pairs.terms, pairs.features.flatten(1), pairs.motion
    return torch.cat([*parts, in_cells, pairs.code], dim=1)


def presence_loss(
    metric: ChangeMetric,
    pairs: MeasuredPairs,
    members: int,
    weights: Weights,
    contexts: Tensor,
) -> Tensor:
    """Return the loss of whole families of pairs, each of `members`.

    `contexts` are importances [R, K], from `random_contexts`.
    """
    read = read_pairs(metric, pairs)
    reading = read.reading
    present, seen = pairs.present, pairs.visible / (pairs.visible + VISIBLE)
    same = present.sum(dim=1) < KINDS
    told = (present.sum(dim=1) > 0) * seen
    unnamed = (present[:, LAST] > 0) & same
    first = torch.arange(len(present)) // members * members

    targets, cell_weights = _cell_targets(pairs, same)
    cell_weights = cell_weights * told[:, None]
    wrong = F.binary_cross_entropy_with_logits(read.evidence, targets, reduction="none")
    loss = weights.cells * _mean(wrong.mean(dim=-1), cell_weights)

    name_weights = torch.ones_like(present)
    several = (present.sum(dim=1) > 1) & same
    name_weights += (COMBINED - 1) * several[:, None] * present
    name_weights[:, CONTENT] += (OVERLOOKED_CONTENT - 1) * same * present[:, CONTENT]
    name_weights[unnamed] = UNNAMED
    name_weights[unnamed, LAST] = UNNAMED_OTHER
    wrong = F.binary_cross_entropy_with_logits(reading.evidence, present, reduction="none")
    loss = loss + weights.presence * _mean((wrong * name_weights).mean(dim=-1), told)

    sizes = torch.log(read.size + 1e-4)
    importance = torch.log(soft_presences(reading.evidence) @ contexts.T + FAINT_IMPORTANCE)
    marked = torch.log(present @ contexts.T + FAINT_IMPORTANCE)
    wrong = F.smooth_l1_loss(importance, marked, beta=0.2, reduction="none").mean(dim=1)
    loss = loss + weights.contexts * _mean(wrong, told * ~unnamed)
    distances = sizes[:, None] + importance

    graded = (pairs.weaker >= 0).float() * seen
    combined = (pairs.alone[:, 0] >= 0).float()
    fainter = ((pairs.weaker, graded), (pairs.alone[:, 0], combined), (pairs.alone[:, 1], combined))
    for places, counted in fainter:
        less = first + places.clamp(min=0)
        loss = loss + weights.size * _mean(F.relu(sizes[less] - sizes + MARGIN), counted)
        wrong = F.relu(distances[less] - distances + MARGIN).mean(dim=1)
        loss = loss + weights.order_in_contexts * _mean(wrong, counted)
    gross = (present[:, MIRROR] > 0) | (pairs.strengths[:, ROTATE] > GROSS_TURN)
    loss = loss + weights.gross * _mean(F.relu(math.log(GROSS) - sizes), gross.float())
    loss = loss + weights.correction * reading.correction.square().mean()

    known = (pairs.directions != 0).float() * seen[:, None]
    wrong = F.softplus(-pairs.directions * reading.directions)
    loss = loss + weights.directions * _mean(wrong, known)
    in_cells = (pairs.directions != 0)[:, None] * (targets > 0) * cell_weights[..., None]
    wrong = F.softplus(-pairs.directions[:, None] * read.directions)
    loss = loss + weights.cell_directions * _mean(wrong, in_cells)
    return loss + weights.strengths * _strength_loss(pairs, reading, seen)


def random_contexts(generator: torch.Generator) -> Tensor:
    """Draw importances of all kinds in `CONTEXTS` contexts [R, K], with a mean of 1 in each."""
    importances = torch.exp(SPREAD * torch.randn(CONTEXTS, KINDS, generator=generator))
    return importances / importances.mean(dim=1, keepdim=True)


def soft_presences(evidence: Tensor) -> Tensor:
    """Return about what `presences` returns of log odds [P, K], with a slope everywhere."""
    middle = (_log_odds(NOTHING) + _log_odds(FULLY)) / 2
    probable = torch.sigmoid((evidence - middle) / SOFT)
    logs = F.logsigmoid(evidence)
    share = torch.exp(logs - logs.amax(dim=1, keepdim=True))
    return torch.maximum(probable, torch.exp((share - 1) / (1 - BEHIND)))


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _cell_targets(pairs: MeasuredPairs, same: Tensor) -> tuple[Tensor, Tensor]:
    """Return which kinds each cell shows [P, C, K], and how much it counts [P, C]."""
    targets = pairs.present[:, None].expand(-1, pairs.part.shape[1], -1).clone()
    hit = (pairs.changed > OUTSIDE).float()
    targets[..., CONTENT] *= torch.where(same[:, None], hit, 1.0)
    local = pairs.local[:, None] > 0
    inside = (pairs.part > INSIDE).float()
    targets *= torch.where(local, inside, 1.0)[..., None]
    clear = ((pairs.part > INSIDE) | (pairs.part < OUTSIDE)).float()
    weights = torch.where(local, clear, 1.0) * (pairs.cell_distances > FAINT_CELL)
    return targets, weights


def _strength_loss(pairs: MeasuredPairs, reading: Reading, seen: Tensor) -> Tensor:
    strengths = pairs.strengths.clone()
    # The head gives shifts as shares of the side.
    strengths[:, TRANSLATE] /= pairs.side
    known = (torch.isfinite(strengths) & (strengths > 0)).float() * seen[:, None]
    logs = torch.log(torch.nan_to_num(strengths, nan=1.0).clamp(min=1e-3))
    return _mean(F.smooth_l1_loss(reading.strengths, logs, beta=0.2, reduction="none"), known)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean."""
    weights = weights.expand_as(values)
    return (values * weights).sum() / weights.sum().clamp(min=1)
