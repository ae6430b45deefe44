"""The head of size and presence: how different two images are, and in which ways.

    distance = size * (w_size + sum over kinds k of w_k * scale_k * presence_k)

*Size* is the general distance. *Presence* says of each kind whether it is there, from 0 to 1; at
least one kind has 1, and several changes in turn are each fully there. So a context can only
re-weigh one sound general distance, and no context brings an altogether different image near.

Layers that read the whole image sometimes name a kind that is nowhere, and two changes in two
places hide each other from them. So cells have a say, where there are several: some kinds are
there only if a cell shows them, and a kind is also there where enough of the distance lies in cells
that clearly show that kind and no other.

z of a pair is a vector, in this order: the unadapted distance of the network's maps, the terms of
the general distance, the features of both orders, those of the motion, the presences in cells
pooled over the image, the shares of cells that show one kind alone, the presences where they are
clearest, and the network's code.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_infer.contexts.ranking import SIZE
from dps_train.model.change.change_features import FEATURES, MOTION
from dps_train.model.change.general_distance import TERMS, general_distance
from dps_train.model.heads import Head

SMALLEST_LOG_STRENGTH, LARGEST_LOG_STRENGTH = -7.0, 6.0

NOTHING, FULLY = 0.85, 0.97
"""Probabilities up to which a kind is not there, and from which it fully is."""

BEHIND = 0.95
"""Share of the largest probability up to which an improbable kind is not there: of several
improbable kinds, only the most probable one is."""

BEHIND_IN_CELLS = 0.8
"""The same in a cell. The nearer this is to 1, the more rounding decides between tied kinds."""

UNCLEAR, CLEAR = 0.5, 0.9
"""Probabilities that a cell shows a kind and no other, up to which it does not count as a cell of
that kind alone, and from which it fully does."""

FEW, ENOUGH = 0.03, 0.08
"""Shares of the distance in cells of one kind alone, up to which they do not matter, and from which
the kind is fully there."""

CONFIRMED_IN_CELLS = ("translate", "saturation", "tint", "compression")
"""Kinds that are there only if a cell shows them."""

SEEN = 0.75
"""Probability of such a kind in the cell that shows it best, from which on the cell confirms it."""

FAINT = 0.03
"""Share of the largest distance of a cell, below which a cell confirms less."""

CONTENT_EXPLAINS = 0.5
"""Share of those cells that other content explains: what is put in the place of a part may look
recolored or blurred here and there."""

LEAST = 1e-3
"""Least probability of `other`: without any evidence, a change is of another kind."""

LIMIT = 6.0
"""Inputs are clipped to so many standard deviations."""


class Standardize(nn.Module):
    """Shift and scale inputs to mean 0 and standard deviation 1, and clip them."""

    mean: Tensor
    std: Tensor

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("std", torch.ones(length))

    def fit(self, inputs: Tensor) -> None:
        """Take mean and deviation from inputs [P, length]."""
        self.mean.copy_(inputs.mean(dim=0))
        self.std.copy_(inputs.std(dim=0).clamp(min=0.05))

    def forward(self, inputs: Tensor) -> Tensor:
        """Standardize [..., length]."""
        return ((inputs - self.mean) / self.std).clamp(-LIMIT, LIMIT)


class CellHead(nn.Module):
    """Read presences and directions in each cell.

    Args:
        kinds: number of kinds, `other` included.
    """

    HIDDEN = (96, 64)

    def __init__(self, kinds: int) -> None:
        super().__init__()
        self.kinds = kinds
        self.features, self.motion = Standardize(FEATURES), Standardize(MOTION)
        self.layers = _layers(FEATURES + MOTION, *self.HIDDEN, 2 * kinds)

    def forward(self, features: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Return evidence and directions [..., K] of features [..., 2, FEATURES].

        `motion` [..., MOTION] is that of the whole images.
        """
        shared = self.motion(motion)[..., None, :].expand(*features.shape[:-1], MOTION)
        read = self.layers(torch.cat([self.features(features), shared], dim=-1))
        return _orders(read[..., : self.kinds])[0], _orders(read[..., self.kinds :])[1]


@dataclass(frozen=True)
class Reading:
    """What a `PresenceLayers` reads of a pair.

    Attributes:
        evidence: of each kind [..., K]: the logarithm of its odds.
        directions: positive where the candidate goes the way of the name [..., K].
        strengths: logarithms of strengths in the kinds' units [..., K].
        correction: of the general distance, in [-1, 1].
    """

    evidence: Tensor
    directions: Tensor
    strengths: Tensor
    correction: Tensor


class PresenceLayers(nn.Module):
    """Read a pair from its features; see `Reading`.

    Args:
        kinds: number of kinds K, `other` included.
        code: length of what a network reads of the shrunk images.
    """

    HIDDEN = (192, 96)

    def __init__(self, kinds: int, code: int) -> None:
        super().__init__()
        self.kinds, self.code_length = kinds, code
        self.features, self.shared = Standardize(FEATURES), Standardize(MOTION + TERMS + code)
        self.length = FEATURES + MOTION + TERMS + code + 2 * kinds
        self.layers = _layers(self.length, *self.HIDDEN, 3 * kinds + 1)
        # What the network's own head already tells need not pass the hidden layers.
        self.direct = nn.Linear(self.length, 3 * kinds + 1)

    def shared_of(self, values: Tensor, motion: Tensor, code: Tensor) -> Tensor:
        """Return what is standardized besides the features: [..., MOTION + TERMS + code]."""
        return torch.cat([motion, torch.log(values.clamp(min=0) + 1e-5), code], dim=-1)

    def inputs(
        self, values: Tensor, features: Tensor, motion: Tensor, pooled: Tensor, code: Tensor
    ) -> Tensor:
        """Return the inputs of the layers, for both orders of the images [..., 2, length].

        Args:
            values: `terms` [..., TERMS].
            features: of the whole images [..., 2, FEATURES].
            motion: `motion_features` [..., MOTION].
            pooled: `pooled_presences` [..., 2 K].
            code: [..., code].
        """
        shared = torch.cat([self.shared(self.shared_of(values, motion, code)), pooled], dim=-1)
        shared = shared[..., None, :].expand(*features.shape[:-1], shared.shape[-1])
        return torch.cat([self.features(features), shared], dim=-1)

    def forward(self, inputs: Tensor) -> Reading:
        """Read pairs from `inputs`."""
        read = self.layers(inputs) + self.direct(inputs)
        mean, difference = _orders(read)
        k = self.kinds
        return Reading(
            mean[..., :k], difference[..., k : 2 * k], mean[..., 2 * k : 3 * k],
            torch.tanh(mean[..., 3 * k]),
        )  # fmt: skip


class SizedHead(Head):
    """A head whose amounts are size * scale * presence, and the size itself."""

    @property
    def scales(self) -> Tensor:
        """What sizes times presences are multiplied with: [A - 1]."""
        raise NotImplementedError

    def read(self, z: Tensor) -> Reading:
        """Read pairs of z [..., D]."""
        raise NotImplementedError

    def size(self, z: Tensor, reading: Reading) -> Tensor:
        """Return the size [...] of pairs."""
        raise NotImplementedError

    def present(self, z: Tensor, reading: Reading) -> Tensor:
        """Return the presences [..., A - 1] of a reading."""
        raise NotImplementedError

    def amounts(self, z: Tensor) -> Tensor:
        """See `Head`; the size is last."""
        reading = self.read(z)
        return self.amounts_of(self.size(z, reading), self.present(z, reading))

    def amounts_of(self, size: Tensor, present: Tensor) -> Tensor:
        """Return the amounts [..., A] of sizes [...] and presences [..., A - 1]."""
        size = size[..., None]
        return torch.cat([size * present * self.scales, size], dim=-1)


class PresenceHead(SizedHead):
    """The head of size and presence.

    Args:
        names: of the kinds, `other` last.
        code: length of the network's code.
    """

    scale: Tensor
    unasked: Tensor

    def __init__(self, names: tuple[str, ...], code: int) -> None:
        super().__init__((*names, SIZE))
        self.kinds, self.code_length = len(names), code
        self.content = names.index("content")
        unasked = torch.tensor([float(name not in CONFIRMED_IN_CELLS) for name in names])
        self.register_buffer("unasked", unasked, persistent=False)
        self.layers = PresenceLayers(len(names), code)
        self.register_buffer("scale", torch.ones(len(names)))
        self.importances[-1] = 0

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths of the parts of z."""
        kinds = self.kinds
        return 1, TERMS, 2 * FEATURES, MOTION, 2 * kinds, kinds - 1, kinds, self.code_length

    @property
    def scales(self) -> Tensor:
        """See `SizedHead`."""
        return self.scale

    def total(self, z: Tensor) -> Tensor:
        """See `Head`."""
        return z[..., 0]

    def inputs(self, z: Tensor) -> Tensor:
        """Return the inputs [..., 2, length] of the layers."""
        _, terms, features, motion, pooled, _, _, code = z.split(self.lengths, dim=-1)
        both = features.unflatten(-1, (2, FEATURES))
        return self.layers.inputs(terms, both, motion, pooled, code)

    def read(self, z: Tensor) -> Reading:
        """See `SizedHead`."""
        reading: Reading = self.layers(self.inputs(z))
        return reading

    def size(self, z: Tensor, reading: Reading) -> Tensor:
        """See `SizedHead`."""
        return general_distance(z[..., 1 : 1 + TERMS], reading.correction)

    def present(self, z: Tensor, reading: Reading) -> Tensor:
        """See `SizedHead`: A = K + 1."""
        present = presences(self.probabilities(z, reading))
        return torch.maximum(present, self.present_in_places(z, present))

    def probabilities(self, z: Tensor, reading: Reading) -> Tensor:
        """Return how probable each kind is in the whole image [..., K], as far as cells agree."""
        clearest = z.split(self.lengths, dim=-1)[-2]
        confirmed = torch.maximum(clearest / SEEN, self.unasked).clamp(max=1.0)
        return torch.sigmoid(reading.evidence) * confirmed

    def present_in_places(self, z: Tensor, present: Tensor) -> Tensor:
        """Return the presences [..., K] of kinds that some cells show alone.

        Args:
            z: [..., D].
            present: presences of kinds in the whole image [..., K].
        """
        alone = z.split(self.lengths, dim=-1)[-3]
        alone = alone * (1 - CONTENT_EXPLAINS * present[..., self.content : self.content + 1])
        share = ((alone - FEW) / (ENOUGH - FEW)).clamp(0.0, 1.0)
        return torch.cat([share, torch.zeros_like(share[..., :1])], dim=-1)

    def widened(self, values: Tensor) -> Tensor:
        """Return values [..., K] of the kinds as columns [..., A - 1] of the amounts."""
        return values


def presences(probability: Tensor, behind: float = BEHIND) -> Tensor:
    """Turn probabilities [..., K] into presences [..., K] in [0, 1], of which the largest is 1.

    What is improbable has exactly 0, however much a context makes of it; `behind` is explained at
    `BEHIND`.
    """
    last = probability[..., -1:].clamp(min=LEAST)
    probability = torch.cat([probability[..., :-1], last], dim=-1)
    share = probability / probability.amax(dim=-1, keepdim=True)
    probable = (probability - NOTHING) / (FULLY - NOTHING)
    foremost = (share - behind) / (1 - behind)
    return torch.maximum(probable, foremost).clamp(0.0, 1.0)


def presences_in_cells(evidence: Tensor, distances: Tensor) -> Tensor:
    """Return what z holds of the presences in cells: [N, 4 K - 1].

    Args:
        evidence: [N, cells, K].
        distances: of the cells [N, cells].
    """
    parts = pooled_presences, shares_alone, clearest_presences
    return torch.cat([part(evidence, distances) for part in parts], dim=1)


def pooled_presences(evidence: Tensor, distances: Tensor) -> Tensor:
    """Pool the presences in cells over the image: [N, 2 K].

    Their mean weighted by the distance, and the same for cubes, which follow a small part more.

    Args:
        evidence: [N, cells, K].
        distances: of the cells [N, cells].
    """
    weight = distances[..., None] + 1e-6
    weighted = torch.sigmoid(evidence) * weight
    mean = weighted.sum(dim=1) / weight.sum(dim=1)
    # In thousandths: what is added to keep the slope bounded must not be so small that the
    # exporter drops it.
    cubes = ((1e3 * weighted).pow(3).mean(dim=1) + 1).pow(1 / 3)
    cubes = cubes / (1e3 * weight).pow(3).mean(dim=1).pow(1 / 3)
    return torch.cat([mean, cubes], dim=-1)


def shares_alone(evidence: Tensor, distances: Tensor) -> Tensor:
    """Return how much of the distance lies in cells that show one kind and no other.

    Args:
        evidence: [N, cells, K].
        distances: of the cells [N, cells].

    Returns:
        Shares of each kind but the last, which is `other`: [N, K - 1]. 0 in an image of one cell,
        which has no two places.
    """
    # The product of the kind's probability, and of those that the others are not there.
    alone = torch.exp(evidence - F.softplus(evidence).sum(dim=-1, keepdim=True))[..., :-1]
    counted = ((alone - UNCLEAR) / (CLEAR - UNCLEAR)).clamp(0.0, 1.0)
    weight = distances[..., None] + 1e-6
    return _several(distances) * (counted * weight).sum(dim=1) / weight.sum(dim=1)


def clearest_presences(evidence: Tensor, distances: Tensor) -> Tensor:
    """Return the largest probability of each kind in any cell that differs: [N, K].

    Args:
        evidence: [N, cells, K].
        distances: of the cells [N, cells].

    Returns:
        In [0, 1]; 1 in an image of one cell, which cannot contradict the whole.
    """
    differs = (distances / (FAINT * distances.amax(dim=1, keepdim=True) + 1e-6)).clamp(max=1.0)
    clearest = (torch.sigmoid(evidence) * differs[..., None]).amax(dim=1)
    return torch.maximum(clearest, 1 - _several(distances))


def pooled_directions(evidence: Tensor, directions: Tensor, distances: Tensor) -> Tensor:
    """Average the directions in cells where each kind is, weighted by the distance: [N, K].

    Args:
        evidence: [N, cells, K].
        directions: [N, cells, K].
        distances: of the cells [N, cells].

    Returns:
        In [-1, 1].
    """
    weight = torch.sigmoid(evidence) * (distances[..., None] + 1e-6)
    pooled = (torch.tanh(directions / 2) * weight).sum(dim=1) / (weight.sum(dim=1) + 1e-6)
    # onnxruntime's hyperbolic tangent may exceed 1 in the last bit.
    return pooled.clamp(-1.0, 1.0)


def _several(distances: Tensor) -> Tensor:
    """Return 1 for images of several cells, 0 for those of one: [N, 1]."""
    return (torch.ones_like(distances).sum(dim=1, keepdim=True) - 1).clamp(max=1.0)


def _layers(*lengths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide, narrow in itertools.pairwise(lengths):
        layers += [nn.Linear(wide, narrow), nn.GELU()]
    return nn.Sequential(*layers[:-1])


def _orders(read: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over both orders of the images, and the difference, of [..., 2, C]."""
    return (read[..., 0, :] + read[..., 1, :]) / 2, read[..., 0, :] - read[..., 1, :]
