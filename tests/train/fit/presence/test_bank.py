"""The bank of measured families: complete, as the metric measures, resumable, and of one recipe."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from train_helpers import channel_metric, photos

from dps_infer.errors import OutputError
from dps_train.distortions.changes.families import IN_GRADED, MEMBERS, ON_PAGES, PARTS
from dps_train.distortions.kinds import KIND_NAMES
from dps_train.fit.presence import bank
from dps_train.fit.presence.bank import Collection, MeasuredPairs, measured_pairs
from dps_train.fit.presence.fit import collections
from dps_train.fit.presence.loss import z_of
from dps_train.fit.presence.stored import RECIPE, BankError, bank_recipe, open_folder
from dps_train.model.change.change_features import FEATURES
from dps_train.model.change.change_metric import ChangeMetric

SCENES = 2
COLLECTIONS = (
    Collection("paper", SCENES, 64, paper=True),
    Collection("own", SCENES, 64, paper=False),
    Collection("graded", SCENES, 64, paper=False, families="graded"),
    Collection("pages", SCENES, 64, paper=False, families="pages"),
)
SEED = 5


@pytest.fixture(scope="module")
def metric() -> ChangeMetric:
    return channel_metric(32)


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    return [image.numpy() for image in photos(3, 90, 110)]


@pytest.fixture(autouse=True)
def one_scene_a_part(monkeypatch):
    monkeypatch.setattr(bank, "SCENES_PER_PART", 1)


@pytest.fixture(scope="module", params=COLLECTIONS, ids=lambda one: one.name)
def measured(request, metric, images) -> tuple[Collection, MeasuredPairs]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bank, "SCENES_PER_PART", 1)
        return request.param, measured_pairs(request.param, metric, images, SEED)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def equal(one: MeasuredPairs, other: MeasuredPairs) -> bool:
    return all(
        torch.equal(getattr(one, f.name).nan_to_num(-9), getattr(other, f.name).nan_to_num(-9))
        for f in dataclasses.fields(MeasuredPairs)
    )


def test_it_holds_whole_families(measured):
    collection, pairs = measured
    whole = MEMBERS if collection.paper else MEMBERS + PARTS
    members = {"graded": IN_GRADED, "pages": ON_PAGES}
    assert collection.members == members.get(collection.families, whole)
    count, kinds = SCENES * collection.members, len(KIND_NAMES)
    for field in dataclasses.fields(pairs):
        assert len(getattr(pairs, field.name)) == count, field.name
    assert pairs.cells.shape == (count, 1, 2, FEATURES)
    assert pairs.present.shape == pairs.strengths.shape == pairs.directions.shape == (count, kinds)
    assert torch.all(pairs.side == collection.side)
    assert torch.all(pairs.present.sum(dim=1) >= 1)
    for name in ("total", "terms", "features", "motion", "code", "visible"):
        assert torch.isfinite(getattr(pairs, name)).all(), name
    assert (pairs.visible > 0).float().mean() > 0.8
    assert torch.equal(pairs.local > 0, (pairs.part < 1).any(dim=1))
    # Members refer to others of their own family.
    assert torch.all(pairs.weaker < collection.members)
    assert torch.all(pairs.alone < collection.members)


@pytest.mark.parametrize("pairs", [1, 20, 1000, 4001])
def test_collections_hold_at_least_the_pairs_asked_for(pairs):
    drawn = collections(pairs)
    count = sum(one.scenes * one.members for one in drawn)
    assert pairs <= count <= pairs + sum(one.members for one in drawn)
    assert [one.paper for one in drawn] == [True, False]


@torch.no_grad()
def test_pairs_are_measured_as_the_metric_does(metric, images, monkeypatch):
    seen = []
    measure = bank._measured

    def remembered(_metric, references, index, members):
        seen.append((np.stack(references)[index], np.stack([one.pixels for one in members])))
        return measure(_metric, references, index, members)

    monkeypatch.setattr(bank, "_measured", remembered)
    pairs = measured_pairs(Collection("own", 1, 64, paper=False), metric, images, SEED)
    ((reference, changed),) = seen
    first, second = metric.features(torch.from_numpy(reference), torch.from_numpy(changed))
    expected = metric.comparison(first, second)
    # Cells are stored in half precision: eleven bits.
    torch.testing.assert_close(z_of(metric, pairs), expected, rtol=1e-2, atol=1e-2)
    difference = np.abs(reference.astype(float) - changed).mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(pairs.visible.numpy(), difference, rtol=1e-4)


def test_it_follows_its_seed(measured, metric, images):
    collection, pairs = measured
    torch.rand(3), np.random.rand()
    assert equal(measured_pairs(collection, metric, images, SEED), pairs)
    other = measured_pairs(collection, metric, images, SEED + 1)
    assert not torch.equal(other.features, pairs.features)


def test_a_bank_that_was_cut_off_continues(measured, metric, images, tmp_path, monkeypatch):
    collection, pairs = measured
    parts: list[int] = []
    measure = bank._measure

    def counted(*arguments):
        if len(parts) == SCENES - 1:
            raise KeyboardInterrupt
        parts.append(1)
        return measure(*arguments)

    monkeypatch.setattr(bank, "_measure", counted)
    # One thread measures the parts in their order.
    with threads(1), pytest.raises(KeyboardInterrupt):
        measured_pairs(collection, metric, images, SEED, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"{collection.name}-0.safetensors"]
    parts.clear()
    assert equal(measured_pairs(collection, metric, images, SEED, tmp_path), pairs)
    # The first part was read, and so are both from now on.
    assert len(parts) == SCENES - 1
    assert len(list(tmp_path.iterdir())) == SCENES
    assert equal(measured_pairs(collection, metric, images, SEED, tmp_path), pairs)
    assert len(parts) == SCENES - 1


def test_the_number_of_threads_does_not_change_it(measured, metric, images):
    collection, pairs = measured
    for count in (1, 3):
        with threads(count):
            assert equal(measured_pairs(collection, metric, images, SEED), pairs)
            assert torch.get_num_threads() == count


def test_an_interrupt_does_not_wait_for_whole_parts(metric, images, monkeypatch):
    batches: list[int] = []
    measure = bank._measured

    def counted(*arguments):
        batches.append(1)
        return measure(*arguments)

    def interrupted(*_):
        while len(batches) < 2:
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(bank, "SCENES_PER_PART", 300)
    monkeypatch.setattr(bank, "_measured", counted)
    monkeypatch.setattr(bank, "track", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measured_pairs(Collection("paper", 600, 64, paper=True), metric, images, SEED)
    # Not 200 of three scenes: what each thread was at, and what they began meanwhile.
    assert len(batches) < 20


def test_a_damaged_part_is_refused(metric, images, tmp_path):
    measured_pairs(COLLECTIONS[0], metric, images, SEED, tmp_path)
    path = tmp_path / "paper-0.safetensors"
    sound = path.read_bytes()
    changed = bytearray(sound)
    changed[-1] ^= 1
    for damaged in (b"", sound[:100], sound[:-1], bytes(changed)):
        path.write_bytes(damaged)
        with pytest.raises(BankError, match=r"paper-0\.safetensors is damaged: remove it"):
            measured_pairs(COLLECTIONS[0], metric, images, SEED, tmp_path)


# --- the folder -----------------------------------------------------------------------


def test_a_recipe_names_everything_that_determines_pairs(metric, images):
    recipe = bank_recipe(metric, images, COLLECTIONS, SEED)
    assert json.loads(json.dumps(recipe)) == recipe
    with torch.no_grad():
        other = channel_metric(32)
        next(other.backbone.parameters()).add_(1)
    changed = [image.copy() for image in images]
    changed[0][0, 0, 0] ^= 1
    for arguments, fields in (
        ((channel_metric(48), images, COLLECTIONS, SEED), {"working_size"}),
        ((other, images, COLLECTIONS, SEED), {"network_sha256"}),
        ((metric, changed, COLLECTIONS, SEED), {"images_sha256"}),
        ((metric, images[:2], COLLECTIONS, SEED), {"images", "images_sha256"}),
        ((metric, images, COLLECTIONS[:1], SEED), {"collections"}),
        ((metric, images, COLLECTIONS, SEED + 1), {"seed"}),
    ):
        found = bank_recipe(*arguments)
        assert {name for name, value in recipe.items() if found[name] != value} == fields


def test_the_head_is_no_part_of_a_recipe(metric, images):
    other = channel_metric(32)
    with torch.no_grad():
        other.head.scale.fill_(3)
        other.comparison.cell_head.layers[0].weight.zero_()
    recipe = bank_recipe(metric, images, COLLECTIONS, SEED)
    assert bank_recipe(other, images, COLLECTIONS, SEED) == recipe


@pytest.fixture
def folder(metric, images, tmp_path) -> Path:
    """A folder with a part of a bank."""
    folder = tmp_path / "bank"
    open_folder(folder, bank_recipe(metric, images, COLLECTIONS, SEED), renew=False)
    (folder / "paper-0.safetensors").write_bytes(b"part")
    return folder


def test_pairs_of_the_same_recipe_stay(folder, metric, images):
    recipe = bank_recipe(metric, images, COLLECTIONS, SEED)
    for renew in (False, True):
        open_folder(folder, recipe, renew=renew)
        assert (folder / "paper-0.safetensors").read_bytes() == b"part"
    assert json.loads((folder / RECIPE).read_text()) == recipe


def test_pairs_of_another_recipe_are_refused_or_renewed(folder, metric, images):
    recipe = bank_recipe(metric, images, COLLECTIONS, SEED + 1)
    with pytest.raises(BankError, match=r"seed is 5 there and 6 here.*--force") as caught:
        open_folder(folder, recipe, renew=False)
    assert "\n" not in str(caught.value)
    assert (folder / "paper-0.safetensors").exists()
    open_folder(folder, recipe, renew=True)
    assert [path.name for path in folder.iterdir()] == [RECIPE]
    assert json.loads((folder / RECIPE).read_text()) == recipe


def test_a_recipe_that_cannot_be_read_is_another_one(folder, metric, images):
    (folder / RECIPE).write_text("{")
    recipe = bank_recipe(metric, images, COLLECTIONS, SEED)
    with pytest.raises(BankError, match=r"recipe\.json cannot be read"):
        open_folder(folder, recipe, renew=False)


@pytest.mark.parametrize("name", ["photo.png", "part.safetensors"])
def test_folders_of_other_things_are_never_touched(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    for renew in (False, True):
        with pytest.raises(BankError, match="other things"):
            open_folder(tmp_path, {}, renew=renew)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "bank").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        open_folder(tmp_path / "bank", {}, renew=False)
