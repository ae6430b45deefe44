"""Rows of results: their columns, and a lossless round trip through every format."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import KINDS, make_model, write

from dps_infer import Metric
from dps_infer.bulk import results
from dps_infer.errors import DpsError, OutputError, TableError, UsageError
from dps_infer.files.tables import Kind, open_table, read_lines

SUFFIXES = ["csv", "jsonl", "parquet"]


@pytest.fixture
def contexts(universal) -> dict[str, Metric]:
    return {"a": universal, "b": universal.in_context(ranking="blur,color")}


@pytest.fixture
def rows(contexts, photo) -> list[dict]:
    comparisons = {label: c.compare(photo, 255 - photo) for label, c in contexts.items()}
    given_ = [{"reference": "r, 1.png", "candidate": 'new\nline " é.png'}, {"reference": "r"}]
    return [
        given_[0] | results.row(comparisons, contexts),
        {"candidate": "c"} | given_[1] | results.row({}, contexts, error="no such\n  file"),
    ]


def test_columns_of_one_context(context, photo):
    names = list(results.columns({"fake": context}))
    parts = [f"part.{name}" for name in KINDS]
    assert names == ["distance", *parts, "identical", "notes", "context", "error"]
    comparison = context.compare(photo, 255 - photo)
    row = results.row({"fake": comparison}, {"fake": context})
    assert list(row) == names
    assert row["distance"] == comparison.distance
    assert {part: row[f"part.{part}"] for part in KINDS} == comparison.parts
    assert row["context"] == f"fake: {context.describe()}"
    assert (row["identical"], row["notes"], row["error"]) == (False, "", "")


def test_columns_of_several_contexts(contexts, rows):
    names = list(results.columns(contexts))
    assert names[:4] == ["distance.a", "distance.b", "part.a.rotate", "part.a.translate"]
    assert rows[0]["distance.b"] == pytest.approx(
        sum(rows[0][name] for name in names if name.startswith("part.b."))
    )
    assert rows[0]["context"].count(" | ") == 1


def test_a_file_without_amounts_has_no_parts(tmp_path):
    bare = Metric.load(write(tmp_path / "bare.onnx", make_model(kinds=False, amounts=False)))
    assert list(results.columns({"": bare})) == [
        "distance",
        "identical",
        "notes",
        "context",
        "error",
    ]


def test_an_error_leaves_no_numbers(contexts, rows):
    row = rows[1]
    assert row["error"] == "no such file"
    assert all(row[name] is None for name in row if name.startswith(("distance", "part")))
    assert row["identical"] is None
    assert row["context"] == rows[0]["context"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_read_is_what_was_written(tmp_path, contexts, rows, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"results.{suffix}"
    with results.open_results(path, contexts) as put:
        for row in rows:
            put(row)
    assert list(results.read_results(path)) == rows
    found = results.result_columns(path)
    assert found.inputs == ("reference", "candidate")
    assert found.distances == {"a": "distance.a", "b": "distance.b"}
    assert found.parts["b"]["blur"] == "part.b.blur"


@given(st.floats(0, allow_nan=False, allow_infinity=False), st.text(st.characters(codec="utf-8")))
def test_every_digit_and_letter_is_kept(tmp_path_factory, number, text):
    folder = tmp_path_factory.mktemp("digits")
    for suffix in ("csv", "jsonl"):
        path = folder / f"t.{suffix}"
        with open_table(path, {"text": Kind.text, "number": Kind.number}) as put:
            put({"text": text, "number": number})
        (line,) = read_lines(path)
        assert line.values["text"] == text
        assert float(line.values["number"]) == number


def test_many_rows_of_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path, count = tmp_path / "many.parquet", 9000
    columns = {"day": pyarrow.date32(), "n": Kind.integer, "mixed": Kind.text}
    with open_table(path, columns) as put:
        for number in range(count):
            put({"n": number, "mixed": [number]})
    assert [line.values["n"] for line in read_lines(path)] == list(range(count))
    assert parquet.read_schema(path).types[0] == pyarrow.date32()
    assert next(read_lines(path)).values == {"day": None, "n": 0, "mixed": "[0]"}


def test_nothing_is_left_of_a_file_that_was_not_finished(tmp_path, contexts):
    path = tmp_path / "results.csv"
    with pytest.raises(AttributeError), results.open_results(path, contexts) as put:
        put("no row")
    assert list(tmp_path.iterdir()) == []
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists"), results.open_results(path, contexts):
        pass
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("reference,candidate\na,b\n", "no column 'identical'"),
        ("reference,candidate,identical,context,error\n", "no column 'distance'"),
        ("reference,candidate,distance,identical,context,error\na,b,far,true,c,\n", "row 1"),
        ("reference,candidate,distance,identical,context,error\na,b,1,maybe,c,\n", "row 1"),
        ("reference,candidate,distance,identical,context,error\na,b,1\n", "row 1 has 3 cells"),
    ],
)
def test_what_is_no_file_of_results_is_refused(tmp_path, text, words):
    path = tmp_path / "other.csv"
    path.write_text(text)
    with pytest.raises(TableError, match=words) as refused:
        list(results.read_results(path))
    assert str(refused.value).startswith(f"{path}: ")


def test_parquet_without_pyarrow_is_told(tmp_path, contexts, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with (
        pytest.raises(DpsError, match="pip install"),
        results.open_results(tmp_path / "a.parquet", contexts),
    ):
        pass


def test_an_unknown_suffix_is_wrong_usage(tmp_path, contexts):
    for name in ("a.txt", "a"):
        with pytest.raises(UsageError, match="expected a name"):
            results.open_results(tmp_path / name, contexts).__enter__()


def test_numbers_are_python_numbers(context, photo):
    row = results.row({"": context.compare(photo, photo)}, {"": context})
    assert not any(isinstance(value, np.generic) for value in row.values())
    assert row["identical"] is True
