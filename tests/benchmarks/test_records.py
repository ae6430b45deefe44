"""Records describe a run; the committed ones can be read, and name no machine."""

from __future__ import annotations

import json
import platform
import re
from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest

from benchmarks.shared.record import (
    RECORDS,
    RecordError,
    Run,
    read_record,
    record_path,
    shown,
    write_record,
)
from benchmarks.shared.suite import load, modules, record_tables

COMMITTED = sorted(RECORDS.glob("*.json"))


class Figures(msgspec.Struct):
    value: float


def a_record(**options):
    return Run("gallery", options, dict.fromkeys(options)).record(Figures(0.1), {})


def strings(value: object) -> list[str]:
    """Return every text in a JSON value, keys included."""
    if isinstance(value, dict):
        return [text for item in value.items() for one in item for text in strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_records_are_read_and_make_tables(path):
    record = read_record(path)
    assert record.benchmark == path.stem
    assert record.commit is not None
    assert re.fullmatch("[0-9a-f]{40}", record.commit)
    tables = record_tables(record)
    assert tables
    for table in tables.values():
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert all(isinstance(cell, str) for row in table.rows for cell in row)


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_committed_records_name_no_machine(path):
    for text in strings(json.loads(path.read_text(encoding="utf-8"))):
        assert not re.search(r"(^|\s|=)(/|~|[A-Z]:\\)", text), text
        assert platform.node() not in text.split(), text


def test_a_record_says_what_was_run_where():
    record = a_record(seed=3, data=Path("photos/val"), threads=None, force=False)
    assert record.seed == 3
    assert record.options == {"seed": 3, "data": "photos/val", "threads": None, "force": False}
    assert record.command == "python -m benchmarks gallery --seed 3 --data photos/val --force False"
    age = datetime.now(timezone.utc) - datetime.strptime(record.date, "%Y-%m-%dT%H:%M:%S%z")
    assert abs(age.total_seconds()) < 60
    assert record.machine.processor
    assert record.machine.python == platform.python_version()
    assert record.machine.threads >= 1
    assert record.versions["numpy"]
    assert "dps-toolkit" in record.versions


def test_the_command_leaves_defaults_out():
    run = Run("accuracy", {"seed": 0, "rankings": 5}, {"seed": 0, "rankings": 720})
    record = run.record(Figures(1), {})
    assert record.command == "python -m benchmarks accuracy --rankings 5"
    assert record.options == {"seed": 0, "rankings": 5}


@pytest.mark.parametrize(
    ("given", "published"),
    [
        ("/home/somebody/photos/val", "val"),
        ("../photos/val", "val"),
        ("photos/val/", "photos/val"),
        ("sample", "sample"),
    ],
)
def test_only_relative_paths_are_published(given, published):
    assert shown(given) == published
    record = a_record(data=given, train_data=[given, "sample"])
    assert record.options == {"data": published, "train_data": [published, "sample"]}
    assert "somebody" not in record.command


def test_a_record_is_written_and_read_back(tmp_path):
    record = a_record(seed=1, memory=[500, 5000], data=["sample"])
    write_record(record, tmp_path / "gallery.json")
    write_record(record, tmp_path / "gallery.json")
    read = read_record(tmp_path / "gallery.json")
    assert read.read_figures(Figures) == record.read_figures(Figures) == Figures(0.1)
    read.figures = record.figures
    assert read == record


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', "\x00"])
def test_a_file_that_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "gallery.json").write_text(text)
    with pytest.raises(RecordError, match=r"gallery\.json"):
        read_record(tmp_path / "gallery.json")


def test_a_record_of_another_format_is_refused(tmp_path):
    path = tmp_path / "gallery.json"
    write_record(a_record(), path)
    path.write_text(path.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(RecordError, match="format 2: expected 1"):
        read_record(path)


def test_figures_of_an_older_benchmark_are_refused():
    with pytest.raises(RecordError, match="run python -m benchmarks gallery again"):
        a_record().read_figures(load("gallery").Figures)


def test_records_are_named_after_their_benchmarks():
    assert record_path("gallery") == RECORDS / "gallery.json"
    assert all(Path(*module.split(".")).stem == name for name, module in modules().items())
