"""The description of a metric for a manifest."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from dps_infer.model.manifest import DataInfo, DistortionInfo, JudgementsInfo, MetricInfo
from dps_train.data.sources import Images
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.kinds import KINDS
from dps_train.distortions.paper import DISTORTIONS
from dps_train.model.heads import Head
from dps_train.model.metric import Metric
from dps_train.model.names import ADDITIVE
from dps_train.versions import installed_versions

TOOLS = ("dps-toolkit", "torch", "torchvision", "numpy", "opencv-python-headless")


def metric_info(
    metric: Metric,
    *,
    name: str,
    variant: str = ADDITIVE,
    judgements: JudgementsInfo | None = None,
    training_data: DataInfo,
    held_out_data: DataInfo,
    seed: int,
    distortions: Sequence[Distortion] = DISTORTIONS,
) -> MetricInfo:
    """Describe a metric without a context; see `MetricInfo` for the arguments."""
    preprocess = metric.preprocess
    return MetricInfo(
        name=name,
        variant=variant,
        ranking=None,
        amounts=list(metric.head.names),
        importances=None,
        judgements=judgements,
        distortions=distortion_infos(metric.head, distortions),
        backbone=metric.backbone.name,
        layers=list(metric.backbone.layers),
        comparison=metric.comparison.name,
        channel_norm=metric.comparison.channel_norm,
        normalize_mean=preprocess.normalize_mean,
        normalize_std=preprocess.normalize_std,
        working_size=preprocess.size,
        weights=metric.backbone.weights,
        training_data=training_data,
        held_out_data=held_out_data,
        seed=seed,
        scores=None,
        tools={"python": platform.python_version(), **installed_versions(TOOLS)},
    )


def distortion_infos(
    head: Head, distortions: Sequence[Distortion] = DISTORTIONS
) -> list[DistortionInfo]:
    """Describe the kinds that a head names, or else `distortions`, for a manifest."""
    applied = {distortion.name: distortion for distortion in distortions}
    names = head.kind_names or list(applied)
    known = {kind.name: kind for kind in KINDS} if head.names_kinds else {}
    infos = []
    for name in names:
        kind, distortion = known.get(name), applied.get(name)
        infos.append(
            DistortionInfo(
                name=name,
                unit=None if kind is None else kind.unit,
                directions=None if kind is None else kind.directions,
                parameter=None if distortion is None else distortion.parameter,
                range=None if distortion is None else distortion.range,
            )
        )
    return infos


def data_info(images: Images) -> DataInfo:
    """Describe images for a manifest."""
    return DataInfo(source=images.source, images=len(images.images), sha256=images.sha256())
