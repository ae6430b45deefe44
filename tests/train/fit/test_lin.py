"""The linear heads: their learning, and the independence of rankings trained together."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor
from train_helpers import random_backbone, seeded

from dps_infer.contexts.context import Context, importance_context, ranking_context
from dps_infer.contexts.ranking import parse_ranking
from dps_train.contexts import all_rankings, pair_table
from dps_train.data.sources import load_folder
from dps_train.distortions.paper import NAMES
from dps_train.fit import lin
from dps_train.fit.lin import draw_lin_bank, fit_lin, fit_lin_to_triplets
from dps_train.fit.settings import OBJECTIVES
from dps_train.measure.statistics import two_afc
from dps_train.model.backbone.backbones import Backbone
from dps_train.model.backbone.weights import state_sha256
from dps_train.model.comparisons import Comparison
from dps_train.model.context_heads import context_distances
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.heads import ScalarHead
from dps_train.model.metric import Metric, Preprocess

KINDS = len(NAMES)


def contexts(*texts: str) -> list[Context]:
    return [ranking_context(parse_ranking(text, NAMES), NAMES) for text in texts]


def telling(rows: int = 200, seed: int = 1) -> Tensor:
    """z [N, K, D] with a channel for each distortion, and one that is the same for all."""
    z = 0.02 * torch.rand(rows, KINDS, KINDS + 1, generator=seeded(seed))
    for kind in range(KINDS):
        z[:, kind, kind] += 0.5
    z[:, :, -1] += 0.3
    return z


def score(weights: Tensor, z: Tensor, chosen: list[Context]) -> Tensor:
    """Mean 2AFC of each context [R]."""
    judged = pair_table(chosen)
    table = two_afc(context_distances(z.transpose(0, 1)[:, None], weights), judged)
    return torch.where(judged, table, 0).sum(dim=(1, 2)) / judged.sum(dim=(1, 2))


# --- training -------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_weights_follow_the_ranking_where_channels_tell_the_distortions_apart(objective):
    chosen = contexts("3,1,5,0,2,4", "4,2,0,5,1,3", "0,1,2,3,4,5")
    z = telling()
    weights = fit_lin(z, chosen, generator=seeded(), objective=objective, epochs=20)
    assert torch.all(weights >= 0)
    assert torch.all(score(weights, telling(seed=2), chosen) > 0.95)
    assert torch.all(score(torch.ones_like(weights), telling(seed=2), chosen) < 0.7)


def test_weights_stop_at_0(monkeypatch):
    monkeypatch.setattr(lin, "LEARNING_RATE", 0.05)
    chosen = contexts("0,1,2,3,4,5")
    weights = fit_lin(telling(), chosen, generator=seeded(), objective="judge", epochs=10)
    assert weights.min() == 0
    assert weights.max() > 0.1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_rankings_that_are_trained_together_do_not_influence_each_other(monkeypatch, objective):
    chosen = [all_rankings()[i] for i in (0, 17, 333, 719)]
    z = telling(40)
    monkeypatch.setattr(lin, "CONTEXTS_AT_ONCE", 3)
    together = fit_lin(z, chosen, generator=seeded(3), objective=objective, epochs=2)
    for row, context in zip(together, chosen, strict=True):
        (alone,) = fit_lin(z, [context], generator=seeded(3), objective=objective, epochs=2)
        # Other shapes round differently, and Adam divides small numbers by small ones.
        torch.testing.assert_close(row, alone, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(together[0], together[3], atol=1e-3)


def test_it_follows_its_generator():
    z, chosen = telling(20), contexts("3,1,5")
    first, again, other = (fit_lin(z, chosen, generator=seeded(s), epochs=1) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_only_judged_pairs_count():
    z = telling()
    # Distortions that are left out or tied may have any values.
    partial, tied = fit_lin(z, contexts("3,1", "0=3,1"), generator=seeded(), epochs=10)
    swapped = z[:, [5, 1, 4, 3, 2, 0]]
    (same,) = fit_lin(swapped, contexts("3,1"), generator=seeded(), epochs=10)
    torch.testing.assert_close(partial, same, rtol=1e-3, atol=1e-4)
    assert partial[1] > partial[3]
    assert tied[1] > max(tied[0], tied[3])


def test_a_context_without_pairs_keeps_equal_weights():
    context = importance_context(dict.fromkeys(NAMES, 1.0), NAMES)
    (weights,) = fit_lin(telling(20), [context], generator=seeded(), epochs=1)
    assert weights.std() == 0
    assert weights[0] > 0


# --- judged triplets ------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_scalars_are_found_again_from_judged_triplets(objective):
    generator = seeded(4)
    hidden = -torch.rand(60, generator=generator).log()
    hidden[::2] = 0
    first, second = torch.rand(2, 1000, 60, generator=generator)
    judge = (first @ hidden > second @ hidden).float()
    weights = fit_lin_to_triplets(
        first[:500], second[:500], judge[:500], generator=seeded(), objective=objective
    )
    assert torch.all(weights >= 0)

    def agreed(weights: Tensor) -> float:
        closer = first[500:] @ weights > second[500:] @ weights
        return (closer == (judge[500:] > 0.5)).float().mean().item()

    assert agreed(weights) >= 0.9
    assert agreed(torch.ones(60)) < 0.8


def test_divided_judgements_count_as_such():
    # Channel 0 is closer to nine of ten people, channel 1 to six of ten.
    first = torch.tensor([[1.0, 0.2, 0.5], [0.2, 1.0, 0.5]]).repeat(100, 1)
    second = torch.tensor([[0.2, 1.0, 0.5], [0.2, 0.2, 0.5]]).repeat(100, 1)
    weights = fit_lin_to_triplets(
        first, second, torch.tensor([0.9, 0.6]).repeat(100), generator=seeded()
    )
    assert weights[0] > weights[1] > 0


# --- its data, and the command line ---------------------------------------------------


def distances_of(backbone: Backbone) -> FeatureDistances:
    # The head is not used.
    metric = Metric(Preprocess(32), backbone, Comparison("spatial"), ScalarHead(1))
    return FeatureDistances(metric.eval(), torch.device("cpu"))


def test_draws_are_compared_with_their_crop(images_folder):
    distances = distances_of(random_backbone())
    images = load_folder(images_folder).images
    z = draw_lin_bank(distances, images, size=32, generator=seeded(), crops=70, draws=2)
    assert z.shape[:2] == (140, KINDS)
    assert torch.all(z >= 0)
    assert torch.all(z.sum(dim=2).median(dim=0).values > 0)
    again = draw_lin_bank(distances, images, size=32, generator=seeded(), crops=70, draws=2)
    assert torch.equal(z, again)


def test_the_network_is_left_as_it_was(images_folder):
    backbone = random_backbone("resnet18", ("relu", "layer1"))
    before = state_sha256(backbone)
    distances = distances_of(backbone)
    images = load_folder(images_folder).images
    z = draw_lin_bank(distances, images, size=32, generator=seeded(), crops=8, draws=1)
    fit_lin(z, contexts("3,1,5"), generator=seeded(), epochs=1)
    assert state_sha256(backbone) == before
    assert any("running_mean" in key for key in backbone.state_dict())


@pytest.mark.parametrize(
    ("ranking", "names"),
    [("noise,blur", "noise"), ("color,mirror=warp,*,blur", "mirror, warp")],
)
def test_kinds_that_it_does_not_apply_are_refused(cli, images_folder, tmp_path, ranking, names):
    out = tmp_path / "run"
    options = ("--ranking", ranking, "--variant", "lin", "--data", images_folder, "--out", out)
    outcome = cli(*options)
    assert f"{names}: this variant learns from distortions that it applies" in outcome.error_line
    assert "--variant additive" in outcome.error_line
    assert outcome.code == 2
    assert not out.exists()


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(lin.draw_lin_bank, "__kwdefaults__", {"crops": 8, "draws": 1})


def test_heads_side_by_side(cli, run_folder, images_folder, tmp_path, monkeypatch, quick):
    monkeypatch.setenv("COLUMNS", "120")
    report = tmp_path / "heads.json"
    arguments = ("evaluate", run_folder, "--data", images_folder, "--rankings", 3)
    outcome = cli(
        *arguments, "--heads", "uniform,lin,additive", "--train-data", images_folder,
        "--json", report,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    for word in ("uniform", "lin", "additive", "score", "monotonicity", "retention", "named"):
        assert word in outcome.out
    measures = json.loads(report.read_text())
    heads = measures.pop("heads")
    assert list(heads) == ["uniform", "lin", "additive"]
    assert measures.pop("seed") == 0
    assert heads["additive"] == measures
    assert heads["uniform"]["score"] == heads["uniform"]["baseline"] == measures["baseline"]
    assert heads["lin"]["score"] != heads["lin"]["baseline"]
    assert heads["lin"]["named"] is None
    assert set(measures["named"]) == set(NAMES)
    # All are asked about the same changes of the same images.
    assert heads["lin"]["ceiling"] == heads["uniform"]["ceiling"] == measures["ceiling"]
    alone = tmp_path / "alone.json"
    assert cli(*arguments, "--json", alone).code == 0
    same = json.loads(alone.read_text())
    assert same.pop("heads") == {"additive": measures}
    assert same == {**measures, "seed": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--heads", "lin"), "--train-data"), (("--heads", "uniform,linear"), "'linear'"),
     (("--heads", ""), "--heads")],
)  # fmt: skip
def test_heads_that_cannot_be_measured(cli, run_folder, images_folder, arguments, message):
    outcome = cli("evaluate", run_folder, "--data", images_folder, *arguments)
    assert outcome.code == 2
    assert message in outcome.error_line
