"""The manifest: the typed contract between training, export and every reader of a context file.

It travels as JSON, in a context file under ``metadata_props["dps.manifest"]``.
Numbers keep full precision, keys keep the order below, and equal manifests encode
to equal bytes.

A *plain* file has its context frozen in, and states its importances and their calibration. A
*universal* file is given its context at run time, and states the draws from which a calibration
is computed.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any

import msgspec

from dps_infer.contexts.context import Context
from dps_infer.contexts.ranking import OTHER, SIZE, check_ranking, without_rest
from dps_infer.errors import ContextError, RankingError

FORMAT_VERSION = 4
"""The one manifest format that this version reads and writes."""

METADATA_KEY = "dps.manifest"
"""Where a context file keeps its manifest."""

NonNegative = Annotated[float, msgspec.Meta(ge=0)]
"""JSON has no infinity and no NaN, so decoded values are finite as well."""

MAX_NAME, MAX_TEXT = 200, 10_000
"""Letters of a name, and of any text."""

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class DistortionInfo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One kind of change that the metric names."""

    name: str
    unit: str | None
    """Unit of the strength that is reported; None where none is."""
    directions: tuple[str, str] | None
    """What the second image is where the direction is positive, and where it is negative; None for
    a kind without directions."""
    parameter: str | None
    """The parameter that is drawn for calibration and scores, with its unit, for people; None for a
    kind without them."""
    range: tuple[float, float] | None
    """The range of that parameter; for the six, the paper's."""


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


class JudgementsInfo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Triplets judged by people that a metric was adapted to."""

    source: str
    triplets: int
    sha256: str


class Scores(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """2AFC on held-out images, in [0, 1]: how often the closer of two distorted images is right."""

    baseline: float
    """The unadapted metric: the uniform head on the same features."""
    adapted: float
    ceiling: float
    """What the true amounts of the draws would score."""


class Calibration(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Quantiles of the distance over held-out images, per distortion in its range."""

    levels: list[Share]
    """Quantile levels, rising from 0 to 1."""
    distances: dict[str, list[NonNegative]]
    """Per distortion, the distance at each level."""
    images: int


class Draws(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a universal metric reported for distorted held-out images.

    Per distortion, in the order of the amounts, there are `images` * `per_image` draws in
    the paper's range, image by image. Calibration and scores of any context follow from
    them (`dps_infer.model.calibration`).
    """

    images: Count
    per_image: Count
    amounts: dict[str, list[list[NonNegative]]]
    """Per distortion, the K + 1 amounts that the metric reported for each draw."""
    true_amounts: dict[str, list[NonNegative]]
    """Per distortion, the amount that each draw truly has of it."""
    uniform: dict[str, list[NonNegative]]
    """Per distortion, the unadapted metric's distance of each draw."""


class Ladder(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a metric reported for rising steps of a well-known change of typical photographs.

    A distance in any context is read beside them: "about as different as JPEG quality 35".
    """

    name: str
    """The change, for people: ``JPEG quality``."""
    steps: list[float]
    """From the faintest change to the strongest."""
    amounts: list[list[list[NonNegative]]]
    """Per step and photograph, the amounts."""


class Parity(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How far onnxruntime's distances were from PyTorch's when the file was made."""

    max_abs_error: float
    """Largest difference of an amount or a distance: as a share of the largest value where that is
    above 1, and of distances also of the sum of the importances."""
    pairs: int


class Difference(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How far two values of pairs are apart, as shares of the larger one's scale."""

    largest: NonNegative
    mean: NonNegative


class Reduced(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A file of smaller numbers beside the same file in float32, as it was measured at export."""

    pairs: Count
    """Pairs of images that both were run on."""
    distance: Difference
    """Difference of the general distance, as a share of it, or of 1 where it is below 1."""
    amounts: Difference
    """Difference of the amounts, as a share of a pair's largest, or of 1 where that is below 1."""
    two_afc: Share
    """2AFC score in all rankings of the paper's distortions."""
    two_afc_float32: Share
    order: float
    """Spearman correlation of distance with strength along ladders of well-known changes: mean."""
    order_float32: float
    speed: NonNegative
    """Times as many pairs per second on the CPU of the machine that wrote the file."""


class MetricInfo(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a trained metric is, whether in a run folder or in a context file."""

    name: str
    variant: str
    ranking: list[list[str]] | None
    """Tied groups from the least to the most disruptive; None where importances or judgements were
    given, and for a universal metric."""
    judgements: JudgementsInfo | None
    """What the context follows from, where people judged triplets."""
    amounts: list[str]
    """The columns of amounts: the distortions in order, then ``other`` and ``size``; or ``other``
    alone, where the metric tells no kinds of change apart."""
    importances: dict[str, NonNegative] | None
    """One for each of `amounts`, in this order: distance = sum of importance * amount. None for a
    universal metric, which is given them at run time."""
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
    """None where the context orders no two distortions, and for a universal metric."""
    tools: dict[str, str]
    """Versions of the tools that trained and exported it."""

    @property
    def distortion_names(self) -> tuple[str, ...]:
        """The names of the distortions, in the order of their numbers."""
        return tuple(distortion.name for distortion in self.distortions)

    @property
    def context(self) -> Context | None:
        """The context that the metric was adapted to; None for a universal metric."""
        if self.importances is None:
            return None
        return Context(
            self.importances,
            None if self.ranking is None else tuple(tuple(group) for group in self.ranking),
            judgements=None if self.judgements is None else self.judgements.triplets,
        )

    def in_context(self, context: Context, *, name: str, scores: Scores | None) -> MetricInfo:
        """Return the description of a metric with another context."""
        ranking = context.ranking
        return msgspec.structs.replace(
            self,
            name=name,
            ranking=None if ranking is None else [list(group) for group in ranking],
            importances={name: context.importances.get(name, 0.0) for name in self.amounts},
            scores=scores,
        )

    def describe_context(self) -> str:
        """Describe the metric's context in one line."""
        context = self.context
        return "universal: given at run time" if context is None else context.describe()


class Manifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Everything a context file says about itself."""

    format: int
    metric: MetricInfo
    calibration: Calibration | None
    """None for a universal file, which has `draws` instead."""
    draws: Draws | None
    """None for a plain file."""
    ladders: list[Ladder]
    """Well-known changes to read distances beside; none for a file without kinds."""
    parity: Parity
    precision: str
    cell: Count | None
    """Side in pixels of the cells of ``cells``, along which ``map`` has 8 places, from the upper
    left corner of the image; None where the map divides the image evenly."""
    map: str
    """How the mean of the ``map`` output relates to ``distance``."""
    graph_sha256: str | None = None
    """Hash of the model without its metadata (`dps_infer.model.integrity`); None in files of older
    versions."""
    outputs: list[str] | None = None
    """The outputs of the graph, in its order; None where it has all that belong to its metric."""
    reduced: Reduced | None = None
    """How it agrees with float32; None where it computes in float32."""

    @property
    def universal(self) -> bool:
        """Whether the file is given its context at run time."""
        return self.metric.importances is None


def encode_manifest(manifest: Manifest) -> str:
    """Return the manifest as JSON text, equal for equal manifests."""
    return msgspec.json.encode(manifest).decode()


def decode_manifest(text: str | bytes) -> Manifest:
    """Read and validate a manifest.

    Raises:
        ContextError: no JSON, another format version, a missing or surplus field,
            a wrong type, or parts that contradict each other.
    """
    try:
        raw: Any = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise ContextError(f"its manifest is no JSON ({error}): export the context again") from None
    version = raw.get("format") if isinstance(raw, dict) else None
    if type(version) is not int or version < 1:
        raise ContextError("its manifest states no format version: export the context again")
    # The version comes first: a newer format may well have fields that are unknown here.
    if version > FORMAT_VERSION:
        raise ContextError(
            f"it has manifest format {version}, this version reads {FORMAT_VERSION}: "
            "upgrade dps-toolkit"
        )
    if version < FORMAT_VERSION:
        raise ContextError(
            f"it has manifest format {version}, this version reads {FORMAT_VERSION}: "
            "export the context again"
        )
    try:
        manifest = msgspec.convert(raw, Manifest)
    except msgspec.ValidationError as error:
        raise ContextError(
            f"its manifest is not valid ({error}): export the context again"
        ) from None
    _check_texts(raw)
    _check_consistent(manifest)
    return manifest


def _check_texts(value: Any) -> None:
    """Refuse texts that could drive a terminal, or flood it."""
    if isinstance(value, dict):
        for key, inside in value.items():
            _check_texts(key)
            _check_texts(inside)
    elif isinstance(value, list):
        # Numbers, of which there may be very many, are no texts.
        for inside in value:
            if isinstance(inside, (str, list, dict)):
                _check_texts(inside)
    elif isinstance(value, str) and (len(value) > MAX_TEXT or not value.isprintable()):
        raise _contradiction(
            f"it has a text that is longer than {MAX_TEXT} letters, or holds control characters"
        )


def _check_consistent(manifest: Manifest) -> None:
    metric = manifest.metric
    names = list(metric.distortion_names)
    columns = [*names, OTHER, SIZE]
    if metric.amounts not in (columns, [OTHER]) or len(set(columns)) < len(columns):
        raise _contradiction("its amounts are not its distortions, other and size, each once")
    _check_names([metric.name, *metric.amounts])
    if metric.ranking is not None:
        _check_ranking(metric.ranking, names)
        _check_order(metric.ranking, names, metric.importances or {})
    if metric.importances is None:
        if metric.ranking is not None:
            raise _contradiction("it has a ranking and no importances")
    elif list(metric.importances) != metric.amounts:
        raise _contradiction(
            f"its importances ({', '.join(metric.importances)}) do not fit its amounts "
            f"({', '.join(metric.amounts)})"
        )
    universal = manifest.universal
    if (manifest.calibration is None, manifest.draws is not None) != (universal, universal):
        raise _contradiction(
            "a universal file has draws and no calibration, a plain one the other way round"
        )
    if manifest.calibration is not None:
        _check_calibration(manifest.calibration, names)
    if manifest.draws is not None:
        _check_draws(manifest.draws, metric)
    for ladder in manifest.ladders:
        _check_ladder(ladder, len(metric.amounts))
    outputs = manifest.outputs
    if outputs is not None and (not outputs or len(set(outputs)) < len(outputs)):
        raise _contradiction("its outputs are none, or one of them is listed twice")


def _check_ranking(ranking: list[list[str]], names: list[str]) -> None:
    try:
        check_ranking(tuple(tuple(group) for group in ranking), names)
    except RankingError as error:
        raise _contradiction(str(error)) from None


def _check_names(names: list[str]) -> None:
    for name in names:
        if not 0 < len(name.strip()) <= MAX_NAME:
            raise _contradiction(f"it has a name that is empty or longer than {MAX_NAME} letters")


def _check_order(ranking: list[list[str]], names: list[str], importances: dict[str, float]) -> None:
    """Refuse importances that order the distortions in another way than the ranking does."""
    complete = without_rest(tuple(tuple(group) for group in ranking), names)
    # A metric that tells no kinds of change apart has none of their importances.
    groups = [[importances[name] for name in group if name in importances] for group in complete]
    groups = [group for group in groups if group]
    tied = all(math.isclose(min(group), max(group), rel_tol=1e-6) for group in groups)
    rising = all(max(less) < min(more) for less, more in pairwise(groups))
    if not (tied and rising):
        raise _contradiction("its importances are in another order than its ranking")


def _check_calibration(calibration: Calibration, names: list[str]) -> None:
    levels = calibration.levels
    if len(levels) < 2 or levels != sorted(set(levels)):
        raise _contradiction("its calibration levels do not rise within 0 to 1")
    for name, distances in calibration.distances.items():
        if name not in names or len(distances) != len(levels) or distances != sorted(distances):
            raise _contradiction(f"its calibration of {name!r} does not fit its levels")


def _check_ladder(ladder: Ladder, columns: int) -> None:
    photographs = len(ladder.amounts[0]) if ladder.amounts else 0
    if len(ladder.amounts) != len(ladder.steps) or not photographs:
        raise _contradiction(f"its ladder {ladder.name!r} has not one row of amounts a step")
    for step in ladder.amounts:
        if len(step) != photographs or any(len(row) != columns for row in step):
            raise _contradiction(f"its ladder {ladder.name!r} has rows of different lengths")


def _check_draws(draws: Draws, metric: MetricInfo) -> None:
    drawn = [kind.name for kind in metric.distortions if kind.range is not None]
    for kind in (draws.amounts, draws.true_amounts, draws.uniform):
        if list(kind) != drawn:
            raise _contradiction(f"its draws ({', '.join(kind)}) do not fit its distortions")
    count, columns = draws.images * draws.per_image, len(metric.amounts)
    for name in drawn:
        amounts = draws.amounts[name]
        lengths = {len(amounts), len(draws.true_amounts[name]), len(draws.uniform[name])}
        if lengths != {count} or any(len(row) != columns for row in amounts):
            raise _contradiction(
                f"its draws of {name!r} are not {count}, as many as images times draws of each, "
                f"with {columns} amounts each"
            )


def _contradiction(what: str) -> ContextError:
    return ContextError(f"its manifest contradicts itself ({what}): export the context again")
