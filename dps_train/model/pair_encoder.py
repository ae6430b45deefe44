"""A learned comparison, which encodes the change between two images from the embedded maps.

Fixed comparisons average each channel over the image, so a rotation, a shift and an enlargement
look alike. The pair encoder compares the maps in three ways:

* statistics: per channel, the mean squared difference, the squared difference of the
  means, and the level;
* fusion: small convolutions over the difference and the mean of the maps, finest first;
* motion: soft matching of places of one image to places of the other, and the affine
  transformation that fits the matches best.

All are symmetric. The encoder replaces `Comparison` in a `Metric`: its z is not the channel
distances, but their sum followed by a code that a `PairHead` reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dps_train.model.comparisons import PairComparison, difference_map
from dps_train.model.embedded.embedded_backbone import WIDTHS, block

NAME = "pair-encoder"

IMAGE_SIZE = 64
"""Side in pixels of the images that the maps come from."""

GAIN = 1e3
"""Factor of squared feature differences before their logarithm: 1 / GAIN barely counts."""

SOFT = 0.2
"""Feature difference whose compressed value in the fusion is one half."""

STATISTICS, FUSION, MOTION = 128, 128, 64
"""Lengths of the three sections of the code; motion has two, a sum and a difference."""

CODE = STATISTICS + FUSION + 2 * MOTION

FUSED = (48, 48, 32)
KEY = 32
QUERY_CELLS = 8
KEY_CELLS = 16


class PairEncoder(PairComparison):
    """Turn the maps of two images into a code of the change between them.

    Batch normalization is for training; afterwards it is folded into the adjacent layers.
    """

    name = NAME
    channel_norm = False

    def __init__(self, *, batch_norm: bool = False) -> None:
        super().__init__()
        self.statistics = _Statistics(batch_norm=batch_norm)
        self.fusion = _Fusion(batch_norm=batch_norm)
        self.motion = _Motion()

    def normalized(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the input of `forward`: the maps unchanged, followed by the image's keys.

        So the keys of an image are computed once, however many others it is compared with.
        """
        return [*maps, self.motion.keys(maps)]

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Return z [N, 1 + CODE]: the sum of all mean squared differences, then the code.

        Maps are from `normalized`, of the embedded network's four maps of images of `IMAGE_SIZE`.
        """
        *maps, keys = first
        *other_maps, other_keys = second
        differences = [a - b for a, b in zip(maps, other_maps, strict=True)]
        squares = [full(layer.square().mean(dim=(2, 3))) for layer in differences]
        means = [0.5 * (a + b) for a, b in zip(maps[1:], other_maps[1:], strict=True)]
        total = torch.stack([layer.mean(dim=1) for layer in squares], dim=1).sum(dim=1)
        code = [
            self.statistics(squares, differences, means),
            self.fusion(differences[1:], means),
            self.motion(keys, other_keys),
        ]
        return torch.cat([total[:, None], *(full(part) for part in code)], dim=1)

    def difference_map(self, first: list[Tensor], second: list[Tensor], cells: int) -> Tensor:
        """See `dps_train.model.comparisons.difference_map`."""
        return difference_map(first[: len(WIDTHS)], second[: len(WIDTHS)], cells)


class _Statistics(nn.Module):
    """Per channel, the differences of all layers, and the levels of all but the first."""

    def __init__(self, *, batch_norm: bool) -> None:
        super().__init__()
        length = 2 * sum(WIDTHS) + sum(WIDTHS[1:])
        self.normalize: nn.Module = nn.BatchNorm1d(length) if batch_norm else nn.Identity()
        self.linear = nn.Linear(length, STATISTICS)

    def forward(
        self, squares: list[Tensor], differences: list[Tensor], means: list[Tensor]
    ) -> Tensor:
        shifts = [full(layer.mean(dim=(2, 3)).square()) for layer in differences]
        levels = [2 * full(layer.mean(dim=(2, 3))) for layer in means]
        logs = [torch.log1p(GAIN * value) for value in (*squares, *shifts)]
        statistics: Tensor = self.linear(self.normalize(torch.cat([*logs, *levels], dim=1)))
        return statistics


class _Fusion(nn.Module):
    """Convolutions over difference and mean of the maps, from the second stage on."""

    def __init__(self, *, batch_norm: bool) -> None:
        super().__init__()
        _, fine, middle, coarse = WIDTHS
        a, b, c = FUSED
        self.fine = block(2 * fine, a, stride=2, batch_norm=batch_norm)
        self.middle = block(a + 2 * middle, b, stride=2, batch_norm=batch_norm)
        self.coarse = block(b + 2 * coarse, c, kernel=1, batch_norm=batch_norm)
        cells = IMAGE_SIZE // 2 ** len(WIDTHS)
        self.linear = nn.Linear(c * cells**2, FUSION)

    def forward(self, differences: list[Tensor], means: list[Tensor]) -> Tensor:
        fine, middle, coarse = (self._beside(a, b) for a, b in zip(differences, means, strict=True))
        fused = self.fine(fine)
        fused = self.middle(torch.cat([fused, middle], dim=1))
        fused = self.coarse(torch.cat([fused, coarse], dim=1))
        code: Tensor = self.linear(fused.flatten(1))
        return code

    @staticmethod
    def _beside(difference: Tensor, mean: Tensor) -> Tensor:
        """Concatenate compressed difference and mean, symmetrically."""
        size = difference.abs()
        return torch.cat([size / (size + SOFT), mean], dim=1)


class _Motion(nn.Module):
    """Match places of one image softly to places of the other, and fit a transformation.

    A rotation, a shift and an enlargement together are one affine transformation, from which
    each can be read; differences at the same position only show that something moved.
    """

    positions: Tensor
    places: Tensor

    def __init__(self) -> None:
        super().__init__()
        _, fine, middle, _ = WIDTHS
        self.fine = nn.Conv2d(fine, KEY, 1, bias=False)
        self.middle = nn.Conv2d(middle, KEY, 1, bias=False)
        self.sharpness = nn.Parameter(torch.tensor(2.0))
        self.trust = nn.Linear(2, 1)
        self.field = nn.Linear(4 * QUERY_CELLS**2, MOTION)
        self.transformation = nn.Sequential(nn.Linear(13, MOTION), nn.GELU())
        self.mix = nn.Linear(MOTION, MOTION)
        self.register_buffer("positions", _grid(KEY_CELLS), persistent=False)
        self.register_buffer("places", _grid(QUERY_CELLS), persistent=False)

    def forward(self, one: Tensor, two: Tensor) -> Tensor:
        there, back = self._moved(one, two), self._moved(two, one)
        return torch.cat([there + back, (there - back).abs()], dim=1)

    def keys(self, maps: Sequence[Tensor]) -> Tensor:
        """Return the unit vectors that are matched: [N, KEY, KEY_CELLS²]."""
        context = F.interpolate(full(self.middle(maps[2])), scale_factor=2.0, mode="nearest")
        keys = (full(self.fine(maps[1])) + context).flatten(2)
        return keys / (keys.square().sum(dim=1, keepdim=True) + 1e-6).sqrt()

    def _moved(self, source: Tensor, target: Tensor) -> Tensor:
        """Encode where each place of the source lies in the target: [N, MOTION]."""
        cells = source.unflatten(2, (KEY_CELLS, KEY_CELLS))
        queries = F.avg_pool2d(cells, KEY_CELLS // QUERY_CELLS).flatten(2)
        sharpness = self.sharpness.exp()
        scores = torch.bmm((sharpness * queries).transpose(1, 2), target)
        match = F.softmax(scores, dim=-1)
        found = full(torch.matmul(match, self.positions))
        likeness = (match * scores).sum(dim=-1) / sharpness
        evidence = full(torch.stack([match.square().sum(dim=-1), likeness], dim=-1))
        trust = torch.sigmoid(full(self.trust(evidence)))
        field = torch.cat([found - self.places, evidence], dim=-1)
        moved: Tensor = self.field(field.flatten(1)) + self.mix(
            self.transformation(affine_fit(self.places, found, trust))
        )
        return full(moved)


def full(values: Tensor) -> Tensor:
    """Return values of half precision in float32, and others as they are."""
    return values if values.dtype == torch.float64 else values.float()


def affine_fit(places: Tensor, found: Tensor, trust: Tensor) -> Tensor:
    """Fit the affine transformation from places to where they were found.

    Args:
        places: [P, 2].
        found: [N, P, 2].
        trust: weights [N, P, 1] > 0.

    Returns:
        [N, 13]: the matrix minus the identity (4), the shift of the center (2) and its
        length, the determinant's logarithm, the spread of the trusted places (3), the
        misfit, and the mean trust.
    """
    weight = trust.sum(dim=1, keepdim=True)
    share = trust / weight
    from_center = places - (share * places).sum(dim=1, keepdim=True)
    to_center = found - (share * found).sum(dim=1, keepdim=True)
    spread = (share * from_center).transpose(1, 2) @ from_center
    across = (share * to_center).transpose(1, 2) @ from_center
    # The small term on the diagonal keeps the fit stable if all trusted places are on one line.
    a, b, d = spread[:, 0, 0] + 1e-2, spread[:, 0, 1], spread[:, 1, 1] + 1e-2
    determinant = a * d - b * b
    inverse = torch.stack([d, -b, -b, a], dim=1).unflatten(1, (2, 2)) / determinant[:, None, None]
    matrix = across @ inverse
    center = (share * places).sum(dim=1)
    shift = (share * found).sum(dim=1) - (matrix @ center[:, :, None])[:, :, 0]
    fitted = from_center @ matrix.transpose(1, 2)
    misfit = (share * (to_center - fitted).square()).sum(dim=(1, 2))
    area = matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]
    return torch.cat(
        [
            matrix.flatten(1) - torch.tensor([1.0, 0.0, 0.0, 1.0]).to(matrix),
            shift,
            (shift.square().sum(dim=1, keepdim=True) + 1e-6).sqrt(),
            torch.log(area.abs() + 1e-2)[:, None],
            torch.stack([a, b, d], dim=1),
            misfit[:, None],
            weight[:, 0] / places.shape[0],
        ],
        dim=1,
    )


def _grid(cells: int) -> Tensor:
    """Return the centers of a grid's cells [cells², 2] as (down, across) from -1 to 1."""
    line = (torch.arange(cells) + 0.5) * 2 / cells - 1
    return torch.stack(torch.meshgrid(line, line, indexing="ij"), dim=-1).flatten(0, 1)
