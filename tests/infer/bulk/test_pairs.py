"""Files of pairs: their rows, and the errors of invalid ones."""

from __future__ import annotations

import json

import pytest

from dps_infer.bulk.pairs import read_pairs, scan_pairs
from dps_infer.errors import DpsError, TableError, UsageError
from dps_infer.files.tables import Kind


def read(tmp_path, data: bytes | str, name: str = "pairs.csv"):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return scan_pairs(path), list(read_pairs(path))


def fault(row) -> str:
    assert isinstance(row.source, DpsError)
    text = str(row.source)
    assert "\n" not in text
    return text


def test_paths_start_from_the_folder_of_the_file(tmp_path):
    _, (relative, absolute) = read(tmp_path, "reference,candidate\na.png,b/c.png\n/x/a,/x/b\n")
    assert relative.source == (str(tmp_path / "a.png"), str(tmp_path / "b/c.png"))
    assert absolute.source == ("/x/a", "/x/b")
    assert relative.values == {"reference": "a.png", "candidate": "b/c.png"}


def test_csv_as_programs_write_it(tmp_path):
    text = '\ufeffid,candidate,reference\r\n007,"b, ""c"".png","line\nbreak.png"\r\n\r\n8,d,e'
    found, rows = read(tmp_path, text)
    assert list(found.columns) == ["id", "candidate", "reference"]
    assert found.rows == len(rows) == 2
    assert rows[0].values == {
        "id": "007",
        "candidate": 'b, "c".png',
        "reference": "line\nbreak.png",
    }
    assert rows[1].source == (str(tmp_path / "e"), str(tmp_path / "d"))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"a", "has 1 cells, expected 2"),
        (b"a,b,c", "has 3 cells, expected 2"),
        (b",b", "has nothing as its reference"),
        (b"a,  ", "as its candidate"),
        (b"\xff\xfe.png,b", "not UTF-8"),
        (b'"a"x,b', "not CSV"),
    ],
)
def test_a_broken_row_of_csv_leaves_the_others(tmp_path, line, words):
    found, rows = read(tmp_path, b"reference,candidate\na,b\n" + line + b"\nc,d\n")
    assert found.rows == 3
    assert "row 2" in fault(rows[1])
    assert words in fault(rows[1])
    assert rows[0].source == (str(tmp_path / "a"), str(tmp_path / "b"))
    assert rows[2].source == (str(tmp_path / "c"), str(tmp_path / "d"))
    json.dumps(rows[1].values).encode()


def test_a_quote_that_is_never_closed_is_a_broken_row(tmp_path):
    _, rows = read(tmp_path, 'reference,candidate\na,b\n"c,d\n')
    assert "not CSV" in fault(rows[1])


def test_json_lines(tmp_path):
    lines = [
        {"reference": "a", "candidate": "b", "n": 1, "ok": True},
        {"reference": "a", "candidate": "b", "n": 0.5, "tags": ["x"]},
        {"reference": 7, "candidate": "b"},
        {"candidate": "b"},
    ]
    text = "\n".join([*map(json.dumps, lines), "", "[1]", "{broken", '{"reference": "\\u0000"}'])
    found, rows = read(tmp_path, text, "pairs.jsonl")
    assert found.columns == {
        "reference": Kind.text,
        "candidate": Kind.text,
        "n": Kind.number,
        "ok": Kind.boolean,
        "tags": Kind.text,
    }
    assert [row.values for row in rows[:4]] == lines
    assert rows[1].source == (str(tmp_path / "a"), str(tmp_path / "b"))
    expected = ["has 7 as", "has nothing", "not a JSON object", "not JSON", "null character"]
    for row, words in zip(rows[2:], expected, strict=True):
        assert words in fault(row)


def pyarrow_modules():
    return pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("timestamp[us]", 2**62),
        ("timestamp[ns]", 1),
        ("date32", 2**30),
        ("duration[s]", 2**60),
        ("time64[ns]", 1),
    ],
)
def test_values_that_cannot_be_copied_are_found_before_scoring(tmp_path, kind, value):
    pyarrow, parquet = pyarrow_modules()
    path = tmp_path / "pairs.parquet"
    integers = pyarrow.array([None, value], pyarrow.int32() if kind == "date32" else None)
    # Behind the first group of rows, which is read at once.
    columns = {"reference": ["a"] * 2, "candidate": ["b"] * 2, "when": integers.cast(kind)}
    table = pyarrow.concat_tables([pyarrow.table(columns).slice(0, 1)] * 5000)
    parquet.write_table(pyarrow.concat_tables([table, pyarrow.table(columns)]), path)
    with pytest.raises(TableError, match=r"its column 'when' .* cannot be copied"):
        scan_pairs(path)


def test_parquet(tmp_path):
    pyarrow, parquet = pyarrow_modules()
    table = {"n": [1, 2], "reference": ["a", None], "candidate": ["b", "c"]}
    path = tmp_path / "pairs.parquet"
    parquet.write_table(pyarrow.table(table), path)
    found, rows = scan_pairs(path), list(read_pairs(path))
    assert found.columns == {
        "n": pyarrow.int64(),
        "reference": pyarrow.string(),
        "candidate": pyarrow.string(),
    }
    assert rows[0].source == (str(tmp_path / "a"), str(tmp_path / "b"))
    assert rows[1].values == {"n": 2, "reference": None, "candidate": "c"}
    assert "has nothing as its reference" in fault(rows[1])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("p.csv", b"", "is empty"),
        ("p.csv", b"reference;candidate\na;b\n", "is separated by semicolons, expected commas"),
        ("p.csv", b"reference\tcandidate\na\tb\n", "is separated by tabs"),
        ("p.csv", b"reference,candidate\ra,b\rc,d", "carriage returns alone"),
        (
            "p.csv",
            "reference,candidate,größe\na,b,1\n".encode("latin-1"),
            "header line is not UTF-8",
        ),
        ("p.csv", b'"reference"x,candidate\na,b\n', "header line is not CSV"),
        ("p.csv", b"reference,candidate\n", "has no pairs"),
        ("p.csv", b"reference,candidate\r\n\r\n", "has no pairs"),
        ("p.csv", b"reference,distorted\na,b\n", "no column 'candidate'"),
        ("p.csv", b"reference,candidate,reference\n", "twice"),
        ("p.csv", "reference,candidate\n".encode("utf-16"), "UTF-16"),
        ("p.csv", b"reference,candidate\n" + b"x" * 2_000_000, "is not a table"),
        ("p.jsonl", b"", "has no pairs"),
        ("p.jsonl", b"no json at all\nnor here\n", "no row of it can be used: row 1 is not JSON"),
        ("p.jsonl", b'{"a": 1}\n', "no column 'reference'"),
        ("p.parquet", b"PAR1 or not", "not a Parquet file"),
    ],
)
def test_faults_of_the_file_itself(tmp_path, name, data, words):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    with pytest.raises(TableError, match=words) as refused:
        read(tmp_path, data, name)
    assert str(refused.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(refused.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(TableError, match="no such file"):
        scan_pairs(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(TableError, match="is a folder"):
        scan_pairs(tmp_path / "folder.csv")
    with pytest.raises(UsageError, match=r"\.csv, \.jsonl, \.parquet"):
        scan_pairs(tmp_path / "pairs.xlsx")
