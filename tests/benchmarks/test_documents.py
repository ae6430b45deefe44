"""Tables in the documents depend on the records only."""

from __future__ import annotations

import json

import pytest

from benchmarks.shared import documents
from benchmarks.shared.documents import DocumentError, fill, render, source, update
from benchmarks.shared.record import ROOT, read_record
from benchmarks.shared.table import Table

BEFORE, AFTER = "# Figures\n\ntext\n\n", "\n\nmore text\n"
EMPTY = "<!-- table: gallery -->\n<!-- end -->"


@pytest.fixture
def records(measured, tmp_path):
    """A folder with one record."""
    measured("gallery")
    return tmp_path / "records"


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "figures.md"
    path.write_text(BEFORE + EMPTY + AFTER, encoding="utf-8")
    return path


def test_documents_are_up_to_date(cli):
    code, _, err = cli("tables", "--check")
    assert code == 0, err


def test_a_table_is_made_from_its_record(records, document):
    assert update([document], check=False, records=records) == ["figures.md"]
    text = document.read_text(encoding="utf-8")
    assert text.startswith(BEFORE + "<!-- table: gallery -->\n\n|")
    assert text.endswith("\n\n<!-- end -->" + AFTER)
    record = read_record(records / "gallery.json")
    figures = json.loads(bytes(record.figures))
    for entry in figures["entries"]:
        assert entry["name"] in text
        assert entry["score"] is None or f"{entry['score']:.3f}" in text
    assert source(record) in text
    # A second time there is nothing to change.
    assert update([document], check=False, records=records) == []


def test_a_figure_that_changes_changes_the_table(records, document):
    update([document], check=False, records=records)
    before = document.read_text(encoding="utf-8")
    path = records / "gallery.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert "0.123" not in before
    record["figures"]["entries"][0]["score"] = 0.12345
    path.write_text(json.dumps(record), encoding="utf-8")
    assert update([document], check=True, records=records) == ["figures.md"]
    assert document.read_text(encoding="utf-8") == before
    update([document], check=False, records=records)
    assert "| 0.123 |" in document.read_text(encoding="utf-8")


def test_a_table_that_is_edited_by_hand_is_found(records, document):
    update([document], check=False, records=records)
    text = document.read_text(encoding="utf-8")
    document.write_text(text.replace("| 2AFC |", "| 2AFC (good) |"), encoding="utf-8")
    assert update([document], check=True, records=records) == ["figures.md"]


def test_check_fails_where_a_table_differs(cli, monkeypatch, tmp_path):
    path = tmp_path / "README.md"
    path.write_text(EMPTY + "\n", encoding="utf-8")
    monkeypatch.setattr("benchmarks.__main__.documents", lambda: [path])
    code, out, err = cli("tables", "--check")
    assert (code, out) == (1, "")
    assert "README.md" in err
    assert path.read_text(encoding="utf-8") == EMPTY + "\n"
    assert cli("tables")[0] == 0
    assert cli("tables", "--check")[0] == 0


def test_a_table_without_a_record_says_what_to_run(records):
    assert render("backbone_speed", records) == (
        "Not measured yet: `python -m benchmarks backbone_speed`"
    )


def test_a_block_without_a_record_keeps_what_it_shows(records):
    text = "<!-- table: backbone_speed -->\n\n| older |\n\n<!-- end -->"
    assert fill(text, "figures.md", records) == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("<!-- table: gallery -->\n", "without its"),
        ("<!-- end -->\n", "without its"),
        ("<!-- table: gallery -->\n<!-- table: gallery -->\n<!-- end -->\n", "without its"),
        ("<!-- table: nothing -->\n<!-- end -->\n", "no benchmark 'nothing'"),
        ("<!-- table: gallery.none -->\n<!-- end -->\n", r"no table 'gallery\.none'"),
    ],
)
def test_a_block_that_cannot_be_filled_is_refused(records, text, problem):
    with pytest.raises(DocumentError, match=rf"^figures\.md: .*{problem}"):
        fill(text, "figures.md", records)


def test_the_source_names_machine_versions_commit_and_command(records):
    record = read_record(records / "gallery.json")
    line = source(record)
    assert "\n" not in line
    assert record.machine.processor in line
    assert f"Python {record.machine.python}" in line
    assert f"onnxruntime {record.versions['onnxruntime']}" in line
    assert line.endswith("`python -m benchmarks gallery`")
    assert str(record.commit)[:7] in line or record.commit is None


def test_markdown_of_a_table():
    table = Table(("a", "b"), [("1", ""), ("x|y", "2")])
    assert table.markdown() == "| a | b |\n| --- | --- |\n| 1 | |\n| x\\|y | 2 |"


def test_a_printed_table_keeps_brackets(capsys):
    Table(("a",), [("[0, 1]",)], "a title").print()
    assert "[0, 1]" in capsys.readouterr().out


def test_blocks_of_the_documents_name_their_tables():
    names = [
        name
        for path in documents.documents(ROOT)
        for name in documents.block_names(path.read_text(encoding="utf-8"))
    ]
    assert "accuracy" in names
    assert "throughput.speed" in names
