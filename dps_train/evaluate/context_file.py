"""A context file in place of the network and head that an evaluation measures.

A file reports amounts, and distance = sum of importance * amount. So its amounts take the place of
channel distances, and a universal file runs once for all contexts. Two measures are not available:
files do not report the unadapted distance of their features, and their 8-bit pixels cannot
represent noise fainter than one of 256 levels.
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
from dps_infer.contexts.ranking import KINDS
from dps_infer.errors import ContextError, UsageError
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import Measurement
from dps_infer.model.manifest import MetricInfo
from dps_infer.runtime.device import Device
from dps_train.contexts import importance_table
from dps_train.data.crops import TRAINING_SIZE
from dps_train.distortions.paper import NAMES
from dps_train.judgements.image_distance import bounded_batches
from dps_train.model.context_heads import AdaptedHead


def check_known(what: str, info: MetricInfo, names: Sequence[str]) -> None:
    """Refuse to measure a metric with other distortions than it knows.

    Args:
        what: the metric's name for the message.
        info: the metric's description.
        names: the distortions to measure it with.

    Raises:
        UsageError: the distortions or their order differ.
    """
    known = [distortion.name for distortion in info.distortions]
    missing = [name for name in known if name not in (*names, *KINDS)]
    if not missing and [name for name in known if name in names] == list(names):
        return
    if missing:
        raise UsageError(
            f"{what} knows {', '.join(missing)}, which cannot be applied here: name their source "
            "with --distortions, in the order of its training"
        )
    raise UsageError(
        f"{what} is of the distortions {', '.join(known)}, and not of {', '.join(names)}: name the "
        "same --distortions, in the same order, as for its training"
    )


class FileMetric:
    """A context file with the interface of `dps_train.model.feature_distances.FeatureDistances`.

    Args:
        metric: the file; a universal one in any context.
    """

    def __init__(self, metric: LoadedMetric) -> None:
        self.metric = metric
        self.info = metric.manifest.metric
        self.universal = metric.manifest.universal

    @property
    def size(self) -> int:
        """Side in pixels of the images to measure the file on."""
        return self.info.working_size or TRAINING_SIZE

    def maps(self, images: Tensor) -> list[Tensor]:
        """Return pixels uint8 [N, size, size, 3]; see `Distances` of the evaluation bank."""
        pixels = (images * 255).round().to(torch.uint8)
        return [pixels.permute(0, 2, 3, 1).contiguous()]

    def z(self, reference: list[Tensor], changed: Tensor) -> Tensor:
        """Return the amounts, or the distance if there are none.

        See `dps_train.measure.evaluation_bank.Distances`.
        """
        (first,), (second,) = reference, self.maps(changed)
        rows = [
            measured.distances[:, None] if measured.amounts is None else measured.amounts
            for measured in self._measured(first.numpy(), second.numpy())
        ]
        return torch.from_numpy(np.concatenate(rows))

    def adapted(self, contexts: Sequence[Context]) -> AdaptedHead:
        """Return the head over `z` in each context; a plain file keeps its own context.

        Raises:
            ContextError: a universal file gives no amounts.
        """
        names = tuple(self.info.amounts) if self.metric.part_names else ()
        if self.universal:
            if not names:
                raise ContextError(f"{self.metric.path}: is universal, but gives no amounts")
            kinds = self.info.distortion_names
            weights = importance_table([one.for_distortions(kinds) for one in contexts], names)
        else:
            frozen = [self.metric.importances.get(name, 0.0) for name in names] or [1.0]
            weights = torch.tensor(frozen).expand(len(contexts), -1)
        return AdaptedHead(lambda z: z, weights, None, names or None)

    def distance(self, reference: Pixels, distorted: Pixels) -> NDArray[np.float32]:
        """Return the distances [N] of images at their own size (`dps_train.judgements.scoring`)."""
        return np.concatenate([one.distances for one in self._measured(reference, distorted)])

    def _measured(self, reference: Pixels, distorted: Pixels) -> list[Measurement]:
        return [
            self.metric.measure(first, second)
            for first, second in bounded_batches(reference, distorted)
        ]


def load_file_metric(path: Path, *, device: Device, names: Sequence[str] = NAMES) -> FileMetric:
    """Open a context file to measure it.

    Args:
        path: the file.
        device: where onnxruntime runs.
        names: the distortions to measure it with.

    Raises:
        ContextError: the file is not a valid context file.
        UsageError: the file has other distortions.
        DeviceError: onnxruntime or the device is missing.
    """
    manifest = read_context_file(path).manifest
    check_known(str(path), manifest.metric, names)
    # The amounts of a universal file are the same in every context, so any one will do.
    metric = LoadedMetric.load(
        path, ranking=",".join(names) if manifest.universal else None, device=device
    )
    return FileMetric(metric)
