"""The settings of a training, their defaults, and the combinations that are refused.

Kept free of PyTorch, so that the command line reports usage errors at once. Messages name options
of ``dps-train``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from dps_infer.contexts.context import Context
from dps_infer.errors import UsageError
from dps_train.data.names import check_source
from dps_train.model.names import ADDITIVE, COMPARISONS, EMBEDDED

if TYPE_CHECKING:
    from dps_train.custom.custom_distortion import CustomDistortion

Variant = Literal["additive", "lin", "tune", "scratch", "baseline"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)
LIN: Final = "lin"
TUNE: Final = "tune"
SCRATCH: Final = "scratch"
BASELINE: Final = "baseline"

END_TO_END = (TUNE, SCRATCH)
"""Variants that train the network as well."""

Start = Literal["embedded", "scratch"]
"""The additive variant adapts the embedded metric, or trains a new head from scratch."""

Objective = Literal["pairwise", "judge"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)

Normalization = Literal["imagenet", "lpips"]
Logger = Literal["csv", "tensorboard", "wandb"]
LOGGERS: tuple[Logger, ...] = get_args(Logger)

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
"""Precisions of Lightning Fabric."""

PRECISIONS: tuple[Precision, ...] = get_args(Precision)

PAIRS: dict[Start, int] = {"embedded": 4_000, "scratch": 30_000}
"""Default number of pairs that a head is adapted to, or trained on."""

PAIRS_WITH_CUSTOM = 6_000
"""Default number of pairs with custom distortions, and of others beside them."""

SAMPLE = "sample"
"""The data that the embedded metric was made from."""

DEFAULT_COMPARISON = "spatial"
"""The paper's first choice."""

ADDITIVE_COMPARISON = "spatial+mean+layout"

EMBEDDED_PARTS = (
    "backbone",
    "layers",
    "weights",
    "size",
    "comparison",
    "channel_norm",
    "normalize",
)
"""Settings that describe the embedded metric if they keep their defaults."""


@dataclass(frozen=True)
class Settings:
    """The settings of a training; `check` refuses contradictions.

    Attributes:
        context: what counts as disruptive; None if `judgements` or `scores` are given.
        judgements: a CSV file of judged triplets or a BAPPS folder, instead of a context.
        scores: people's scores of pairs, instead of a context: a CSV file or a published set.
        higher_is_better: in a CSV file of scores, whether a higher one means more alike.
        custom: custom distortions, besides the six.
        variant: selects the parts to train.
        data: ``sample``, ``stl10``, ``svhn`` or a folder of images.
        test_data: source of the held-out images; None holds out a share of `data`.
        start: starting point of ``additive``; None takes the embedded metric, or a new head if
            `EMBEDDED_PARTS` differ from their defaults.
        backbone: ``embedded`` or a torchvision model.
        layers: a preset or node names joined by commas; None takes the preset ``paper``.
        weights: a safetensors file for the backbone; None takes its published weights.
        comparison: see `dps_train.model.comparisons`; None takes the variant's default.
        channel_norm: unit-normalize features over channels before they are compared.
        normalize: mean and std of the images; a name in `NORMALIZATIONS`.
        size: working size in pixels; None keeps the images' own.
        objective: for all variants but ``additive``; see `dps_train.fit.objectives`.
        pairs: minimum size of the bank of ``additive``; None takes the default, see `bank_pairs`.
        epochs: passes over the bank; None takes the variant's default.
        steps: for ``tune`` and ``scratch``.
        seed: seed of everything random.
        device: ``auto``, ``cpu`` or ``cuda``.
        devices: number of GPUs for ``tune`` and ``scratch``.
        precision: for ``tune`` and ``scratch``.
        bank: folder that stores the distance bank of ``additive`` between trainings; None
            stores none.
        renew_bank: replace a stored bank that does not match.
        checkpoint: folder for checkpoints of ``tune`` and ``scratch``; None writes none.
        resume: continue from `checkpoint`.
        logger: see `dps_train.fit.end_to_end.loggers`; None logs nothing.
        logs: folder of the logs.
    """

    context: Context | None = None
    judgements: Path | None = None
    scores: Path | None = None
    higher_is_better: bool = True
    custom: tuple[CustomDistortion, ...] = ()
    variant: Variant = ADDITIVE
    data: str = SAMPLE
    test_data: str | None = None
    start: Start | None = None
    backbone: str = EMBEDDED
    layers: str | None = None
    weights: Path | None = None
    comparison: str | None = None
    channel_norm: bool = True
    normalize: Normalization = "imagenet"
    size: int | None = 64
    objective: Objective = "pairwise"
    pairs: int | None = None
    epochs: int | None = None
    steps: int = 600
    seed: int = 0
    device: str = "auto"
    devices: int = 1
    precision: Precision = "32-true"
    bank: Path | None = None
    renew_bank: bool = False
    checkpoint: Path | None = None
    resume: bool = False
    logger: Logger | None = None
    logs: Path | None = None

    @property
    def end_to_end(self) -> bool:
        """Whether the network is trained as well."""
        return self.variant in END_TO_END

    @property
    def from_embedded(self) -> bool:
        """Whether the embedded metric is adapted, instead of training a new head."""
        if self.variant != ADDITIVE:
            return False
        return self._has_embedded_parts if self.start is None else self.start == "embedded"

    @property
    def _has_embedded_parts(self) -> bool:
        defaults = Settings()
        return all(getattr(self, part) == getattr(defaults, part) for part in EMBEDDED_PARTS)

    @property
    def bank_pairs(self) -> int:
        """The minimum size of the distance bank."""
        if self.pairs is not None:
            return self.pairs
        if self.custom:
            return PAIRS_WITH_CUSTOM
        return PAIRS["embedded" if self.from_embedded else "scratch"]

    @property
    def metric_comparison(self) -> str:
        """How features are compared."""
        default = ADDITIVE_COMPARISON if self.variant == ADDITIVE else DEFAULT_COMPARISON
        return self.comparison or default

    @property
    def label(self) -> str:
        """A name for the run that is valid as a folder's."""
        if self.context is not None:
            name = self.context.label
        else:
            source = self.judgements or self.scores
            assert source is not None, "settings with neither context, judgements nor scores"
            name = source.resolve().stem
        return name if self.variant == ADDITIVE else f"{self.variant}-{name}"

    def record(self) -> dict[str, int | float | str]:
        """Return the settings that a run folder records besides its metric's description."""
        kept: dict[str, int | float | str] = {"normalize": self.normalize}
        if self.variant == ADDITIVE:
            kept["pairs"] = self.bank_pairs
        if self.variant in (ADDITIVE, LIN) and self.epochs is not None:
            kept["epochs"] = self.epochs
        if self.end_to_end:
            kept |= {"steps": self.steps, "precision": self.precision}
        if self.variant not in (ADDITIVE, BASELINE):
            kept["objective"] = self.objective
        return kept

    def check(self) -> None:
        """Refuse settings that contradict each other.

        Raises:
            UsageError: they do.
        """
        check_comparison(self.comparison)
        if self.start is not None and self.variant != ADDITIVE:
            raise UsageError(f"--from is for --variant additive, not {self.variant}")
        if self.start == "embedded" and not self._has_embedded_parts:
            raise UsageError(
                "--from embedded starts from a metric with its own network, layers, weights, "
                "comparison, normalization and size: leave those options out, or give "
                "--from scratch"
            )
        if self.scores is not None and self.variant != ADDITIVE:
            raise UsageError(f"--scores fits importances: leave --variant {self.variant} out")
        people = self.judgements or self.scores
        if people is not None and self.variant == ADDITIVE and not self.from_embedded:
            raise UsageError(
                "judgements only say how much each amount counts, and a new head has not learned "
                "any amounts: leave --from scratch out, train the head with --ranking first, or "
                "take --variant lin or tune"
            )
        for option, value in (("--resume", self.resume), ("--logger", self.logger)):
            if value and not self.end_to_end:
                raise UsageError(f"{option} is for --variant tune and scratch, not {self.variant}")
        recorded = any(one.recording for one in self.custom)
        judged = self.judgements is not None and self.variant != ADDITIVE
        if self.custom and (self.end_to_end or judged or (recorded and self.variant == LIN)):
            raise UsageError(
                f"--distortions: --variant {self.variant} cannot learn "
                f"{', '.join(one.name for one in self.custom)}: take --variant additive, or "
                "lin with a ranking for distortions that are functions"
            )
        check_source(self.data)
        if self.test_data is not None:
            check_source(self.test_data)
        if people is not None and not people.exists():
            raise UsageError(f"{people}: no such file or folder of judgements or scores")


def check_comparison(text: str | None) -> None:
    """Refuse an unknown comparison.

    Raises:
        UsageError: a part of the text names no comparison.
    """
    unknown = [part for part in (text or DEFAULT_COMPARISON).split("+") if part not in COMPARISONS]
    if unknown:
        raise UsageError(
            f"--comparison names {unknown[0]!r}: expected {', '.join(COMPARISONS)}, or several "
            "joined by +"
        )
