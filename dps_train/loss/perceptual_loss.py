"""The metric as a loss: float images in, a distance with a gradient out."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from dps_infer.contexts.context import Context, choose_context
from dps_infer.contexts.folders import find
from dps_infer.contexts.ranking import Ranking
from dps_infer.errors import ImageError, UsageError
from dps_train.fit.run_folder import load_run
from dps_train.loss.detail_difference import detail_difference
from dps_train.model.change import general_distance
from dps_train.model.change.change_metric import ChangeMetric
from dps_train.model.change.comparison import ChangeComparison, ImageParts
from dps_train.model.change.half_planes import extent_of
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.metric import Metric
from dps_train.model.resizing import resize

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS: tuple[Reduction, ...] = ("mean", "sum", "none")

GENERAL = "general"

DETAIL = 5.0
"""Default size of a mean absolute difference of fine detail of 1 (black against white)."""

BEYOND = 0.5
"""Values may leave the stated range by this share of it: networks overshoot."""


class PerceptualLoss(nn.Module):
    """How different two images are in a context, to train image models with.

    The value is the distance of the metric at the images' own size, changed in three ways so that
    its gradient leads somewhere:

    - The presences of kinds of change, by which a context weighs the size of the difference, are
      constants of a pair: the gradient makes the difference smaller, instead of making one kind
      look like another. What a context does not care about has no gradient.
    - The factor from 0.7 to 1.4 by which the head corrects the size is left out.
    - `detail` times the mean absolute difference of fine detail, after the motion between the
      images is undone, is added to the size. The size follows luma from half of the resolution
      on, and color from a quarter; an optimizer would leave noise finer than that.

    With `exact`, the value is the distance itself, and the gradient is that of all of it.

    The motion between the images is no discrete search, but a few Gauss-Newton steps, and the
    gradient goes through them: it moves content towards the place that it has in the target.

    Gradients are finite everywhere, and 0 where both images are identical. They agree with finite
    differences (`gradcheck`) where presences do not count, as in ``general``, and with `exact`.

    Args:
        context: name of a saved context such as ``general``, in which all kinds of change count
            alike; a `Context`; or the folder of a run of ``dps-train``: a `Path`, or text with a
            ``/``. None takes ``general``, or what `ranking` or `importances` say. Runs of the
            paper's variants, which know no kinds of change, are always exact.
        ranking: kinds of change from the least to the most disruptive: ``"translate,*,blur"``.
        importances: how much each kind of change counts: ``{"blur": 1, "noise": 0.5}`` or
            ``"blur=1,noise=0.5"``; 0 for kinds that are left out, ``size`` for all alike.
        value_range: values of black and white in both images.
        reduction: ``mean`` or ``sum`` over the batch, or ``none``: [N].
        detail: see above. 5 adds a tenth to a third to a visible blur.
        exact: see above.

    Raises:
        UsageError: more than one context, no saved context of this name, an unknown reduction or
            kind of change, an empty range, a negative `detail`, or another context for a run that
            keeps its own.
        ContextError: the saved context is damaged.
        RunError: the run is missing or damaged.

    Example:
        >>> loss = PerceptualLoss(ranking="translate,*,blur")
        >>> images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        >>> loss(images, images).item()
        0.0
    """

    def __init__(
        self,
        context: str | Context | Path | None = None,
        *,
        ranking: str | Ranking | None = None,
        importances: str | Mapping[str, float] | None = None,
        value_range: tuple[float, float] = (0.0, 1.0),
        reduction: Reduction = "mean",
        detail: float = DETAIL,
        exact: bool = False,
    ) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise UsageError(f"reduction {reduction!r}: expected {', '.join(REDUCTIONS)}")
        low, high = value_range
        if not low < high:
            raise UsageError(f"value_range {value_range}: expected black below white, as (0, 1)")
        self.reduction: Reduction = reduction
        self.value_range = (float(low), float(high))
        self.metric = _metric(context, ranking, importances)
        if not 0 <= detail < math.inf:
            raise UsageError(f"detail {detail}: expected a number >= 0")
        self.detail = float(detail)
        self.exact = exact or not isinstance(self.metric, ChangeMetric)
        # Reading presences takes time: they are only read where they count.
        self._presences_count = bool(self.metric.head.importances[:-1].any())
        self._checked = False

    def train(self, mode: bool = True) -> PerceptualLoss:
        """Stay in evaluation mode: a loss does not learn."""
        return super().train(False)

    def extra_repr(self) -> str:
        """Show the settings."""
        detail = "exact" if self.exact else f"detail={self.detail:g}"
        return f"value_range={self.value_range}, reduction={self.reduction}, {detail}"

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss >= 0, 0 for identical images.

        It is symmetric, and computed in the type of this module (float32, or float64 after
        ``.double()``), also inside of ``torch.autocast``.

        Args:
            prediction: float RGB [N, 3, H, W] in `value_range`, of any height and width.
            target: the same of the images to come near.

        Returns:
            A number, or [N] for the reduction ``none``.

        Raises:
            ImageError: shapes differ, images are not float RGB [N, 3, H, W], or (of the first
                targets, as it takes time) values are far beyond `value_range`.
        """
        self._check(prediction, target)
        with torch.autocast(target.device.type, enabled=False):
            distances = self._distances(self._scaled(prediction), self._scaled(target))
        if self.reduction == "none":
            return distances
        return distances.mean() if self.reduction == "mean" else distances.sum()

    def _distances(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the distances [N] of images in [0, 1]."""
        metric = self.metric
        if not isinstance(metric, ChangeMetric):
            side = metric.preprocess.size
            one, two = metric.maps_of_both(resize(first, side), resize(second, side))
            return metric.head(metric.comparison(one, two))
        if self.exact:
            one, two = metric.maps_of_both(first, second)
            return metric.head(metric.comparison(one, two))
        size = self._size(metric.comparison.change, first, second)
        if self._presences_count:
            return size * self._weights(metric, first, second)
        return size * metric.head.importances[-1]

    def _size(self, change: ChangeComparison, first: Tensor, second: Tensor) -> Tensor:
        """Return the sizes [N] of the differences, with that of fine detail."""
        both = 255 * torch.cat([first, second]).permute(0, 2, 3, 1)
        extent = extent_of(both)
        halves = zip(*(part.chunk(2) for part in change.parts(both, extent).tensors()), strict=True)
        one, two = map(ImageParts.from_tensors, halves)
        statistics, motion = change.aligned(one, two, extent)
        terms = general_distance.terms(statistics, motion, extent)
        size = general_distance.general_distance(terms, torch.zeros_like(terms[:, 0]))
        return size + self.detail * detail_difference(first, second, motion)

    @staticmethod
    @torch.no_grad()
    def _weights(metric: ChangeMetric, first: Tensor, second: Tensor) -> Tensor:
        """Return how much the context makes of each size [N], by the presences."""
        one, two = metric.maps_of_both(first, second)
        z = metric.comparison(one, two)
        present = metric.head.present(z, metric.head.read(z))
        amounts = metric.head.amounts_of(torch.ones_like(z[:, 0]), present)
        return amounts @ metric.head.importances

    def _scaled(self, images: Tensor) -> Tensor:
        low, high = self.value_range
        images = images.to(self.metric.head.importances.dtype)
        return images if (low, high) == (0, 1) else (images - low) / (high - low)

    def _check(self, prediction: Tensor, target: Tensor) -> None:
        for name, images in (("prediction", prediction), ("target", target)):
            if images.dim() != 4 or images.shape[1] != 3 or not images.is_floating_point():
                raise ImageError(
                    f"{name}: expected float RGB [N, 3, H, W], got "
                    f"{str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
                )
        if prediction.shape != target.shape:
            raise ImageError(
                "expected images of one shape, got a prediction "
                f"{list(prediction.shape)} and a target {list(target.shape)}"
            )
        # Once, as it waits for the device, and a compiled graph would break here.
        if not self._checked and not torch.compiler.is_compiling():
            self._check_range(target)
            self._checked = True

    def _check_range(self, target: Tensor) -> None:
        low, high = self.value_range
        least, most = (float(value) for value in torch.aminmax(target.detach()))
        room = BEYOND * (high - low)
        if not (low - room <= least and most <= high + room):
            raise ImageError(
                f"expected images in [{low:g}, {high:g}], got a target in [{least:g}, {most:g}]: "
                "state its range, for example value_range=(0, 255)"
            )


def _metric(
    context: str | Context | Path | None,
    ranking: str | Ranking | None,
    importances: str | Mapping[str, float] | None,
) -> Metric:
    """Return the frozen metric in the context."""
    run = _run_folder(context)
    metric = load_universal() if run is None else load_run(run)[0]
    asked = ranking is not None or importances is not None
    if run is None or asked:
        if not metric.head.names_kinds:
            raise UsageError(f"{run} keeps the context that it was trained in: give no other one")
        if run is None and context is None and not asked:
            context = GENERAL
        saved = context if isinstance(context, Context) else None
        if run is None and isinstance(context, str):
            saved = find(context).context
        chosen = choose_context(
            metric.head.kind_names, ranking=ranking, importances=importances, context=saved
        )
        metric.head.set_importances(chosen.importances)
    return metric.requires_grad_(False)


def _run_folder(context: str | Context | Path | None) -> Path | None:
    if isinstance(context, Path):
        return context
    if isinstance(context, str) and (os.sep in context or "/" in context):
        return Path(context)
    return None
