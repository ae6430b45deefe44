"""The bank on disk: the same numbers as in memory, reused when they fit and refused otherwise."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from train_helpers import random_backbone, seeded, write_images

from dps_infer.errors import OutputError
from dps_train.bank import stored
from dps_train.bank.bank import PURPOSE, Bank, FeatureDistances, build_bank
from dps_train.bank.manifest import BankManifest, bank_recipe
from dps_train.bank.stored import ARRAYS, MANIFEST, BankError, stored_bank
from dps_train.contexts import AMOUNTS
from dps_train.data.sources import load_folder
from dps_train.distortions.families import FAMILY_SIZE
from dps_train.fit.additive import fit_additive
from dps_train.model.comparisons import Comparison
from dps_train.model.heads import ChannelHead
from dps_train.model.metric import Preprocess
from dps_train.seeds import generator_for

WANTED = {"pairs": 70 * FAMILY_SIZE, "size": 32, "seed": 5}
"""More than one batch, and none that is full at the end."""


@pytest.fixture(scope="module")
def distances() -> FeatureDistances:
    layers = ("stage1", "stage2")
    return FeatureDistances(
        Preprocess(32), random_backbone(layers=layers), Comparison("spatial"), torch.device("cpu")
    )


@pytest.fixture(scope="module")
def images(images_folder):
    return load_folder(images_folder)


@pytest.fixture(scope="module")
def original(distances, images, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("banks") / "bank"
    stored_bank(folder, distances, images, **WANTED)
    return folder


@pytest.fixture
def folder(original, tmp_path) -> Path:
    """A fresh bank that the test may spoil."""
    return Path(shutil.copytree(original, tmp_path / "bank"))


@pytest.fixture
def no_work(monkeypatch) -> None:
    def draw(*_arguments: object, **_options: object) -> None:
        raise AssertionError("nothing should be computed")

    monkeypatch.setattr(stored, "bank_parts", draw)


def equal(first: Bank, second: Bank) -> bool:
    names = [field.name for field in dataclasses.fields(Bank)]
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in names)


def change(folder: Path, edit: Callable[[dict], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_bytes())
    edit(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- stored ---------------------------------------------------------------------------


def test_it_holds_what_the_bank_in_memory_holds(distances, images, folder):
    in_memory = build_bank(
        distances,
        images.images,
        pairs=WANTED["pairs"],
        size=WANTED["size"],
        generator=generator_for(PURPOSE, WANTED["seed"]),
    )
    assert len(in_memory.z) == 70
    assert equal(stored_bank(folder, distances, images, **WANTED), in_memory)


def test_the_files_are_plain_arrays_with_a_manifest(distances, images, original):
    assert sorted(contents(original)) == sorted([MANIFEST, *(f"{name}.npy" for name in ARRAYS)])
    manifest = msgspec.json.decode((original / MANIFEST).read_bytes(), type=BankManifest)
    assert manifest.recipe == bank_recipe(distances, images, **WANTED)
    assert manifest.source == images.source
    for name in ARRAYS:
        array = np.load(original / f"{name}.npy", allow_pickle=False)
        stated = manifest.files[f"{name}.npy"]
        assert array.dtype == np.dtype(stated.dtype) == np.float32
        assert list(array.shape) == stated.shape
        assert array.shape[:2] == (70, FAMILY_SIZE)


def test_it_is_reused_without_any_work(distances, images, original, no_work):
    notes: list[str] = []
    before = contents(original)
    stored_bank(original, distances, images, **WANTED, note=notes.append)
    assert len(notes) == 1
    assert "reused" in notes[0]
    assert str(original) in notes[0]
    assert contents(original) == before


def test_equal_images_from_elsewhere_are_equal(distances, images, original, tmp_path, no_work):
    moved = load_folder(write_images(tmp_path / "moved"))
    assert moved.source != images.source
    stored_bank(original, distances, moved, **WANTED)


def test_it_is_read_from_the_files_and_never_written_to(distances, images, folder):
    before = contents(folder)
    bank = stored_bank(folder, distances, images, **WANTED)
    assert isinstance(np.load(folder / "z.npy", mmap_mode="r"), np.memmap)
    bank.z[0] = 0
    assert contents(folder) == before


def test_heads_trained_on_either_are_the_same(distances, images, folder):
    def fitted(bank: Bank) -> dict[str, torch.Tensor]:
        head = ChannelHead(bank.z.shape[-1], AMOUNTS, hidden=16)
        fit_additive(head, bank, epochs=1, generator=seeded(1))
        return head.state_dict()

    in_memory = build_bank(
        distances,
        images.images,
        pairs=WANTED["pairs"],
        size=WANTED["size"],
        generator=generator_for(PURPOSE, WANTED["seed"]),
    )
    first, second = fitted(in_memory), fitted(stored_bank(folder, distances, images, **WANTED))
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


# --- refused --------------------------------------------------------------------------


def refusal(folder: Path, distances, images, **options: int) -> str:
    before = contents(folder)
    with pytest.raises(BankError) as caught:
        stored_bank(folder, distances, images, **{**WANTED, **options})
    assert contents(folder) == before
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    assert "another" in message
    return message


def test_another_seed_and_more_pairs_are_named_with_both_values(
    distances, images, original, no_work
):
    message = refusal(original, distances, images, seed=6, pairs=71 * FAMILY_SIZE)
    assert "seed is 5 there and 6 here" in message
    assert "crops is 70 there and 71 here" in message
    assert "--force" in message
    assert message.count(" there and ") == 2


def test_another_network_another_comparison_and_other_images(distances, images, original, no_work):
    other = random_backbone(layers=("stage1", "stage2"))
    with torch.no_grad():
        next(other.network.parameters()).add_(1)
    cpu = torch.device("cpu")
    network = FeatureDistances(distances.preprocess, other, distances.comparison, cpu)
    message = refusal(original, network, images)
    assert "backbone_sha256 is " in message
    assert message.count(" there and ") == 1
    changed = Comparison("mean", channel_norm=False)
    comparison = FeatureDistances(distances.preprocess, distances.backbone, changed, cpu)
    message = refusal(original, comparison, images)
    assert 'comparison is "spatial" there and "mean" here' in message
    assert "channel_norm is true there and false here" in message
    fewer = dataclasses.replace(images, images=images.images[1:])
    message = refusal(original, distances, fewer)
    assert f"images is {len(images.images)} there and {len(images.images) - 1} here" in message
    assert "images_sha256 is " in message


def test_what_an_older_version_drew_is_named_by_its_place(distances, images, folder, no_work):
    def older(manifest: dict) -> None:
        manifest["recipe"]["distortions"]["rotate"]["limit"] = 90.0
        manifest["recipe"]["tools"]["torch"] = "1.0"

    change(folder, older)
    message = refusal(folder, distances, images)
    assert "distortions.rotate.limit is 90.0 there and 180.0 here" in message
    assert 'tools.torch is "1.0" there' in message


def truncated(folder: Path) -> None:
    path = folder / "z.npy"
    path.write_bytes(path.read_bytes()[:-4])


def flipped(folder: Path) -> None:
    path = folder / "amounts.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


SPOILED = {
    "truncated": (truncated, "z.npy has "),
    "flipped": (flipped, "the hash of amounts.npy"),
    "missing": (lambda f: (f / "other.npy").unlink(), "other.npy is missing"),
    "no manifest": (lambda f: (f / MANIFEST).unlink(), "manifest.json is missing"),
    "no json": (lambda f: (f / MANIFEST).write_text("{"), "manifest.json is not valid"),
    "not a record": (lambda f: (f / MANIFEST).write_text("[]"), "manifest.json is not valid"),
    "field": (lambda f: change(f, lambda m: m.pop("recipe")), "manifest.json is not valid"),
    "newer": (lambda f: change(f, lambda m: m.update(format=99)), "has bank format 99"),
    "no entry": (lambda f: change(f, lambda m: m["files"].pop("z.npy")), "z.npy is missing"),
    "shape": (
        lambda f: change(f, lambda m: m["files"]["z.npy"]["shape"].pop()),
        "z.npy holds float32",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_bank_is_refused_and_built_anew_with_force(
    distances, images, original, folder, case
):
    spoil, message = SPOILED[case]
    spoil(folder)
    assert message in refusal(folder, distances, images)
    notes: list[str] = []
    bank = stored_bank(folder, distances, images, **WANTED, force=True, note=notes.append)
    assert message in notes[0]
    assert "written" in notes[1]
    assert contents(folder) == contents(original)
    assert equal(bank, stored_bank(original, distances, images, **WANTED))


def test_force_builds_nothing_anew_that_fits(distances, images, original, no_work):
    stored_bank(original, distances, images, **WANTED, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_of_other_things_is_never_replaced(distances, images, tmp_path, force, no_work):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(BankError, match="other content"):
        stored_bank(tmp_path, distances, images, **WANTED, force=force)
    assert contents(tmp_path) == {"photo.jpg": b"mine"}


# --- half done ------------------------------------------------------------------------


def test_nothing_is_left_when_the_work_breaks_off(distances, images, tmp_path, monkeypatch):
    def broken(*arguments: object, **options: object):
        yield next(whole(*arguments, **options))
        raise RuntimeError("the power is gone")

    whole = stored.bank_parts
    monkeypatch.setattr(stored, "bank_parts", broken)
    with pytest.raises(RuntimeError, match="power"):
        stored_bank(tmp_path / "bank", distances, images, **WANTED)
    assert list(tmp_path.iterdir()) == []


def test_a_bank_that_does_not_fit_on_the_disk_is_refused(distances, images, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OutputError, match="free some space"):
        stored_bank(tmp_path / "bank", distances, images, **WANTED)
    assert list(tmp_path.iterdir()) == []


# --- the command line -----------------------------------------------------------------


def test_the_option_reuses_and_refuses(cli, images_folder, tmp_path):
    bank = tmp_path / "bank"

    def train(out: str, *arguments: object):
        return cli(
            "--ranking", "3,1", "--data", images_folder, "--pairs", 200, "--epochs", 1,
            "--out", tmp_path / out, "--json", *arguments,
        )  # fmt: skip

    plain = train("plain")
    first = train("first", "--bank", bank)
    again = train("again", "--bank", bank)
    for outcome, message in ((first, "written"), (again, "reused")):
        assert outcome.code == 0, outcome.err
        assert outcome.out == plain.out
        assert message in outcome.err
    weights = [(tmp_path / out / "metric.safetensors").read_bytes() for out in
               ("plain", "first", "again")]  # fmt: skip
    assert weights[0] == weights[1] == weights[2]
    refused = train("other", "--bank", bank, "--seed", 1)
    assert refused.code == 1
    assert "seed is 0 there and 1 here" in refused.error_line
    assert not (tmp_path / "other").exists()
    assert train("other", "--bank", bank, "--seed", 1, "--force").code == 0
    assert "two folders" in train("same", "--bank", tmp_path / "same").error_line
