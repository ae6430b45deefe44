"""STL-10 and SVHN, from tiny files of their formats."""

from __future__ import annotations

import hashlib
import socket
import urllib.error

import numpy as np
import pytest
import scipy.io
import torch
from torchvision.datasets import STL10, SVHN
from train_helpers import seeded

from dps_infer.errors import DpsError
from dps_train.data import datasets
from dps_train.data.sources import load_held_out, load_split, load_training

COUNTS = {"train": 10, "test": 4}


def pixels(count: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def images_of(name: str, split: str) -> np.ndarray:
    """The pixels of the tiny files: uint8 RGB [N, H, W, 3]."""
    side = {"stl10": 96, "svhn": 32}[name]
    return pixels(COUNTS[split], side, seed=len(name) + COUNTS[split])


def write_stl10(root) -> dict[str, str]:
    """Write binary files: planes, each column by column; labels from 1."""
    (root / "stl10_binary").mkdir(parents=True)
    sums = {}
    for split, count in COUNTS.items():
        data = images_of("stl10", split).transpose(0, 3, 2, 1)
        labels = np.arange(1, count + 1, dtype=np.uint8)
        for kind, values in (("X", data), ("y", labels)):
            path = root / "stl10_binary" / f"{split}_{kind}.bin"
            np.ascontiguousarray(values).tofile(path)
            sums[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
    return sums


def write_svhn(root) -> dict[str, str]:
    """Write MATLAB files: X [32, 32, 3, N], y [N, 1]."""
    root.mkdir(parents=True, exist_ok=True)
    sums = {}
    for split, count in COUNTS.items():
        path = root / f"{split}_32x32.mat"
        labels = np.arange(1, count + 1, dtype=np.uint8)[:, None]
        data = images_of("svhn", split).transpose(1, 2, 3, 0)
        scipy.io.savemat(path, {"X": data, "y": labels})
        sums[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
    return sums


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_arguments, **_options):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def tiny(tmp_path, monkeypatch, no_network):
    """A folder with both datasets, whose checksums the loaders expect."""
    root = tmp_path / "datasets"
    sums = write_stl10(root) | write_svhn(root)
    for attribute in ("train_list", "test_list"):
        expected = [
            [name, sums[name]]
            for name, _ in getattr(STL10, attribute)
            if not name.startswith("unlabeled")
        ]
        monkeypatch.setattr(datasets.LabeledSTL10, attribute, expected)
    for split in COUNTS:
        url, name, _ = SVHN.split_list[split]
        monkeypatch.setitem(SVHN.split_list, split, [url, name, sums[name]])
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(root))
    return root


def test_the_real_loaders_expect_the_labelled_files_alone():
    names = [name for name, _ in datasets.LabeledSTL10.train_list]
    assert names == ["train_X.bin", "train_y.bin"]


@pytest.mark.parametrize("name", ["stl10", "svhn"])
def test_training_and_testing_use_the_parts_made_for_it(tiny, name):
    training = load_training(name, seeded())
    tested = load_held_out(name, seeded())
    assert training.source == tested.source == name
    assert np.array_equal(np.stack(training.images), images_of(name, "train"))
    assert np.array_equal(np.stack(tested.images), images_of(name, "test"))
    assert training.images[0].dtype == np.uint8


@pytest.mark.parametrize("name", ["stl10", "svhn"])
def test_a_fifth_of_the_training_part_is_held_out(tiny, name):
    training, held_out = load_split(name, seeded(1))
    assert (len(training.images), len(held_out.images)) == (8, 2)
    every = sorted(image.tobytes() for image in (*training.images, *held_out.images))
    assert every == sorted(image.tobytes() for image in images_of(name, "train"))
    again = load_split(name, seeded(1))[1]
    assert again.sha256() == held_out.sha256()
    assert len({load_split(name, seeded(seed))[1].sha256() for seed in range(6)}) > 1


def test_the_pixels_of_a_dataset_are_held_once(tiny):
    images = load_training("svhn", seeded()).images
    whole = images[0].base
    assert whole.nbytes == sum(image.nbytes for image in images)
    assert all(image.base is whole for image in images)


@pytest.mark.parametrize("name", ["stl10", "svhn"])
def test_without_a_network(tmp_path, monkeypatch, no_network, name):
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path / "new"))
    with pytest.raises(DpsError) as refusal:
        load_training(name, seeded())
    message = str(refusal.value)
    assert "\n" not in message
    for part in (name, str(tmp_path / "new"), "name resolution", "DPS_DATA"):
        assert part in message


@pytest.mark.parametrize(
    ("name", "file"), [("stl10", "stl10_binary/train_X.bin"), ("svhn", "train_32x32.mat")]
)
@pytest.mark.parametrize("spoil", ["cut", "changed", "missing"])
def test_a_damaged_file_is_not_read(tiny, name, file, spoil):
    path = tiny / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(path.read_bytes()[:-100] if spoil == "cut" else data)
    if spoil == "missing":
        path.unlink()
    with pytest.raises(DpsError, match="cannot be downloaded"):
        load_training(name, seeded())


def test_a_damaged_download(tmp_path, monkeypatch):
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path))

    def cut_short(_url, path, *_arguments):
        with open(path, "wb") as stream:
            stream.write(b"MATLAB 5.0 MAT-file, cut sho")

    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", cut_short)
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, **_: url)
    with pytest.raises(DpsError, match="not found or corrupted"):
        load_held_out("svhn", seeded())


def test_a_server_that_refuses(tmp_path, monkeypatch):
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path))

    def refuse(url, **_options):
        raise urllib.error.HTTPError(url, 503, "Service Unavailable", None, None)

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", refuse)
    with pytest.raises(DpsError, match="Service Unavailable"):
        load_held_out("svhn", seeded())


def test_the_folder_is_torch_hubs_unless_one_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv(datasets.FOLDER_VARIABLE, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert datasets.folder() == tmp_path / "hub" / "datasets"
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path / "own"))
    assert datasets.folder() == tmp_path / "own"


def test_the_command_line_says_it_in_one_line(cli, tmp_path, monkeypatch, no_network):
    monkeypatch.setenv(datasets.FOLDER_VARIABLE, str(tmp_path / "none"))
    outcome = cli("--ranking", "3,1", "--data", "stl10", "--out", tmp_path / "run")
    assert outcome.code == 1
    assert "stl10" in outcome.error_line
    assert not (tmp_path / "run").exists()
