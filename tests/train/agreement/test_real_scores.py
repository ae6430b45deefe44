"""Real scores, where they are at hand: figures that were measured with other code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dps_infer.contexts.ranking import SIZE
from dps_train.agreement.agreement import agreement, resampled_references
from dps_train.agreement.distances import Measure, measure_pairs
from dps_train.agreement.peers import peer_measures
from dps_train.agreement.scores.read import read_scores
from dps_train.evaluate.pair_target import load_pair_target
from dps_train.evaluate.target import EMBEDDED

SETS = Path(__file__).parents[4] / "shared" / "human"

pytestmark = [
    pytest.mark.skipif(not SETS.is_dir(), reason="there are no real scores beside the project"),
    # piq 0.8 makes tensors in a way that torch 2.15 warns about.
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning"),
]

PEERS = {
    "tid2013": {"psnr": (0.735, 0.749), "ssim": (0.824, 0.829), "mdsi": (0.917, 0.919)},
    "pansharpening": {"psnr": (0.313, 0.910), "ssim": (0.534, 0.934), "mdsi": (0.442, 0.925)},
}
"""Spearman correlation over all pairs, and its mean within references."""


@pytest.mark.parametrize("name", PEERS)
def test_peers_agree_with_people_as_elsewhere(name):
    pairs = read_scores(SETS / name, higher_is_better=name != "pansharpening")
    counts = resampled_references(int(pairs.groups.max()) + 1, seed=0)
    found = measure_pairs(pairs, peer_measures(",".join(PEERS[name]), trunk=None))
    for peer, (overall, within) in PEERS[name].items():
        figures = agreement(pairs, found[peer], counts)
        assert figures.overall.spearman.value == pytest.approx(overall, abs=0.005)
        assert figures.within.spearman.value == pytest.approx(within, abs=0.005)


def test_the_embedded_metric_agrees_with_people_as_elsewhere(real_weights):
    pairs = read_scores(SETS / "tid2013")
    target = load_pair_target(EMBEDDED, threads=1)
    general = [{SIZE: 1.0}]

    def distances(reference, candidates):
        return np.stack([target.measure(reference, candidates, general)[0].distances])

    found = measure_pairs(pairs, [Measure(("embedded",), distances)])["embedded"]
    figures = agreement(pairs, found, resampled_references(2, seed=0))
    # Well below the figures of the docs: above SSIM here.
    assert figures.overall.spearman.value >= 0.83
    assert figures.within.spearman.value >= 0.83
