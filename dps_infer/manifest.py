"""The manifest: the typed contract between training, export and every reader of a context file.

It travels as JSON, in a context file under ``metadata_props["dps.manifest"]``.
Numbers keep full precision, keys keep the order below, and equal manifests encode
to equal bytes.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from dps_infer.errors import ContextError
from dps_infer.ranking import OTHER

FORMAT_VERSION = 1
"""The newest manifest format that this version reads and writes."""

METADATA_KEY = "dps.manifest"
"""Where a context file keeps its manifest."""


class DistortionInfo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One kind of change that the metric names."""

    name: str
    parameter: str
    """What is drawn, with its unit, for people."""
    range: tuple[float, float]
    """The range of the drawn parameter, that of the paper."""
    strength: str
    """How strength follows from the parameter, with its unit, for people."""
    threshold: float
    """A strength that is barely visible."""
    reference: float
    """The strength at which the amount is 1: the amount of a strength is
    log(1 + strength / threshold) / log(1 + reference / threshold)."""


class WeightsInfo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where the backbone's weights came from."""

    source: str
    sha256: str
    licence: str


class DataInfo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Images that something was trained or measured on."""

    source: str
    images: int
    sha256: str
    """Hash over the decoded pixels, in order."""


class Scores(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """2AFC on held-out images, in [0, 1]: how often the closer of two distorted images is right."""

    baseline: float
    """The unadapted metric: the uniform head on the same features."""
    adapted: float
    ceiling: float
    """What the true amounts of the draws would score."""


class Calibration(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Quantiles of the distance over held-out images, per distortion in its range."""

    levels: list[float]
    """Quantile levels, rising from 0 to 1."""
    distances: dict[str, list[float]]
    """Per distortion, the distance at each level."""
    images: int


class Parity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How far onnxruntime's distances were from PyTorch's when the file was made."""

    max_abs_error: float
    """Largest absolute difference of an amount, or of a distance, which is divided by the sum of
    the importances where that is above 1."""
    pairs: int


class MetricInfo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a trained metric is, whether in a run folder or in a context file."""

    name: str
    variant: str
    ranking: list[list[str]] | None
    """Tied groups from the least to the most disruptive; None where importances were given."""
    importances: dict[str, float]
    """Per distortion and ``other``: distance = sum of importance * amount."""
    distortions: list[DistortionInfo]
    backbone: str
    layers: list[str]
    comparison: str
    channel_norm: bool
    normalize_mean: tuple[float, float, float]
    normalize_std: tuple[float, float, float]
    working_size: int | None
    """Side in pixels that both images are resized to; None keeps their own size."""
    weights: WeightsInfo
    training_data: DataInfo
    held_out_data: DataInfo
    seed: int
    scores: Scores | None
    """None where the context orders no two distortions."""
    tools: dict[str, str]
    """Versions of what trained and exported."""


class Manifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Everything a context file says about itself."""

    format: int
    metric: MetricInfo
    calibration: Calibration
    parity: Parity
    precision: str
    map: str
    """How the mean of the ``map`` output relates to ``distance``."""

    @property
    def parts(self) -> list[str]:
        """Names of the columns of the ``amounts`` output."""
        return list(self.metric.importances)


def encode_manifest(manifest: Manifest) -> str:
    """Return the manifest as JSON text, equal for equal manifests."""
    return msgspec.json.encode(manifest).decode()


def decode_manifest(text: str | bytes) -> Manifest:
    """Read and validate a manifest.

    Raises:
        ContextError: no JSON, a newer format version, a missing or surplus field,
            a wrong type, or parts that contradict each other.
    """
    try:
        raw: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ContextError(f"its manifest is no JSON ({error}): export the context again") from None
    version = raw.get("format") if isinstance(raw, dict) else None
    if type(version) is not int or version < 1:
        raise ContextError("its manifest states no format version: export the context again")
    # The version comes first: a newer format may well have fields that are unknown here.
    if version > FORMAT_VERSION:
        raise ContextError(
            f"it has manifest format {version}, this version reads up to {FORMAT_VERSION}: "
            "upgrade dps-toolkit"
        )
    try:
        manifest = msgspec.convert(raw, Manifest)
    except msgspec.ValidationError as error:
        raise ContextError(
            f"its manifest is not valid ({error}): export the context again"
        ) from None
    _check_consistent(manifest)
    return manifest


def _check_consistent(manifest: Manifest) -> None:
    # JSON as Python reads it may hold NaN and infinities, which no comparison would refuse.
    numbers = [*manifest.metric.importances.values(), *manifest.calibration.levels]
    numbers += [value for values in manifest.calibration.distances.values() for value in values]
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ContextError(
            "its manifest has an importance or a calibration that is no finite number >= 0: "
            "export the context again"
        )
    levels = manifest.calibration.levels
    if len(levels) < 2 or levels != sorted(set(levels)) or levels[-1] > 1:
        raise ContextError(
            "its calibration levels do not rise within 0 to 1: export the context again"
        )
    names = {distortion.name for distortion in manifest.metric.distortions}
    ranked = {name for group in manifest.metric.ranking or [] for name in group}
    strangers = (ranked - names) | (set(manifest.metric.importances) ^ (names | {OTHER}))
    if strangers:
        raise ContextError(
            f"its distortions do not fit its ranking and importances ({min(strangers)!r} stands "
            "in one of them only): export the context again"
        )
    for name, distances in manifest.calibration.distances.items():
        if name not in names or len(distances) != len(levels) or distances != sorted(distances):
            raise ContextError(
                f"its calibration of {name!r} does not fit its levels: export the context again"
            )
