"""The embedded metric: loaded strictly, and of the promised worth."""

from __future__ import annotations

import re
import statistics

import pytest
import safetensors.torch
import torch
from train_helpers import photos

from dps_infer.model.manifest import DataInfo
from dps_train.contexts import AMOUNTS, random_rankings
from dps_train.data.crops import resize_images
from dps_train.data.sources import load_held_out
from dps_train.distortions.paper import NAMES
from dps_train.measure.evaluation import Measures, evaluate
from dps_train.measure.evaluation_bank import build_evaluation_bank
from dps_train.model.backbone.backbones import IMAGENET_MEAN, IMAGENET_STD
from dps_train.model.backbone.weights import WeightsError
from dps_train.model.embedded import embedded_backbone, embedded_metric
from dps_train.model.embedded.embedded_metric import Recipe, load_universal, recipe
from dps_train.model.feature_distances import FeatureDistances
from dps_train.model.pair_encoder import IMAGE_SIZE


def test_what_is_loaded(stand_ins):
    metric = load_universal()
    assert not any(module.training for module in metric.modules())
    assert metric.head.names == AMOUNTS
    # Every kind counts alike, and the size nothing beside them.
    assert metric.head.importances.tolist() == [1.0] * (len(AMOUNTS) - 1) + [0.0]
    assert metric.preprocess.size == IMAGE_SIZE
    assert metric.preprocess.normalize_mean == IMAGENET_MEAN
    assert metric.preprocess.normalize_std == IMAGENET_STD
    backbone, rest, presence = (safetensors.torch.load_file(path) for path in stand_ins)
    state = metric.state_dict()
    stored = 0
    for weights, place in (
        (backbone, {"": "backbone.network."}),
        (rest, {"comparison.": "comparison.code.encoder.", "head.": "comparison.code.head."}),
        (presence, {"cells.": "comparison.cell_head.", "head.": "head."}),
    ):
        for name, value in weights.items():
            start = next(prefix for prefix in place if name.startswith(prefix))
            there = state[place[start] + name.removeprefix(start)]
            assert torch.equal(there, value.float()), name
            stored += 1
    # Mean and deviation of the preprocessing are no weights.
    assert stored + 2 == len(state)


@torch.no_grad()
def test_it_measures_without_any_context():
    distance, amounts, _ = load_universal()(photos(3, 50, 70), photos(3, 50, 70, 1))
    assert torch.all(distance > 0)
    torch.testing.assert_close(distance, amounts[:, :-1].sum(dim=1))


def test_it_is_loaded_anew_each_time():
    first, second = load_universal(), load_universal()
    first.head.importances.zero_()
    assert second.head.importances.sum() == len(AMOUNTS) - 1


PARTS = {
    "WEIGHTS": (1, ("comparison.motion.sharpness", "head.layers.1.bias")),
    "PRESENCE": (2, ("cells.layers.0.bias", "head.layers.direct.bias", "head.scale")),
}


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file, (_, names) in PARTS.items() for name in names]
)
def test_a_file_that_lacks_something_is_refused(stand_ins, tmp_path, monkeypatch, file, name):
    weights = safetensors.torch.load_file(stand_ins[PARTS[file][0]])
    del weights[name]
    path = tmp_path / "some.safetensors"
    safetensors.torch.save_file(weights, path)
    monkeypatch.setattr(embedded_metric, file, path)
    with pytest.raises(WeightsError, match="missing: " + re.escape(name)) as caught:
        load_universal()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "file"),
    [
        (embedded_backbone, "WEIGHTS"),
        (embedded_metric, "WEIGHTS"),
        (embedded_metric, "PRESENCE"),
    ],
    ids=["backbone", "encoder", "head"],
)
def test_a_file_that_is_not_there_is_named(tmp_path, monkeypatch, module, file):
    monkeypatch.setattr(module, file, tmp_path / "none.safetensors")
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        load_universal()


def test_the_recipe_is_what_the_file_says(tmp_path, monkeypatch):
    made = Recipe(DataInfo(source="somewhere", images=12, sha256="ab" * 32), steps=34, seed=5)
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, metadata=made.metadata())
    monkeypatch.setattr(embedded_metric, "WEIGHTS", path)
    assert recipe() == made


# --- the real one ---------------------------------------------------------------------


@pytest.mark.usefixtures("real_weights")
def test_it_is_small():
    # The issue's own bound for what ships in the package.
    assert embedded_backbone.WEIGHTS.stat().st_size < 1_000_000
    assert embedded_metric.WEIGHTS.stat().st_size < 1_000_000
    assert embedded_metric.PRESENCE.stat().st_size < 500_000


@pytest.fixture
def measures(real_weights) -> Measures:
    """Measures of the embedded metric in 20 rankings, on photographs outside its training."""
    metric = load_universal()
    generator = torch.Generator().manual_seed(11)
    distances = FeatureDistances(metric, torch.device("cpu"))
    images = resize_images(load_held_out("sample", generator).images, IMAGE_SIZE)
    bank = build_evaluation_bank(distances, images, generator)
    return evaluate(metric.head, bank, random_rankings(20, generator))


def test_it_is_worth_what_was_measured(measures):
    """Well below the figures of the docs, which are of photographs: half of the sample is drawn."""
    assert measures.score.mean >= 0.94
    assert measures.improved == 1
    assert measures.stability <= 0.01
    assert measures.composition >= 0.8
    for name in NAMES:
        assert measures.monotonicity[name] >= 0.9, name
        assert measures.named[name] >= 0.9, name
    assert statistics.fmean(measures.retention.values()) >= 0.55
