"""What a study trains: a metric for each ranking, variant, comparison, network and repetition."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dps_infer.contexts.context import Context
from dps_train.contexts import random_rankings
from dps_train.distortions.paper import NAMES
from dps_train.fit.settings import FROM_EMBEDDED, FROM_SCRATCH, Settings
from dps_train.model.description import ADDITIVE
from dps_train.seeds import generator_for

OWN_PARTS = ("backbone", "layers", "weights", "size", "comparison", "channel_norm", "normalize")
"""Settings with which ``additive`` adapts the embedded metric, where nobody changes them."""

OWN = "own"
"""What the comparison that is each variant's own is called."""

SEEDS = 2**63
"""How many there are: the next after the last is the first."""


@dataclass(frozen=True)
class Study:
    """What a study trains.

    Attributes:
        rankings: how many of the six distortions, drawn at random.
        variants: some of `dps_train.fit.settings.VARIANTS`.
        comparisons: see `dps_train.model.comparisons`; None stands for each variant's own.
        backbones: ``embedded`` or torchvision models.
        weights: a safetensors file by backbone, for those that do not take their own.
        repetitions: how often all of it is done, each time from another seed.
        pairs: in the bank of ``additive``, by what that starts from.
        bapps: folder of human judgements to score every metric on; None scores none.
        common: settings that all metrics share. Its seed draws the rankings, and is that of
            the first repetition; the next one is that of the second, and so on.
    """

    rankings: int
    variants: tuple[str, ...]
    comparisons: tuple[str | None, ...]
    backbones: tuple[str, ...]
    weights: Mapping[str, Path]
    repetitions: int
    pairs: Mapping[str, int]
    bapps: Path | None
    common: Settings


@dataclass(frozen=True)
class Job:
    """One metric to train and measure.

    `dps_train.fit.training.train` gives the same metric for the same settings.

    Attributes:
        repetition: counted from 1.
        settings: all of them, the context too.
    """

    repetition: int
    settings: Settings

    @property
    def id(self) -> str:
        """A name for files, which does not depend on what else the study holds."""
        ranking = "".join(str(NAMES.index(name)) for (name,) in self.context.order)
        return f"{self.family}-{self.settings.variant}-{ranking}"

    @property
    def family(self) -> str:
        """Names the jobs that share a network's features, likewise."""
        comparison = self.settings.comparison or OWN
        return f"{self.repetition}-{self.settings.backbone}-{comparison}"

    @property
    def context(self) -> Context:
        """What the metric is adapted to."""
        assert self.settings.context is not None
        return self.settings.context


def plan(study: Study) -> list[Job]:
    """Return the metrics of a study; those of one family come together."""
    contexts = random_rankings(study.rankings, generator_for("rankings", study.common.seed))
    return [
        Job(repetition + 1, _settings(study, repetition, backbone, comparison, variant, context))
        for repetition in range(study.repetitions)
        for backbone in study.backbones
        for comparison in study.comparisons
        for variant in study.variants
        for context in contexts
    ]


def _settings(
    study: Study,
    repetition: int,
    backbone: str,
    comparison: str | None,
    variant: str,
    context: Context,
) -> Settings:
    settings = dataclasses.replace(
        study.common,
        context=context,
        variant=variant,
        backbone=backbone,
        weights=study.weights.get(backbone),
        comparison=comparison,
        seed=(study.common.seed + repetition) % SEEDS,
    )
    start = FROM_EMBEDDED if variant == ADDITIVE and _is_embedded(settings) else FROM_SCRATCH
    return dataclasses.replace(settings, start=start, pairs=study.pairs[start])


def _is_embedded(settings: Settings) -> bool:
    defaults = Settings()
    return all(getattr(settings, part) == getattr(defaults, part) for part in OWN_PARTS)
