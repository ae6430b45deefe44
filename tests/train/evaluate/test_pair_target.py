"""Pairs at their own size, in several contexts, for every kind of target."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from train_helpers import photos

from dps_infer.compare.metric import Metric as LoadedFile
from dps_infer.contexts.ranking import KINDS, SIZE, parse_ranking, ranking_importances
from dps_infer.errors import RankingError, UsageError
from dps_train.evaluate.pair_contexts import Group, pair_contexts
from dps_train.evaluate.pair_target import PairTarget, load_pair_target
from dps_train.evaluate.target import EMBEDDED
from dps_train.fit.run_folder import load_run, save_run
from dps_train.fit.training import train

RANKING = "color,blur,rotate"


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """A reference and two candidates of an odd size."""
    reference, other = photos(2, 90, 70).numpy()
    return [reference, other, np.ascontiguousarray(reference[:, ::-1])]


@pytest.fixture(scope="module")
def embedded() -> PairTarget:
    return load_pair_target(EMBEDDED, threads=1)


def test_the_embedded_metric_measures_as_the_command_line_does(images, embedded):
    target = embedded
    contexts = pair_contexts(target, "general", [RANKING])
    reference, *candidates = images
    general, ranked = target.measure(reference, candidates, [c.importances for c in contexts])
    loaded = LoadedFile.universal(ranking=RANKING, threads=1)
    for row, candidate in enumerate(candidates):
        expected = loaded.compare(reference, candidate)
        # Batches of another size are added up in another order.
        assert ranked.distances[row] == pytest.approx(expected.distance, rel=1e-5)
        parts = dict(zip(target.part_names, ranked.parts[row], strict=True))
        assert parts == pytest.approx(expected.parts, rel=1e-4, abs=1e-6)
    for measures in (general, ranked):
        np.testing.assert_allclose(measures.parts.sum(axis=1), measures.distances, rtol=1e-6)
        assert measures.strengths.shape == measures.directions.shape == measures.parts.shape
        assert np.abs(measures.directions).max() <= 1
    np.testing.assert_array_equal(general.amounts, ranked.amounts)
    # In the general context the distance is the size, whatever the kinds are.
    np.testing.assert_allclose(general.distances, general.sizes, rtol=1e-6)
    assert (general.sizes > 0).all()


def test_a_plain_file_is_measured_in_its_own_context(cli, images, embedded, tmp_path):
    file = tmp_path / "plain.onnx"
    outcome = cli("--ranking", RANKING, "--output", file, module="dps_export.cli")
    assert outcome.code == 0, outcome.err
    target = load_pair_target(file, threads=1)
    (context,) = pair_contexts(target, None)
    assert context.group is Group.own
    reference, *candidates = images
    (own,) = target.measure(reference, candidates, [context.importances])
    given = ranking_importances(parse_ranking(RANKING, KINDS), KINDS)
    (expected,) = embedded.measure(reference, candidates, [given])
    np.testing.assert_allclose(own.distances, expected.distances, rtol=1e-5)
    np.testing.assert_allclose(own.parts, expected.parts, rtol=1e-4, atol=1e-6)
    for asked in ("general", "3", "print-inspection", "own,general"):
        with pytest.raises(UsageError, match="frozen into it"):
            pair_contexts(target, asked)


def test_a_run_is_measured_in_its_own_context_and_in_others(images, run_folder):
    target = load_pair_target(run_folder)
    contexts = pair_contexts(target, "own,general")
    reference, *candidates = images
    own, general = target.measure(reference, candidates, [c.importances for c in contexts])
    metric, _ = load_run(run_folder)
    with torch.no_grad():
        distance, amounts, _ = metric(
            torch.from_numpy(reference[None]), torch.from_numpy(np.stack(candidates))
        )
    np.testing.assert_allclose(own.distances, distance, rtol=1e-6)
    np.testing.assert_allclose(own.parts.sum(axis=1), own.distances, rtol=1e-5)
    np.testing.assert_allclose(general.distances, amounts[:, -1], rtol=1e-5)
    np.testing.assert_allclose(own.sizes, amounts[:, -1], rtol=1e-5)
    assert own.strengths.shape == own.directions.shape == own.amounts.shape


def test_a_head_that_tells_no_kinds_apart_has_distances_alone(images, tiny_settings, tmp_path):
    save_run(
        tmp_path / "run",
        train(dataclasses.replace(tiny_settings, variant="baseline"), "scalars"),
        settings={},
    )
    target = load_pair_target(tmp_path / "run")
    assert target.part_names == ()
    (context,) = pair_contexts(target, None)
    reference, *candidates = images
    (own,) = target.measure(reference, candidates, [context.importances])
    assert own.distances.shape == (2,)
    assert (own.distances > 0).all()
    assert own.amounts is own.parts is own.sizes is own.strengths is own.directions is None
    with pytest.raises(UsageError, match="tells no kinds of change apart"):
        pair_contexts(target, "general")


def test_the_contexts_that_words_ask_for(embedded):
    contexts = pair_contexts(embedded, "general, 3,print-inspection", [RANKING, "3,4,0"], seed=1)
    groups = [context.group.value for context in contexts]
    # The second ranking is the first one, in numbers.
    assert groups == ["general", *["rankings"] * 3, "named", "named"]
    assert contexts[0].importances == {SIZE: 1.0}
    assert [c.label for c in contexts[-2:]] == ["print-inspection", RANKING]
    assert contexts[-2].importances["color"] == 1.0
    assert pair_contexts(embedded, "3", seed=1) == contexts[1:4]
    assert pair_contexts(embedded, "3", seed=2) != contexts[1:4]
    assert len(pair_contexts(embedded, None)) == 21
    assert [c.label for c in pair_contexts(embedded, None, [RANKING])] == [RANKING]
    assert len(pair_contexts(embedded, "720")) == 720


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ("0", UsageError, "expected 1 to 1"),
        ("721", UsageError, "expected 1 to 720"),
        ("general,", UsageError, "names of saved contexts, joined by commas"),
        ("print-inspektion", UsageError, "did you mean print-inspection"),
        ("own", UsageError, "no context of its own"),
    ],
)
def test_contexts_that_cannot_be_understood(embedded, asked, error, message):
    with pytest.raises(error, match=message):
        pair_contexts(embedded, asked)
    with pytest.raises(RankingError, match="unknown distortion"):
        pair_contexts(embedded, "general", ["color,sharpen"])


def test_what_is_no_metric_is_refused(tmp_path: Path):
    with pytest.raises(Exception, match="no run folder"):
        load_pair_target(tmp_path / "none")
