"""The quality of trained metrics, measured on images that training has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dps_infer.contexts.context import ranking_context
from dps_infer.contexts.ranking import parse_ranking
from dps_train.contexts import random_rankings
from dps_train.data.crops import resize_images
from dps_train.data.sources import load_held_out
from dps_train.distortions.paper import NAMES
from dps_train.fit.settings import Settings
from dps_train.fit.training import train
from dps_train.measure.evaluation import evaluate
from dps_train.measure.evaluation_bank import build_evaluation_bank
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.metric import Metric

SHARED = Path(__file__).parents[4] / "shared"
SQUEEZENET = SHARED / "weights" / "squeezenet1_1_imagenet_features.safetensors"
PHOTOGRAPHS = SHARED / "images" / "bsds500"

pytestmark = pytest.mark.usefixtures("real_weights")

PAPERS_EXAMPLE = ranking_context(parse_ranking("3,1,5,0,2,4", NAMES))


@pytest.fixture(autouse=True)
def _measured_quickly() -> None:
    """Train and measure in full, unlike the other tests: few small images tell nothing."""


def measures_in(metric: Metric, data: str, contexts, seed: int, every: int = 1):
    """Measure one head in several contexts on one bank: one list of measures."""
    generator = torch.Generator().manual_seed(seed)
    distances = FeatureDistances(metric, torch.device("cpu"))
    images = resize_images(load_held_out(data, generator).images[::every], 64)
    bank = build_evaluation_bank(distances, images, generator)
    return [evaluate(metric.head, bank, [context]) for context in contexts]


def test_adapting_helps_in_every_context():
    generator = torch.Generator().manual_seed(17)
    contexts = [PAPERS_EXAMPLE, *random_rankings(4, generator)]
    for measures in measures_in(load_universal(), "sample", contexts, seed=17, every=4):
        assert measures.score.mean > measures.baseline.mean
        assert measures.score.mean <= measures.ceiling.mean


LEAST_MONOTONICITY = {"rotate": 0.75}
"""Weaker than the 0.9 of all other kinds: turns of 64-pixel photographs are learned from few."""


@pytest.mark.slow
@pytest.mark.skipif(not SQUEEZENET.exists() or not PHOTOGRAPHS.exists(), reason="no shared data")
def test_a_pretrained_network_follows_its_context():
    settings = Settings(
        context=PAPERS_EXAMPLE,
        data=str(PHOTOGRAPHS / "train"),
        test_data="sample",
        start="scratch",
        backbone="squeezenet1_1",
        weights=SQUEEZENET,
    )
    trained = train(settings, "squeezenet")
    contexts = random_rankings(10, torch.Generator().manual_seed(18))
    measured = measures_in(trained.metric, str(PHOTOGRAPHS / "val"), contexts, seed=18)
    assert sum(measures.score.mean for measures in measured) / len(measured) >= 0.96
    assert all(measures.score.mean > measures.baseline.mean for measures in measured)
    for name in NAMES:
        mean = sum(measures.monotonicity[name] for measures in measured) / len(measured)
        assert mean >= LEAST_MONOTONICITY.get(name, 0.9), name
