"""The plan of a study: a job for each ranking, variant, comparison, network and repetition."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dps_infer.contexts.context import Context
from dps_train.contexts import random_rankings
from dps_train.distortions.paper import NAMES
from dps_train.fit.settings import Settings, Variant
from dps_train.seeds import generator_for
from dps_train.study.extra_images import ExtraImages

DEFAULT_COMPARISON = "own"
"""Name of the comparison in files if none is given, and each variant takes its default."""

SEEDS = 2**63
"""Number of seeds; repetitions wrap around to 0."""


@dataclass(frozen=True)
class Study:
    """The metrics that a study trains.

    Attributes:
        rankings: number of random rankings of the six distortions.
        variants: see `Settings`.
        comparisons: see `dps_train.model.comparisons`; None takes each variant's default.
        backbones: ``embedded`` or torchvision models.
        weights: by backbone, a safetensors file instead of its published weights.
        repetitions: number of repetitions, each with another seed.
        bapps: folder of people's judgements to score every metric on; None scores none.
        common: settings that all metrics share. Its seed draws the rankings and is the seed of
            the first repetition; each further repetition adds 1.
        extra: images for further measurements of every metric: people's scores and ladders.
    """

    rankings: int
    variants: tuple[Variant, ...]
    comparisons: tuple[str | None, ...]
    backbones: tuple[str, ...]
    weights: Mapping[str, Path]
    repetitions: int
    bapps: Path | None
    common: Settings
    extra: ExtraImages = field(default_factory=ExtraImages)


@dataclass(frozen=True)
class Job:
    """One metric to train and measure.

    `dps_train.fit.training.train` trains the same metric with the same settings.

    Attributes:
        repetition: counted from 1.
        settings: the settings of its training, with its context.
    """

    repetition: int
    settings: Settings

    @property
    def id(self) -> str:
        """A name for files, which does not depend on the other jobs of the study."""
        ranking = "".join(str(NAMES.index(name)) for (name,) in self.context.order)
        return f"{self.features_id}-{self.settings.variant}-{ranking}"

    @property
    def features_id(self) -> str:
        """A name for the features that jobs share: those of one network and comparison."""
        comparison = self.settings.comparison or DEFAULT_COMPARISON
        return f"{self.repetition}-{self.settings.backbone}-{comparison}"

    @property
    def context(self) -> Context:
        """The context of the metric."""
        assert self.settings.context is not None
        return self.settings.context


def plan(study: Study) -> list[Job]:
    """Return the jobs of a study; jobs that share features are consecutive."""
    common = study.common
    contexts = random_rankings(study.rankings, generator_for("rankings", common.seed))
    return [
        Job(
            repetition + 1,
            dataclasses.replace(
                common,
                context=context,
                variant=variant,
                backbone=backbone,
                weights=study.weights.get(backbone),
                comparison=comparison,
                seed=(common.seed + repetition) % SEEDS,
            ),
        )
        for repetition, backbone, comparison, variant, context in itertools.product(
            range(study.repetitions), study.backbones, study.comparisons, study.variants, contexts
        )
    ]
