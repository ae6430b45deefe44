"""What the head of size and presence learns from families of changes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dps_infer.contexts.ranking import IMPORTANCE_RATIO, OTHER
from dps_train.distortions.paper import NAMES
from dps_train.model.change.kinds import KIND_NAMES
from dps_train.model.change_metric import TRANSLATE, ChangeMetric
from dps_train.model.presence_head import Reading, pooled_presences, presences, size_of
from dps_train.pretrain.presence_bank import MeasuredPairs

KINDS = len(KIND_NAMES)
CONTENT = KIND_NAMES.index("content")
LAST = KIND_NAMES.index(OTHER)

VISIBLE = 0.15 / 255
"""Mean difference at which a pair counts half."""

FAINT_CELL = 4e-3
"""Distance of a cell below which it shows nothing."""

INSIDE, OUTSIDE = 0.25, 0.01
"""Share of a cell from which on it shows a change of a part, and below which it does not."""

UNNAMED, UNNAMED_OTHER = 0.15, 0.3
"""Weights of changes without a name, which resemble others: of the names, and of `other`."""

ABSENT = 4.0
"""Weight of kinds that are not there: a context may make a hundred times as much of them."""

MARGIN = 0.02
"""Margin in log distance by which a stronger change is farther."""

BY_NUMBER = (1.0, 1.0, 1.0, 0.5)
"""Weight of a pair in contexts by its number of kinds: one, two, three, more."""

CONTEXTS = 24
SIX_SHARE, ALL_SHARE = 0.6, 0.25
"""Shares of contexts that rank the paper's six, and all kinds. In the others all count alike."""


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of the loss."""

    cells: float = 1.0
    presence: float = 2.0
    contexts: float = 1.5
    order: float = 2.0
    size: float = 3.0
    composed: float = 2.0
    typical: float = 0.5
    directions: float = 0.3
    cell_directions: float = 0.2
    strengths: float = 0.2
    correction: float = 0.06


def draw_contexts(scale: Tensor, generator: torch.Generator) -> Tensor:
    """Draw importances times scales: [CONTEXTS, K]."""
    contexts = torch.full((CONTEXTS, KINDS), IMPORTANCE_RATIO ** ((len(NAMES) - 1) / 2))
    for row in contexts:
        share = float(torch.rand(1, generator=generator))
        if share < SIX_SHARE:
            places = torch.randperm(len(NAMES), generator=generator).float()
            row[: len(NAMES)] = IMPORTANCE_RATIO**places
        elif share < SIX_SHARE + ALL_SHARE:
            places = torch.randperm(KINDS, generator=generator).float()
            row[:] = IMPORTANCE_RATIO ** (places * ((len(NAMES) - 1) / (KINDS - 1)))
        else:
            row[:] = 1
    return contexts * scale


def read_pairs(metric: ChangeMetric, pairs: MeasuredPairs) -> tuple[Tensor, Tensor, Reading, Tensor]:
    """Return evidence and directions of cells, the reading, and the sizes of pairs."""
    evidence, directions = metric.cell_head(pairs.cells.float(), pairs.motion[:, None])
    pooled = pooled_presences(evidence, pairs.cell_distances)
    reading = metric.layers(pairs.terms, pairs.features, pairs.motion, pooled, pairs.code)
    return evidence, directions, reading, size_of(pairs.terms, reading)


def presence_loss(
    metric: ChangeMetric,
    pairs: MeasuredPairs,
    members: int,
    generator: torch.Generator,
    weights: Weights,
    *,
    paper: bool,
) -> Tensor:
    """Return the loss of whole families of pairs, each of `members`."""
    cell_evidence, cell_directions, reading, size = read_pairs(metric, pairs)
    present, seen = pairs.present, pairs.visible / (pairs.visible + VISIBLE)
    same = present.sum(dim=1) < KINDS
    unnamed = (present[:, LAST] > 0) & same
    first = torch.arange(len(present)) // members * members

    targets, cell_weights = _cell_targets(pairs, same)
    cell_weights = cell_weights * seen[:, None]
    wrong = _evidence_loss(cell_evidence, targets)
    loss = weights.cells * _mean(wrong.mean(dim=-1), cell_weights)

    name_weights = torch.ones_like(present)
    name_weights[unnamed] = UNNAMED
    name_weights[unnamed, LAST] = UNNAMED_OTHER
    wrong = _evidence_loss(reading.evidence, present)
    loss = loss + weights.presence * _mean((wrong * name_weights).mean(dim=-1), seen)

    contexts = draw_contexts(metric.scale, generator)
    shown = torch.log(presences(reading.evidence, soft=True) @ contexts.T)
    wanted = torch.log(present @ contexts.T)
    number = (present.sum(dim=1).long() - 1).clamp(0, len(BY_NUMBER) - 1)
    named = torch.tensor(BY_NUMBER)[number] * seen * torch.where(unnamed, UNNAMED, 1.0)
    wrong = F.smooth_l1_loss(shown, wanted, beta=0.1, reduction="none").mean(dim=-1)
    loss = loss + weights.contexts * _mean(wrong, named)

    sizes = torch.log(size + 1e-4)
    distances = sizes[:, None] + shown
    graded = (pairs.weaker >= 0).float() * seen
    weaker = first + pairs.weaker.clamp(min=0)
    loss = loss + weights.order * _mean(F.relu(distances[weaker] - distances + MARGIN).mean(-1), graded)
    loss = loss + weights.size * _mean(F.relu(sizes[weaker] - sizes + MARGIN), graded)
    loss = loss + weights.correction * reading.correction.square().mean()
    if paper:
        typical = _typical(pairs) * seen
        scaled = sizes + torch.log(present @ metric.scale)
        uneven = F.smooth_l1_loss(scaled, torch.zeros_like(scaled), beta=0.1, reduction="none")
        loss = loss + weights.typical * _mean(uneven, typical)
    combined = (pairs.alone[:, 0] >= 0).float()
    for place in (0, 1):
        alone = distances[first + pairs.alone[:, place].clamp(min=0)].detach()
        nearer = F.relu(alone - distances + MARGIN).mean(dim=-1)
        loss = loss + weights.composed * _mean(nearer, combined)

    known = (pairs.directions != 0).float() * seen[:, None]
    wrong = F.softplus(-pairs.directions * reading.directions)
    loss = loss + weights.directions * _mean(wrong, known)
    in_cells = (pairs.directions != 0)[:, None] * (targets > 0) * cell_weights[..., None]
    wrong = F.softplus(-pairs.directions[:, None] * cell_directions)
    loss = loss + weights.cell_directions * _mean(wrong, in_cells)
    return loss + weights.strengths * _strength_loss(pairs, reading, seen)


def _typical(pairs: MeasuredPairs) -> Tensor:
    """Return 1 for single distortions of the paper's in about its ranges [P]."""
    alone = (pairs.present.sum(dim=1) == 1) & (pairs.present[:, : len(NAMES)].sum(dim=1) == 1)
    weaker = torch.zeros_like(alone)
    weaker[:-1] = pairs.weaker[1:] >= 0
    strengths = torch.nan_to_num(pairs.strengths, nan=1e6)
    for name, least in (("rotate", 30.0), ("blur", 4.0), ("zoom", 10.0)):
        number = KIND_NAMES.index(name)
        alone &= (pairs.present[:, number] == 0) | (strengths[:, number] >= least)
    return (alone & ~weaker).float()


def _evidence_loss(evidence: Tensor, present: Tensor) -> Tensor:
    """Return the error of evidence [..., K]; below 0 a kind is absent enough."""
    there = present > 0
    error = torch.where(there, evidence - present, F.relu(evidence))
    loss = F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.1, reduction="none")
    # What is hidden under other changes is a guess: a squared loss fits the mean of guesses.
    several = there & (there.sum(dim=-1, keepdim=True) > 1)
    loss = torch.where(several, 2 * error.square(), loss)
    return loss * torch.where(there, 1.0, ABSENT)


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
