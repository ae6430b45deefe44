"""Distances of several heads on the same pairs, each image decoded once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scores_helpers import write_scores
from train_helpers import photos, scalar_metric

from dps_infer.errors import DpsError
from dps_train.agreement import distances as module
from dps_train.agreement.distances import Measure, measure_pairs
from dps_train.agreement.feature_heads import feature_measure
from dps_train.agreement.scores.read import read_all, read_scores
from dps_train.data.sources import read_pixels
from dps_train.evaluate.heads import UNIFORM, lin_comparison
from dps_train.model.heads import uniform_distance

CPU = torch.device("cpu")


def test_pairs_keep_their_order_and_every_reference_is_read_once_a_batch(tmp_path, monkeypatch):
    pairs = read_scores(write_scores(tmp_path, references=2, levels=10))
    read = []
    monkeypatch.setattr(module, "read_pixels", lambda path: read.append(path) or read_pixels(path))

    def mean_error(reference, candidates):
        errors = [np.abs(reference.astype(float) - one).mean() for one in candidates]
        return np.array([errors, np.square(errors)])

    found = measure_pairs(pairs, [Measure(("error", "square"), mean_error)])
    expected = [
        np.abs(read_pixels(first).astype(float) - read_pixels(second)).mean()
        for first, second in zip(pairs.references, pairs.candidates, strict=True)
    ]
    np.testing.assert_allclose(found["error"], expected)
    np.testing.assert_allclose(found["square"], np.square(expected))
    # 20 candidates a reference, of which 16 are held at a time.
    assert len(read) == 40 + 2 * 2


def test_a_distance_that_is_no_number_is_refused_with_its_candidate(tmp_path):
    pairs = read_scores(write_scores(tmp_path, references=2, levels=1))

    def broken(reference, candidates):
        return np.full((1, len(candidates)), np.inf)

    with pytest.raises(DpsError, match=r"bad gives inf for .*dark0-1\.png: expected a finite"):
        measure_pairs(pairs, [Measure(("bad",), broken)])


def test_two_sets_of_one_name_are_told_apart(tmp_path):
    for part in ("a", "b"):
        write_scores(tmp_path / part / "set", references=2, levels=1)
    paths = [tmp_path / "a" / "set", tmp_path / "b" / "set"]
    assert [pairs.source for pairs in read_all(paths)] == ["set", "set#2"]


# --- heads on features --------------------------------------------------------------------


@pytest.fixture(scope="module")
def images() -> tuple[np.ndarray, list[np.ndarray]]:
    reference, *candidates = photos(4, 96, 72, seed=5).numpy()
    return reference, candidates


def test_uniform_is_the_sum_of_what_lin_weighs(images):
    metric = scalar_metric(64)
    features = metric.features(*(torch.from_numpy(images[0][None]),) * 2)
    channels = lin_comparison()(*features).shape[1]
    measure = feature_measure(
        metric, {"ones": torch.ones(channels), "twice": 2 * torch.ones(channels)}, device=CPU
    )
    assert measure.names == (UNIFORM, "ones", "twice")
    uniform, ones, twice = measure.distances(*images)
    assert uniform.shape == (3,)
    assert (uniform > 0).all()
    np.testing.assert_allclose(ones, uniform, rtol=1e-5)
    np.testing.assert_allclose(twice, 2 * uniform, rtol=1e-5)


@pytest.mark.parametrize("size", [64, None])
def test_features_are_those_at_the_working_size(images, size):
    reference, candidates = images
    metric = scalar_metric(size)
    (found,) = feature_measure(metric, {}, device=CPU).distances(reference, candidates)
    first = torch.from_numpy(np.stack([reference] * 3))
    maps = metric.features(first, torch.from_numpy(np.stack(candidates)))
    expected = uniform_distance(lin_comparison()(*maps))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)


def test_large_images_are_measured_some_at_a_time_with_the_same_result(images, monkeypatch):
    measure = feature_measure(scalar_metric(64), {}, device=CPU)
    at_once = measure.distances(*images)
    monkeypatch.setattr("dps_train.agreement.feature_heads.PIXELS_AT_ONCE", 1)
    # Batches of another size are added up in another order.
    np.testing.assert_allclose(measure.distances(*images), at_once, rtol=1e-5)
