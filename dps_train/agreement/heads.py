"""The heads whose agreement is measured: a metric's own, the unadapted one, and the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_infer.contexts.ranking import format_ranking
from dps_train.agreement.adapting_cost import Judged
from dps_train.contexts import Context, random_rankings
from dps_train.data.sources import load_training
from dps_train.distortions.paper import DISTORTIONS, Distortion
from dps_train.evaluate.heads import UNIFORM, lin_comparison, lin_weights
from dps_train.evaluate.pair_contexts import Group, PairContext
from dps_train.fit.settings import LIN
from dps_train.judgements.bapps import Bapps
from dps_train.judgements.head_scores import JudgedDistances, compare_bapps
from dps_train.model.heads import uniform_distance
from dps_train.model.metric import Metric
from dps_train.seeds import generator_for


def ranking_contexts(
    count: int, kinds: Sequence[str], seed: int
) -> tuple[list[Context], list[PairContext]]:
    """Return random rankings, as training and as measuring pairs take them."""
    drawn = random_rankings(count, generator_for("rankings", seed), kinds)
    return drawn, [
        PairContext(format_ranking(one.ranking), Group.rankings, one.importances) for one in drawn
    ]
