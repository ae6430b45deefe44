"""BAPPS's layout and the scores of human agreement, beside those of the `lpips` package."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from train_helpers import channel_metric
from triplet_helpers import write_bapps

from dps_infer.errors import DataError, ImageError, UsageError
from dps_train.data.sources import read_pixels
from dps_train.judgements.bapps import TRAIN, read_bapps
from dps_train.judgements.scoring import jnd_score, score_bapps, score_triplets, two_afc_agreement


@pytest.fixture(scope="module")
def lpips():
    with warnings.catch_warnings():
        # Its modules and those that it imports hold invalid escapes and deprecated imports.
        warnings.simplefilter("ignore")
        return pytest.importorskip("lpips")


@pytest.fixture(scope="session")
def bapps(tmp_path_factory) -> Path:
    return write_bapps(tmp_path_factory.mktemp("bapps"))


@pytest.fixture
def spoiled(bapps, tmp_path) -> Path:
    """A fresh copy that the test may spoil."""
    return Path(shutil.copytree(bapps, tmp_path / "bapps"))


def squared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A distance of whole numbers, which are the same in any arithmetic and batch."""
    difference = first.astype(np.int64) - second.astype(np.int64)
    return (difference**2).sum(axis=(1, 2, 3))


class Loader:
    """The input of LPIPS's scorers, built from files; of our code, only decoding is used."""

    def __init__(self, folder: Path, images: tuple[str, ...], votes: str, batch: int = 3) -> None:
        self.parts = {
            name: [read_pixels(path) for path in sorted((folder / name).iterdir())]
            for name in images
        }
        self.parts[votes] = [np.load(path) for path in sorted((folder / votes).iterdir())]
        self.batch = batch

    def load_data(self):
        count = len(next(iter(self.parts.values())))
        for start in range(0, count, self.batch):
            yield {
                name: torch.from_numpy(np.stack(values[start : start + self.batch]))
                for name, values in self.parts.items()
            }


def through_torch(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(squared(first.numpy(), second.numpy()))


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_scores_are_those_of_lpips_split_by_split(lpips, bapps, batch):
    scores = score_bapps(bapps, squared, batch)
    assert set(scores.two_afc) == set(scores.jnd) == {"cnn", "traditional"}
    for split, score in scores.two_afc.items():
        loader = Loader(bapps / "2afc" / "val" / split, ("ref", "p0", "p1"), "judge")
        assert score == lpips.score_2afc_dataset(loader, through_torch)[0]
    for split, score in scores.jnd.items():
        loader = Loader(bapps / "jnd" / "val" / split, ("p0", "p1"), "same")
        assert score == lpips.score_jnd_dataset(loader, through_torch)[0]
    assert scores.two_afc_mean == np.mean(list(scores.two_afc.values()))
    assert scores.jnd_mean == np.mean(list(scores.jnd.values()))
    assert len({*scores.two_afc.values(), *scores.jnd.values()}) == 4
    assert set(asdict(scores)) == {"two_afc", "two_afc_mean", "jnd", "jnd_mean"}


class Rows:
    """Distances and votes that LPIPS's scorers take for a dataset of one batch."""

    def __init__(self, **values: list[float]) -> None:
        self.values = {k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()}

    def load_data(self):
        return [self.values]


votes = st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0]) | st.floats(0, 1, width=32)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), votes), min_size=1, max_size=40))
def test_agreement_is_that_of_lpips_ties_too(lpips, rows):
    d0, d1, judge = (list(map(float, column)) for column in zip(*rows, strict=True))
    data = Rows(ref=[0.0] * len(d0), p0=d0, p1=d1, judge=judge)
    theirs = lpips.score_2afc_dataset(data, lambda _reference, distances: distances)[0]
    assert two_afc_agreement(d0, d1, judge) == theirs


@given(st.lists(votes, min_size=1, max_size=300).filter(any), st.randoms(use_true_random=False))
def test_jnd_is_that_of_lpips(lpips, same, random):
    distances = [float(value) for value in range(len(same))]
    random.shuffle(distances)
    data = Rows(p0=distances, p1=distances, same=same)
    theirs = lpips.score_jnd_dataset(data, lambda first, _second: first)[0]
    assert jnd_score(distances, same) == theirs


def test_scores_in_closed_form():
    assert two_afc_agreement([1, 2, 1], [2, 1, 1], [0, 0.75, 1]) == pytest.approx(
        (1 + 0.75 + 0.5) / 3
    )
    assert jnd_score([0.1, 0.2, 0.3], [1, 1, 0]) == 1
    assert jnd_score([0.3, 0.2, 0.1], [1, 1, 0]) == pytest.approx(2 / 3)
    # Precisions 1, 1/2, 2/3: the envelope is 1 for the first half of recall, 2/3 for the rest.
    assert jnd_score([0.1, 0.2, 0.3], [1, 0, 1]) == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_scores_that_mean_nothing():
    with pytest.raises(DataError, match="nobody found any pair the same"):
        jnd_score([1, 2], [0, 0])
    with pytest.raises(ValueError, match="one length"):
        two_afc_agreement([[1], [2]], [1, 2], [0, 1])
    with pytest.raises(ValueError, match="one length"):
        jnd_score([], [])


def test_a_torch_metric_is_scored(bapps):
    metric = channel_metric(32)

    def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return metric(torch.from_numpy(first), torch.from_numpy(second))[0].numpy()

    scores = score_bapps(bapps, distance)
    triplets = read_bapps(bapps).two_afc["cnn"]
    agreed = 0.0
    for row in range(len(triplets)):
        reference, p0, p1 = (
            read_pixels(paths[row])[None]
            for paths in (triplets.reference, triplets.p0, triplets.p1)
        )
        closer = float(distance(reference, p1)[0] < distance(reference, p0)[0])
        agreed += abs(1 - closer - triplets.judge[row])
    assert scores.two_afc["cnn"] == pytest.approx(agreed / len(triplets))
    assert score_triplets(triplets, distance, 2) == pytest.approx(scores.two_afc["cnn"])


# --- the layout -----------------------------------------------------------------------


def test_the_training_part_has_triplets_alone(bapps):
    part = read_bapps(bapps, TRAIN)
    assert part.jnd == {}
    assert {name: len(split) for name, split in part.two_afc.items()} == {
        "cnn": 3,
        "traditional": 3,
    }
    joined = part.all_triplets()
    assert len(joined) == 6
    assert joined.judge == part.two_afc["cnn"].judge + part.two_afc["traditional"].judge
    for name in ("reference", "p0", "p1"):
        assert len(getattr(joined, name)) == 6
    first = part.two_afc["cnn"]
    assert [p.name for p in first.p0] == [p.name for p in first.reference]
    assert {p.parent.name for p in first.p1} == {"p1"}


@pytest.mark.parametrize("missing", ["2afc", "jnd"])
def test_one_of_the_two_is_scored_alone(spoiled, missing):
    shutil.rmtree(spoiled / missing)
    scores = score_bapps(spoiled, squared)
    assert (scores.two_afc_mean is None) == (missing == "2afc")
    assert (scores.jnd_mean is None) == (missing == "jnd")


def test_files_of_no_concern_are_passed_by(spoiled):
    (spoiled / "2afc/val/.cache").mkdir()
    (spoiled / "2afc/val/cnn/ref/._000001.png").write_text("x")
    (spoiled / "2afc/val/cnn/judge/notes.txt").write_text("x")
    assert len(read_bapps(spoiled).two_afc["cnn"]) == 11


def test_all_problems_of_the_folder_are_listed(spoiled):
    shutil.rmtree(spoiled / "2afc/val/cnn/p1")
    (spoiled / "2afc/val/traditional/judge/000004.npy").unlink()
    np.save(spoiled / "jnd/val/cnn/same/000002.npy", np.array([1.5]))
    (spoiled / "jnd/val/cnn/same/000003.npy").write_bytes(b"")
    np.save(spoiled / "jnd/val/traditional/same/000001.npy", np.array([{}]), allow_pickle=True)
    for path in (spoiled / "jnd/val/traditional/p0").iterdir():
        path.rename(path.with_suffix(".txt"))
    with pytest.raises(DataError) as caught:
        read_bapps(spoiled)
    problems = caught.value.problems
    assert len(problems) == 5
    for part in (
        f"{spoiled}/2afc/val/cnn/p1: no such folder",
        f"{spoiled}/2afc/val/traditional: ",
        "11 in ref, 11 in p0, 11 in p1, 10 in judge; 000004 is not in all of them",
        f"{spoiled}/jnd/val/cnn/same/000002.npy: expected a NumPy file of one number from 0 to 1",
        f"{spoiled}/jnd/val/cnn/same/000003.npy: the file is empty",
        "0 in p0, 13 in p1, 13 in same; 000000 is not",
    ):
        assert sum(part in line for line in problems) == 1, part


@pytest.mark.parametrize(
    "content",
    [
        np.array([0.5, 0.5]),
        np.array([]),
        np.array([np.nan]),
        np.array([0.5j]),
        np.array([{"a": 1}], dtype=object),
        b"text",
        b"PK\x03\x04 no archive",
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999,)}\n",
    ],
    ids=["two", "none", "nan", "complex", "pickle", "text", "zip", "huge"],
)
def test_a_judgement_that_is_none(spoiled, content):
    path = spoiled / "2afc/val/cnn/judge/000005.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(DataError) as caught:
        read_bapps(spoiled)
    (line,) = caught.value.problems
    assert str(path) in line


@pytest.mark.parametrize(("part", "message"), [("val", "jnd/val"), ("train", "2afc/train")])
def test_folders_that_are_not_bapps(tmp_path, part, message):
    with pytest.raises(UsageError, match="is not a folder"):
        read_bapps(tmp_path / "none", part)
    with pytest.raises(DataError, match=message):
        read_bapps(tmp_path, part)
    (tmp_path / "2afc" / part).mkdir(parents=True)
    with pytest.raises(DataError, match="is empty"):
        read_bapps(tmp_path, part)


def test_an_unreadable_image_is_named(spoiled):
    (spoiled / "2afc/val/cnn/p1/000003.png").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"2afc/val/cnn/p1/000003\.png"):
        score_bapps(spoiled, squared)
