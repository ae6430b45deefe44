"""What to train, and the variants of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dps_infer.contexts.context import Context
from dps_train.custom.custom_distortion import CustomDistortion
from dps_train.fit.objectives import PAIRWISE
from dps_train.model.description import ADDITIVE
from dps_train.model.embedded.embedded_backbone import NAME as EMBEDDED_BACKBONE

BASELINE, LIN, TUNE, SCRATCH = "baseline", "lin", "tune", "scratch"
VARIANTS = (BASELINE, LIN, TUNE, SCRATCH, ADDITIVE)
END_TO_END = (TUNE, SCRATCH)
"""Variants whose network learns as well."""

FROM_EMBEDDED, FROM_SCRATCH = "embedded", "scratch"
"""What the additive variant may start from."""

COMPARISONS = {ADDITIVE: "spatial+mean+layout"}
"""By variant; the others compare as the paper does first of all."""

COMPARISON = "spatial"


@dataclass(frozen=True)
class Settings:
    """What to train.

    Attributes:
        context: what counts as disruptive; None where `triplets` say it.
        triplets: a CSV file of judgements, instead of a context.
        own: distortions of the user's own, besides the six.
        variant: one of `VARIANTS`.
        data: ``sample``, ``stl10``, ``svhn`` or a folder of images.
        test_data: where held-out images come from instead of a share of `data`.
        start: what ``additive`` starts from: ``embedded`` adapts the embedded metric,
            ``scratch`` trains a new head on the channel distances of `backbone`.
        backbone: ``embedded`` or a torchvision model; the embedded metric has its own, as it
            has its own layers, comparison and size.
        layers: node names; None takes the preset.
        weights: a safetensors file for the backbone; None takes its own.
        comparison: see `dps_train.model.comparisons`; None takes the variant's own.
        channel_norm: whether features are unit-normalised over channels first.
        normalize: whose mean and std images are normalised by; see
            `dps_train.model.backbones.NORMALIZATIONS`.
        size: working size in pixels; None keeps the images' own.
        objective: of all variants but ``additive``; see `dps_train.fit.objectives`.
        pairs: how many the bank of ``additive`` holds, at least.
        epochs: passes over the bank; None takes the variant's own.
        steps: of ``tune`` and ``scratch``.
        seed: of everything random.
        device: ``auto``, ``cpu`` or ``cuda``.
        devices: how many GPUs ``tune`` and ``scratch`` use.
        precision: of ``tune`` and ``scratch``, as Lightning Fabric names it.
        bank: folder to keep the distance bank of ``additive`` in, or to take it from; None
            keeps none.
        renew_bank: whether a stored bank that does not match is built anew.
        checkpoint: folder for the checkpoints of ``tune`` and ``scratch``; None keeps none.
        resume: whether they go on from `checkpoint`.
        logger: what the course of ``tune`` and ``scratch`` is logged with; see
            `dps_train.fit.end_to_end.loggers`. None logs nothing.
        logs: folder that it is logged in.
    """

    context: Context | None = None
    triplets: Path | None = None
    own: tuple[CustomDistortion, ...] = ()
    variant: str = ADDITIVE
    data: str = "sample"
    test_data: str | None = None
    start: str = FROM_EMBEDDED
    backbone: str = EMBEDDED_BACKBONE
    layers: tuple[str, ...] | None = None
    weights: Path | None = None
    comparison: str | None = None
    channel_norm: bool = True
    normalize: str = "imagenet"
    size: int | None = 64
    objective: str = PAIRWISE
    pairs: int = 60_000
    epochs: int | None = None
    steps: int = 600
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: str = "32-true"
    bank: Path | None = None
    renew_bank: bool = False
    checkpoint: Path | None = None
    resume: bool = False
    logger: str | None = None
    logs: Path | None = None
