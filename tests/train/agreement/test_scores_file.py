"""Scores from a CSV file: the parsed values, and one report of all problems."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scores_helpers import COLUMNS, write_scores
from train_helpers import photos
from triplet_helpers import write_csv, write_png

from dps_infer.errors import DataError, UsageError
from dps_train.agreement.scores.read import read_scores
from dps_train.agreement.scores.scores_file import read_scores_file


@pytest.fixture
def folder(tmp_path) -> Path:
    """r.png, s.png, a.png and b.png of one size, small.png of another."""
    for name, image in zip("rsab", photos(4, 20, 24), strict=True):
        write_png(tmp_path / f"{name}.png", image.numpy())
    write_png(tmp_path / "small.png", photos(1, 12, 24)[0].numpy())
    return tmp_path


def refused(path: Path) -> list[str]:
    """The problems of a file, without its name."""
    with pytest.raises(DataError) as caught:
        read_scores_file(path, higher_is_better=True)
    assert all(line.startswith(f"{path} row ") for line in caught.value.problems)
    assert all("\n" not in line for line in caught.value.lines)
    return [line.removeprefix(f"{path} ") for line in caught.value.problems]


def test_a_file_is_read_with_paths_relative_to_it(folder, monkeypatch):
    path = write_csv(
        folder / "mine.csv",
        [("r.png", "a.png", 3.5, "blur", 1), ("s.png", folder / "b.png", " -1e1 ", "", "")],
        COLUMNS,
    )
    monkeypatch.chdir("/")
    pairs = read_scores_file(path, higher_is_better=True)
    assert pairs.source == "mine"
    assert pairs.scores == (3.5, -10.0)
    assert pairs.kinds == ("blur", "")
    assert [path.name for path in (*pairs.references, *pairs.candidates)] == [
        "r.png", "s.png", "a.png", "b.png",
    ]  # fmt: skip
    assert pairs.candidates[0].samefile(folder / "a.png")
    np.testing.assert_array_equal(pairs.groups, [0, 1])
    np.testing.assert_array_equal(pairs.dissimilarity, [-3.5, 10.0])


def test_kind_and_level_may_be_left_out_and_columns_may_come_in_any_order(folder):
    text = "\ufeffscore, candidate,reference\r\n\r\n1,a.png,r.png\r\n2,b.png,s.png\r\n"
    (folder / "mine.csv").write_bytes(text.encode())
    pairs = read_scores_file(folder / "mine.csv", higher_is_better=False)
    assert pairs.kinds == ("", "")
    np.testing.assert_array_equal(pairs.dissimilarity, [1, 2])


def test_a_folder_that_holds_scores_csv_gives_the_set_its_name(tmp_path):
    write_scores(tmp_path / "ours")
    pairs = read_scores(tmp_path / "ours")
    assert (pairs.source, len(pairs)) == ("ours", 24)
    assert read_scores(tmp_path / "ours" / "scores.csv").sha256() == pairs.sha256()


def test_all_problems_are_listed_with_their_rows(folder):
    (folder / "text.png").write_text("no image")
    rows = [
        ("r.png", "a.png", 1),
        ("r.png", "gone.png", 2),
        ("gone.png", "b.png", "high"),
        ("r.png", "small.png", "nan"),
        ("r.png", "a.png", 3),
        ("r.png", "b.png"),
        ("", "text.png", ""),
        ("s.png", "b.png", 4),
    ]
    path = write_csv(folder / "mine.csv", rows, COLUMNS[:3])
    expected = [
        ("row 3: candidate", "gone.png: no such file"),
        ("row 4: score is 'high'", "expected a number"),
        ("row 4: reference", "gone.png: no such file"),
        ("row 5: score is 'nan'", "expected a number"),
        ("row 5: the sizes differ", "small.png is 24x12"),
        ("row 6: scores the pair of row 2 again", "keep one"),
        ("row 7: expected 3 values", "got 2"),
        ("row 8: reference is empty", "expected an image"),
        ("row 8: score is ''", "expected a number"),
        ("row 8: candidate", "text.png"),
    ]
    problems = refused(path)
    assert len(problems) == len(expected), problems
    for line, (beginning, part) in zip(problems, expected, strict=True):
        assert line.startswith(beginning)
        assert part in line


def test_one_reference_and_constant_scores_are_listed_with_the_other_problems(folder):
    rows = [("r.png", "a.png", 2), ("r.png", "b.png", 2), ("r.png", "gone.png", 2)]
    problems = refused(write_csv(folder / "mine.csv", rows, COLUMNS[:3]))
    assert len(problems) == 3
    assert problems[0].startswith("row 4: candidate")
    assert problems[1].startswith("row 4: all 3 rows have one reference")
    assert problems[2].startswith("row 4: every score is 2: expected scores that differ")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "row 1: the file is empty: expected reference,candidate,score"),
        ("reference,candidate,score\n", "row 1: is the last: expected rows"),
        ("reference,candidate\nr.png,a.png\n", "row 1: the columns are reference,candidate"),
        ("reference,candidate,score,mood\n", "row 1: the columns are reference,candidate,score,m"),
        ("score,reference,candidate,score\n", "row 1: the columns are score,"),
    ],
)
def test_columns_that_are_wrong_are_the_one_problem(folder, text, part):
    (folder / "mine.csv").write_text(text)
    (problem,) = refused(folder / "mine.csv")
    assert problem.startswith(part)


def test_bytes_that_are_no_text_cost_their_row_alone(folder):
    (folder / "mine.csv").write_bytes(
        b"reference,candidate,score\nr.png,a.png,1\nr.png,\xff.png,2\ns.png,b.png,3\n"
    )
    (problem,) = refused(folder / "mine.csv")
    assert problem.startswith("row 3: is not UTF-8 text")


def test_a_path_without_scores_is_refused_with_what_was_looked_for(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder, expected scores"):
        read_scores(tmp_path / "gone")
    with pytest.raises(UsageError) as caught:
        read_scores(tmp_path)
    for mark in ("scores.csv", "mos_with_names.txt (TID2013)", "dmos.csv (KADID-10k)", "CSIQ"):
        assert mark in str(caught.value)
    for mark in ("CID22_validation_set.csv (CID22)", "Train_Label (PIPAL)"):
        assert mark in str(caught.value)
    assert "\n" not in str(caught.value)
