"""A context file as the thing measured, beside the metric in PyTorch that it holds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from train_helpers import photos, seeded

from dps_infer.compare.metric import Metric as LoadedMetric
from dps_infer.errors import ContextError, UsageError
from dps_infer.model.contract import Measurement
from dps_infer.model.embedded import UNIVERSAL
from dps_infer.runtime.device import Device
from dps_train.contexts import random_rankings
from dps_train.data.crops import resize_images
from dps_train.distortions.distortion import quantize
from dps_train.distortions.paper import DISTORTIONS, NAMES
from dps_train.evaluate.context_file import FileMetric, load_file_metric
from dps_train.evaluate.heads import measure_file, measure_heads
from dps_train.judgements import image_distance
from dps_train.model.embedded.embedded_metric import load_universal
from dps_train.model.feature_distances import FeatureDistances

CPU = torch.device("cpu")


@pytest.fixture
def images() -> torch.Tensor:
    return resize_images([image.numpy() for image in photos(3, 70, 80)], 64)


def universal() -> FileMetric:
    return load_file_metric(UNIVERSAL, device=Device.cpu)


def test_it_reads_the_amounts_that_the_metric_reads(real_weights, images):
    metric = load_universal()
    distances = FeatureDistances(metric, CPU)
    file = universal()
    generator = seeded()
    for distortion in DISTORTIONS:
        changed = quantize(distortion.apply(images, distortion.sample(len(images), generator)))
        with torch.no_grad():
            expected = metric.head.amounts(distances.z(distances.maps(images), changed))
        # onnxruntime and PyTorch add up in different orders.
        torch.testing.assert_close(
            file.z(file.maps(images), changed), expected, rtol=1e-3, atol=1e-3
        )
    assert not file.z(file.maps(images), images).any()


def test_its_measures_are_the_metrics(real_weights, images):
    contexts = random_rankings(10, seeded())
    own = measure_heads(
        load_universal(), ("own",), images, contexts, own="own", training=None, seed=3, device=CPU
    )["own"]
    file = measure_file(universal(), images, contexts, seed=3)
    assert (file.baseline, file.baseline_pairs, file.improved, file.stability) == (None,) * 4
    assert file.ceiling == own.ceiling
    # Rounding may turn a few of the 16 draws x 3 images of a pair that are nearly equal.
    within = {"abs": 2 / 48}
    assert file.pairs == pytest.approx(own.pairs, **within)
    assert file.named == pytest.approx(own.named, **within)
    assert file.score.mean == pytest.approx(own.score.mean, abs=1e-3)
    assert file.composition == pytest.approx(own.composition, abs=0.01)
    assert file.monotonicity == pytest.approx(own.monotonicity, abs=1e-2)
    assert file.retention == pytest.approx(own.retention, abs=1e-2)


def test_it_is_measured_at_the_size_of_its_training():
    assert universal().size == 64


def test_it_measures_what_it_is_shown_in_parts_of_bounded_size(images, monkeypatch):
    file = universal()
    changed = images.flip(-1)
    at_once = file.z(file.maps(images), changed)
    monkeypatch.setattr(image_distance, "PIXELS_AT_ONCE", 64 * 64)
    in_parts = file.z(file.maps(images), changed)
    torch.testing.assert_close(in_parts, at_once, rtol=1e-5, atol=1e-5)
    first, second = (x.numpy() for (x,) in (file.maps(images), file.maps(changed)))
    expected = file.metric.measure(first, second).distances
    np.testing.assert_allclose(file.distance(first, second), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (NAMES[::-1], "is of the distortions rotate, translate.* in the same order"),
        ((*NAMES, "jpeg"), "and not of .*zoom, jpeg: name the same --distortions"),
    ],
)
def test_other_distortions_than_the_files_are_refused(names, message):
    with pytest.raises(UsageError, match=message):
        load_file_metric(UNIVERSAL, device=Device.cpu, names=names)


class Scalars:
    """A loaded plain file that gives distances and no amounts."""

    path = "scalars.onnx"
    importances = {"other": 1.0}  # noqa: RUF012
    part_names = ()
    manifest = SimpleNamespace(
        universal=False, metric=SimpleNamespace(working_size=32, amounts=["other"])
    )

    def measure(self, reference, distorted):
        difference = np.abs(reference.astype(np.float32) - distorted).mean(axis=(1, 2, 3))
        return Measurement(distances=difference, amounts=None, maps=None)


def test_a_file_without_amounts_is_measured_by_its_distances(images):
    file = FileMetric(Scalars())
    assert file.size == 32
    contexts = random_rankings(2, seeded())
    measures = measure_file(file, images, contexts, seed=0)
    assert measures.named is None
    assert measures.score is not None
    adapted = file.adapted(contexts)
    z = file.z(file.maps(images), 1 - images)
    expected = (images - (1 - images)).abs().mean(dim=(1, 2, 3)) * 255
    torch.testing.assert_close(adapted.columns(z) @ adapted.weights[1], expected)


def test_a_universal_file_without_amounts_is_refused():
    loaded = LoadedMetric.universal(ranking=",".join(NAMES), device="cpu")
    file = FileMetric(loaded)
    file.metric = SimpleNamespace(path="some.onnx", part_names=())
    with pytest.raises(ContextError, match="gives no amounts"):
        file.adapted(random_rankings(1, seeded()))
