"""Batches for Ray Data: the columns and values of `dps-infer batch`, with Ray and without."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from infer_helpers import encode

pyarrow = pytest.importorskip("pyarrow")
csv_of = pytest.importorskip("pyarrow.csv")
parquet = pytest.importorskip("pyarrow.parquet")

from dps_infer.bulk.ray_batches import PairScorer  # noqa: E402
from dps_infer.errors import RankingError, TableError, UsageError  # noqa: E402

RANKINGS = ["color,rotate,blur", "blur,color"]


@pytest.fixture
def pairs(tmp_path, photo) -> Path:
    """Forty pairs of two sizes, of which every tenth has no image and one no name."""
    for number in range(5):
        picture = np.roll(photo, number, axis=1)[: 24 - number % 2]
        (tmp_path / f"{number}.png").write_bytes(encode(".png", picture))
    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["scene", "reference", "candidate"])
        for number in range(40):
            candidate = "none.png" if number % 10 == 9 else f"{number % 5}.png"
            reference = f"{number % 2}.png"
            writer.writerow([f"{number:03}", reference, "" if number == 4 else candidate])
    return path


@pytest.fixture
def by_command(cli, pairs, universal_path) -> list[dict]:
    """The rows that `dps-infer batch` writes."""
    output = pairs.with_name("results.parquet")
    options = [word for ranking in RANKINGS for word in ("--ranking", ranking)]
    assert cli("batch", pairs, "-o", output, "--context", universal_path, *options).code == 4
    rows = parquet.read_table(output).to_pylist()
    # A batch does not know where in the table its rows are.
    rows[4]["error"] = rows[4]["error"].replace("row 5 ", "the row ")
    return rows


def texts(path: Path) -> pyarrow.Table:
    names = ("scene", "reference", "candidate")
    options = csv_of.ConvertOptions(column_types=dict.fromkeys(names, pyarrow.string()))
    return csv_of.read_csv(path, convert_options=options)


@pytest.fixture
def options(pairs, universal_path) -> dict:
    return {"context_files": str(universal_path), "ranking": RANKINGS, "folder": pairs.parent}


@pytest.mark.parametrize("kind", ["table", "arrays"])
def test_rows_are_those_of_the_command(pairs, by_command, options, kind):
    batch = texts(pairs)
    if kind == "arrays":
        batch = {name: batch[name].to_numpy() for name in batch.column_names}
    found = PairScorer(**options)(batch)
    assert found.column_names == list(by_command[0])
    assert found.to_pylist() == by_command
    errors = found["error"].to_pylist()
    for reason in (
        "sizes differ",
        "none.png: no such file",
        "the row has nothing as its candidate",
    ):
        assert any(reason in error for error in errors)
    assert "" in errors


def assert_alike(rows: list[dict], others: list[dict]) -> None:
    """Other pairs in a run change the order in which it adds up some hundred float32 numbers."""
    for row, other in zip(rows, others, strict=True):
        assert list(row) == list(other)
        for name, value in row.items():
            expected = other[name]
            assert value == (
                pytest.approx(expected, rel=1e-5) if type(value) is float else expected
            )


def test_batches_fit_together_whatever_fails(pairs, options):
    score, batch = PairScorer(**options), texts(pairs)
    whole = score(batch)
    parts = [score(batch.slice(*cut)) for cut in ((0, 9), (9, 1), (10, 0), (10, 30))]
    assert {part.schema for part in parts} == {whole.schema}
    assert_alike(pyarrow.concat_tables(parts).to_pylist(), whole.to_pylist())


def test_mistakes(options, context_path):
    score = PairScorer(**options)
    with pytest.raises(TableError, match="the batch: has no column 'candidate'"):
        score({"reference": ["a.png"]})
    with pytest.raises(UsageError, match="has a column 'error', as the results have"):
        score({"reference": ["a.png"], "candidate": ["b.png"], "error": [""]})
    with pytest.raises(RankingError, match="unknown distortion"):
        PairScorer(ranking="colour,blur")
    with pytest.raises(UsageError, match="say what matters"):
        PairScorer()
    with pytest.raises(UsageError, match="unknown device"):
        PairScorer(ranking="color,blur", device="tpu")
    with pytest.raises(UsageError, match="frozen in"):
        PairScorer(context_files=str(context_path), ranking="color,blur")


@pytest.mark.filterwarnings("ignore")
def test_two_workers_of_ray(pairs, by_command, options, tmp_path):
    ray = pytest.importorskip("ray")
    pytest.importorskip("ray.data")
    # A CPU for each worker, and one to read and write.
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    try:
        scored = ray.data.from_arrow(texts(pairs)).repartition(4)
        scored = scored.map_batches(
            PairScorer,
            fn_constructor_kwargs=options,
            batch_format="pyarrow",
            batch_size=10,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        scored.write_parquet(str(tmp_path / "scored"))
    finally:
        ray.shutdown()
    found = parquet.read_table(tmp_path / "scored").sort_by("scene")
    assert_alike(found.to_pylist(), by_command)
