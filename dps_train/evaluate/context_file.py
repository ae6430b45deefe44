"""A context file as the thing measured: what it says of changed images takes the place of z.

A file reports amounts, and distance = sum of importance * amount. So its amounts are what
`dps_train.model.context_heads` weighs, and a universal file is run once for all contexts. What a
file does not tell is left out: the unadapted distance of its features, and how it takes noise
fainter than one of 256 levels, since its pixels are of 8 bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_infer.compare.metric import Metric as LoadedMetric
from dps_infer.contexts.context import Context
from dps_infer.errors import ContextError, UsageError
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import Measurement
from dps_infer.model.manifest import MetricInfo
from dps_infer.model.view import View
from dps_infer.runtime.device import Device
from dps_train.contexts import importance_table
from dps_train.data.crops import TRAINING_SIZE
from dps_train.distortions.paper import NAMES
from dps_train.judgements.image_distance import bounded_batches
from dps_train.model.context_heads import AdaptedHead

TILES_ACROSS = 2
"""Working sizes along each side of the images that are looked at in tiles."""


def check_known(what: str, info: MetricInfo, names: Sequence[str]) -> None:
    """Refuse a metric of other distortions than those it is to be measured with.

    Args:
        what: the metric, for the message.
        info: what it says of itself.
        names: of the distortions to measure it with.

    Raises:
        UsageError: they are others, or in another order.
    """
    known = [distortion.name for distortion in info.distortions]
    if known == list(names):
        return
    missing = [name for name in known if name not in names]
    if missing:
        raise UsageError(
            f"{what} knows {', '.join(missing)}, which cannot be applied here: say where to find "
            "them, in the order that it was trained with, by --distortions"
        )
    raise UsageError(
        f"{what} is of the distortions {', '.join(known)}, and not of {', '.join(names)}: name the "
        "same --distortions, in the same order, as its training did"
    )


class FileMetric:
    """A context file that is shown what `dps_train.bank.bank.FeatureDistances` is shown.

    Args:
        metric: the file; a universal one may be in any context.
        view: how it looks at images; None for a file without views.
    """

    def __init__(self, metric: LoadedMetric, view: View | None) -> None:
        self.metric = metric
        self.info = metric.manifest.metric
        self.universal = metric.manifest.universal
        self.view = view

    @property
    def size(self) -> int:
        """Side in pixels of the images to measure it on."""
        size = self.info.working_size or TRAINING_SIZE
        return size if self.view in (None, View.whole) else TILES_ACROSS * size

    def maps(self, images: Tensor) -> list[Tensor]:
        """See `dps_train.measure.evaluation_bank.Distances`: pixels uint8 [N, size, size, 3]."""
        pixels = (images * 255).round().to(torch.uint8)
        return [pixels.permute(0, 2, 3, 1).contiguous()]

    def z(self, reference: list[Tensor], changed: Tensor) -> Tensor:
        """Return the amounts, or the distance where there are none.

        See `dps_train.measure.evaluation_bank.Distances`.
        """
        (first,), (second,) = reference, self.maps(changed)
        rows = [
            said.distances[:, None] if said.amounts is None else said.amounts
            for said in self._measured(first.numpy(), second.numpy())
        ]
        return torch.from_numpy(np.concatenate(rows))

    def adapted(self, contexts: Sequence[Context]) -> AdaptedHead:
        """Return what is made of `z`: a universal file's in each context, a plain one's in its own.

        Raises:
            ContextError: a universal file gives no amounts.
        """
        names = self.metric.part_names
        if self.universal:
            if not names:
                raise ContextError(f"{self.metric.path}: is universal, and gives no amounts")
            weights = importance_table(contexts, names)
        else:
            own = list(self.metric.importances.values()) if names else [1.0]
            weights = torch.tensor(own).expand(len(contexts), -1)
        return AdaptedHead(lambda z: z, weights, None, names or None)

    def distance(self, reference: Pixels, distorted: Pixels) -> NDArray[np.float32]:
        """Return the distances [N] of images at their own size (`dps_train.judgements.scoring`)."""
        return np.concatenate([said.distances for said in self._measured(reference, distorted)])

    def _measured(self, reference: Pixels, distorted: Pixels) -> list[Measurement]:
        return [
            self.metric.measure(first, second, view=self.view)
            for first, second in bounded_batches(reference, distorted)
        ]


def load_file_metric(
    path: Path, *, view: View | None, device: Device, names: Sequence[str] = NAMES
) -> FileMetric:
    """Open a context file to measure it.

    Args:
        path: the file.
        view: how it looks at images; None takes the whole of them, as training does.
        device: where onnxruntime computes.
        names: of the distortions to measure it with.

    Raises:
        ContextError: it is no context file that can be trusted, it names other distortions, or
            it has no views and is asked for one.
        DeviceError: onnxruntime, or the device, is not there.
    """
    manifest = read_context_file(path).manifest
    check_known(str(path), manifest.metric, names)
    # A universal file is opened in some context; its amounts are the same in any.
    metric = LoadedMetric.load(
        path, ranking=",".join(names) if manifest.universal else None, device=device
    )
    wanted = View.whole if view is None and manifest.views is not None else view
    return FileMetric(metric, metric.runner.choose_view(wanted))
