"""The linear heads: what they can learn, and that no ranking disturbs another."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from train_helpers import random_backbone, seeded

from dps_infer.ranking import parse_ranking
from dps_train import lin
from dps_train.adapted import context_distances
from dps_train.bank import FeatureDistances
from dps_train.comparisons import Comparison
from dps_train.contexts import (
    AMOUNTS,
    Context,
    all_rankings,
    importance_context,
    pair_table,
    ranking_context,
)
from dps_train.data.sources import load_folder
from dps_train.distortions import NAMES
from dps_train.evaluate import two_afc
from dps_train.lin import Judges, draw_lin_bank, fit_lin, fit_one_lin, lin_loss
from dps_train.metric import Preprocess

KINDS = len(NAMES)


def contexts(*texts: str) -> list[Context]:
    return [ranking_context(parse_ranking(text, NAMES)) for text in texts]


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


def test_weights_follow_the_ranking_where_channels_tell_the_distortions_apart():
    chosen = contexts("3,1,5,0,2,4", "4,2,0,5,1,3", "0,1,2,3,4,5")
    z = telling()
    weights = fit_lin(z, chosen, generator=seeded(), epochs=20)
    assert torch.all(weights >= 0)
    assert torch.all(score(weights, telling(seed=2), chosen) > 0.95)
    assert torch.all(score(torch.ones_like(weights), telling(seed=2), chosen) < 0.7)


def test_weights_stop_at_0(monkeypatch):
    monkeypatch.setattr(lin, "LEARNING_RATE", 0.05)
    weights = fit_lin(telling(), contexts("0,1,2,3,4,5"), generator=seeded(), epochs=10)
    assert weights.min() == 0
    assert weights.max() > 0.1


def test_a_ranking_ends_the_same_in_any_company(monkeypatch):
    chosen = [all_rankings()[i] for i in (0, 17, 333, 719)]
    z = telling(40)
    monkeypatch.setattr(lin, "CONTEXTS_AT_ONCE", 3)
    together = fit_lin(z, chosen, generator=seeded(3), epochs=2)
    for row, context in zip(together, chosen, strict=True):
        alone = fit_one_lin(z, context, generator=seeded(3), epochs=2)
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
    # What is left out or tied may stand anywhere.
    partial, tied = fit_lin(z, contexts("3,1", "0=3,1"), generator=seeded(), epochs=10)
    swapped = z[:, [5, 1, 4, 3, 2, 0]]
    same = fit_one_lin(swapped, *contexts("3,1"), generator=seeded(), epochs=10)
    torch.testing.assert_close(partial, same, rtol=1e-3, atol=1e-4)
    assert partial[1] > partial[3]
    assert tied[1] > max(tied[0], tied[3])


def test_a_context_without_pairs_keeps_equal_weights():
    context = importance_context({name: 1.0 for name in AMOUNTS})
    weights = fit_one_lin(telling(20), context, generator=seeded(), epochs=1)
    assert weights.std() == 0
    assert weights[0] > 0


# --- the objective --------------------------------------------------------------------


def test_judges_are_small_networks_one_a_context():
    judges = Judges(3, seeded())
    with torch.no_grad():
        for parameter in judges.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(parameter.numel())))
    first, second = torch.rand(2, 3, 7, generator=seeded(1))
    logits = judges(first, second)
    for row, column in itertools.product(range(3), range(7)):
        a, b = first[row, column], second[row, column]
        values = torch.stack([a, b, a - b, a / (b + 0.1), b / (a + 0.1)])
        for layer, (weight, bias) in enumerate(zip(judges.weights, judges.biases, strict=True)):
            values = values @ weight[row] + bias[row, 0]
            if layer < 2:
                values = torch.where(values > 0, values, 0.2 * values)
        torch.testing.assert_close(logits[row, column], values[0], rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_authors():
    judges = Judges(2, seeded())
    first = torch.tensor([[3.0, 1.0, 4.0], [3.0, 1.0, 4.0]])
    second = torch.tensor([[1.0, 2.0, 9.0], [1.0, 2.0, 9.0]])
    # The first context's distances agree in two of three triplets, the second's in one.
    judge = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    counted = torch.ones(2, 3, dtype=torch.bool)
    answers = F.binary_cross_entropy(torch.sigmoid(judges(first, second)), judge, reduction="none")
    direct = F.binary_cross_entropy(torch.sigmoid(first - second), judge, reduction="none")
    expected = answers.mean(dim=1).sum() + 10 * direct[1].mean()
    assert lin_loss(judges, first, second, judge, counted).item() == pytest.approx(
        expected.item(), rel=1e-5
    )
    # Half right is not enough, and what is not counted does not matter.
    counted[0, 0] = False
    expected = answers[0, 1:].mean() + answers[1].mean()
    expected += 10 * (direct[0, 1:].mean() + direct[1].mean())
    assert lin_loss(judges, first, second, judge, counted).item() == pytest.approx(
        expected.item(), rel=1e-5
    )


# --- its data, and the command line ---------------------------------------------------


def test_draws_are_compared_with_their_crop(images_folder):
    cpu = torch.device("cpu")
    distances = FeatureDistances(Preprocess(32), random_backbone(), Comparison("spatial"), cpu)
    images = load_folder(images_folder).images
    z = draw_lin_bank(distances, images, size=32, generator=seeded(), crops=70, draws=2)
    assert z.shape[:2] == (140, KINDS)
    assert torch.all(z >= 0)
    assert torch.all(z.sum(dim=2).median(dim=0).values > 0)
    again = draw_lin_bank(distances, images, size=32, generator=seeded(), crops=70, draws=2)
    assert torch.equal(z, again)


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
    ("arguments", "said"),
    [(("--heads", "lin"), "--train-data"), (("--heads", "uniform,linear"), "'linear'"),
     (("--heads", ""), "--heads")],
)  # fmt: skip
def test_heads_that_cannot_be_measured(cli, run_folder, images_folder, arguments, said):
    outcome = cli("evaluate", run_folder, "--data", images_folder, *arguments)
    assert outcome.code == 2
    assert said in outcome.error_line
