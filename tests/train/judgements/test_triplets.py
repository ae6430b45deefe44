"""Judgements from CSV files: parsing, refusals, and the decoding of images for a metric."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from train_helpers import photos, seeded
from triplet_helpers import COLUMNS, write_csv, write_judgements, write_png

from dps_infer.errors import MOST_PROBLEMS, DataError, DpsError, ImageError, UsageError
from dps_train.data.crops import resize_images
from dps_train.data.sources import read_pixels
from dps_train.distortions.distortion import quantize
from dps_train.judgements.read_triplets import read_triplets
from dps_train.judgements.triplets import (
    Triplets,
    load_triplets,
    pixel_batches,
    split_triplets,
    triplet_batches,
)

NAMES = ("r", "a", "b")


@pytest.fixture
def folder(tmp_path) -> Path:
    """r.png, a.png and b.png of one size, small.png of another."""
    for name, image in zip(NAMES, photos(3, 20, 24), strict=True):
        write_png(tmp_path / f"{name}.png", image.numpy())
    write_png(tmp_path / "small.png", photos(1, 12, 24)[0].numpy())
    return tmp_path


def row(judge: object = 1, reference="r.png", p0="a.png", p1="b.png") -> list[object]:
    return [reference, p0, p1, judge]


def refused(path: Path) -> tuple[str, ...]:
    """The problems of a file, without its name."""
    with pytest.raises(DataError) as caught:
        read_triplets(path)
    assert all(line.startswith(f"{path} row ") for line in caught.value.problems)
    assert all("\n" not in line for line in caught.value.lines)
    return tuple(line.removeprefix(f"{path} ") for line in caught.value.problems)


# --- parsing --------------------------------------------------------------------------


def test_paths_are_relative_to_the_file(folder, monkeypatch):
    (folder / "sub").mkdir()
    rows = [row(0), [folder / "r.png", "sub/../b.png", "a.png", " 0.25 "]]
    path = write_csv(folder / "judged.csv", rows)
    monkeypatch.chdir("/")
    triplets = read_triplets(path)
    assert len(triplets) == 2
    assert triplets.source == "judged.csv"
    assert triplets.judge == (0, 0.25)
    for paths, names in (("reference", "rr"), ("p0", "ab"), ("p1", "ba")):
        for read, name in zip(getattr(triplets, paths), names, strict=True):
            assert read.samefile(folder / f"{name}.png")


def test_columns_may_come_in_any_order_after_a_mark_and_among_empty_lines(folder):
    text = "\ufeffjudge, p1,p0 ,reference\r\n\r\n1,b.png,a.png,r.png\r\n\r\n"
    (folder / "judged.csv").write_bytes(text.encode())
    triplets = read_triplets(folder / "judged.csv")
    assert [path.name for path in (*triplets.reference, *triplets.p0, *triplets.p1)] == [
        "r.png",
        "a.png",
        "b.png",
    ]


def test_sizes_may_differ_between_triplets(folder):
    small = ["small.png"] * 3
    path = write_csv(folder / "judged.csv", [row(), [*small, 0.5]])
    assert len(read_triplets(path)) == 2


# --- refusals -------------------------------------------------------------------------


def test_all_problems_of_a_file_are_listed_with_their_rows(folder):
    (folder / "text.png").write_text("no image")
    rows = [
        row(),
        row(p0="gone.png"),
        row("1.5"),
        row(-0.1, p1="small.png"),
        ["r.png", "a.png", 1],
        row("nan"),
        row("first", reference="text.png", p1="gone.png"),
        row("", p0=""),
        row(0.5),
    ]
    problems = refused(write_csv(folder / "judged.csv", rows))
    expected = [
        (3, "p0", "gone.png: no such file"),
        (4, "'1.5'", "from 0 (p0 is closer) to 1"),
        (5, "'-0.1'", "from 0"),
        (5, "the sizes differ", "small.png is 24x12"),
        (6, "expected 4 values", "got 3"),
        (7, "'nan'", "from 0"),
        (8, "'first'", "from 0"),
        (8, "reference", "text.png"),
        (8, "p1", "gone.png"),
        (9, "''", "from 0"),
        (9, "p0", "is a folder"),
    ]
    assert len(problems) == len(expected)
    for line, (number, *parts) in zip(problems, expected, strict=True):
        assert line.startswith(f"row {number}: ")
        assert all(part in line for part in parts), line


@pytest.mark.parametrize(
    "header",
    ["reference,p0,p1", "refrence,p0,p1,judge", "a,b,c,d", "reference,p0,p1,judge,who", "p0,p0"],
)
def test_wrong_columns(folder, header):
    path = folder / "judged.csv"
    path.write_text(f"{header}\n")
    (line,) = refused(path)
    assert line == f"row 1: the columns are {header}: expected reference,p0,p1,judge"


def test_rows_are_checked_under_wrong_columns_as_far_as_they_can_be(folder):
    path = write_csv(
        folder / "judged.csv", [row(7, p1="gone.png")], ("original", "p0", "p1", "judge")
    )
    problems = refused(path)
    assert [line[:6] for line in problems] == ["row 1:", "row 2:", "row 2:"]
    assert "original" in problems[0]
    assert "'7'" in problems[1]
    assert "gone.png" in problems[2]


@pytest.mark.parametrize(
    ("content", "number", "message"),
    [
        (b"", 1, "empty"),
        (b"\n\n", 1, "empty"),
        (b"reference,p0,p1,judge\n", 2, "no judgement"),
        ("reference,p0,p1,judge\n".encode("utf-16"), 1, "UTF-8"),
        ("reference,p0,p1,judge\n".encode("utf-16-le"), 1, "UTF-8"),
        (b"reference,p0,p1,judge\nr.png,a.png,b\xe9.png,1\n", 2, "UTF-8"),
        (b"reference;p0;p1;judge\nr.png;a.png;b.png;0,5\n", 1, "expected reference,p0,p1,judge"),
        (b'reference,p0,p1,judge\nr.png,"' + b"a" * 200_000, 2, "CSV"),
    ],
    ids=["empty", "blank", "header", "utf-16", "utf-16 bare", "latin-1", "semicolons", "quote"],
)
def test_files_that_are_no_judgements(folder, content, number, message):
    (folder / "judged.csv").write_bytes(content)
    (line,) = refused(folder / "judged.csv")
    assert line.startswith(f"row {number}: ")
    assert message in line


@given(st.binary(max_size=200))
def test_no_file_ends_in_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "judged.csv"
    path.write_bytes(b"reference,p0,p1,judge\n" * (len(content) % 2) + content)
    with pytest.raises(DataError):
        read_triplets(path)


@pytest.mark.parametrize("there", ["nothing", "folder"])
def test_a_file_that_cannot_be_opened(tmp_path, there):
    path = tmp_path / "judged.csv"
    if there == "folder":
        path.mkdir()
    with pytest.raises(UsageError, match=r"judged\.csv cannot be read .*reference,p0,p1,judge"):
        read_triplets(path)


def test_of_many_problems_the_first_are_told_and_the_rest_counted(folder):
    path = write_csv(folder / "judged.csv", [row(2)] * (MOST_PROBLEMS + 312))
    with pytest.raises(DataError) as caught:
        read_triplets(path)
    lines = caught.value.lines
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[0].startswith(f"{path} row 2: ")
    assert lines[-1] == "and 312 more problems"
    assert str(caught.value).splitlines() == list(lines)
    assert DataError(["one"] * (MOST_PROBLEMS + 1)).lines[-1] == "and 1 more problem"
    assert DataError(["one"] * MOST_PROBLEMS).lines == ("one",) * MOST_PROBLEMS


def test_a_command_prints_a_line_for_each_problem(folder, monkeypatch, run_main):
    path = write_csv(folder / "judged.csv", [row(2), row(p0="go\nne\x1b.png"), row(3)])

    def fail(*_arguments, **_options):
        read_triplets(path)

    monkeypatch.setattr("dps_train.evaluate.printing.print_distortions", fail)
    code, out, err = run_main("dps_train.cli", "distortions")
    assert (code, out) == (1, "")
    lines = err.splitlines()
    assert len(lines) == 3
    for number, line in enumerate(lines, start=2):
        assert line.startswith(f"dps-train: error: {path} row {number}: ")
    assert "\x1b" not in err


# --- triplets that contradict one another ---------------------------------------------


def test_triplets_judged_both_ways_are_kept_with_a_note(folder):
    notes: list[str] = []
    rows = [row(1), row(1), row(0.5), row(0.9, p0="b.png", p1="a.png"), row(0)]
    triplets = read_triplets(write_csv(folder / "judged.csv", rows), notes.append)
    assert len(triplets) == 5
    (note,) = notes
    assert "1 triplet judged both ways" in note
    assert "rows 2 and 5" in note


def test_what_cannot_be_trained_on_is_refused_with_its_row(folder):
    rows = [row(1), row(0.5), row(0.9, p0="b.png", p1="a.png"), row(2), row(0), row(0.7)]
    path = write_csv(folder / "judged.csv", rows)
    with pytest.raises(DataError) as caught:
        read_triplets(path, fewest=7)
    first, judge, second, few = caught.value.problems
    assert first.startswith(f"{path} row 4: contradicts row 2: ")
    assert judge.startswith(f"{path} row 5: judge is '2'")
    assert second.startswith(f"{path} row 6: contradicts row 2: ")
    assert few == f"{path} row 7: is the last of 6: expected at least 7 judgements"


def test_agreeing_rows_give_no_note(folder):
    rows = [row(1), row(0.6), row(0, p0="b.png", p1="a.png"), row(0.5), row(0, reference="a.png")]
    notes: list[str] = []
    read_triplets(write_csv(folder / "judged.csv", rows), notes.append)
    assert notes == []


# --- selections and splits ------------------------------------------------------------


def numbered(count: int, references: int) -> Triplets:
    def paths(name: str, modulo: int) -> tuple[Path, ...]:
        return tuple(Path(f"{name}{i % modulo}") for i in range(count))

    judge = tuple(i / count for i in range(count))
    return Triplets("some", paths("r", references), paths("a", count), paths("b", count), judge)


def test_a_selection_keeps_rows_together():
    some = numbered(9, 9).select([7, 2])
    assert some == Triplets(
        "some",
        (Path("r7"), Path("r2")),
        (Path("a7"), Path("a2")),
        (Path("b7"), Path("b2")),
        (7 / 9, 2 / 9),
    )


def test_no_reference_is_both_trained_and_measured_on():
    triplets = numbered(100, 10)
    training, held_out = split_triplets(triplets, seeded(3))
    assert (len(training), len(held_out)) == (80, 20)
    assert not set(training.reference) & set(held_out.reference)
    assert sorted(training.judge + held_out.judge) == sorted(triplets.judge)
    assert split_triplets(triplets, seeded(3)) == (training, held_out)
    assert len({split_triplets(triplets, seeded(seed))[1] for seed in range(6)}) > 1


def test_too_few_references_to_hold_some_out():
    with pytest.raises(UsageError, match="some has 4 different reference images"):
        split_triplets(numbered(50, 4), seeded())


# --- pixels ---------------------------------------------------------------------------


def test_the_hash_sees_pixels_order_and_judgements(folder):
    def digest(*rows) -> str:
        return read_triplets(write_csv(folder / "judged.csv", rows)).sha256()

    base = digest(row(), row(0))
    os.rename(folder / "a.png", folder / "c.png")
    assert digest(row(p0="c.png"), row(0, p0="c.png")) == base
    different = [
        digest(row(0, p0="c.png"), row(p0="c.png")),
        digest(row(p0="c.png"), row(0.1, p0="c.png")),
        digest(row(p0="r.png"), row(0, p0="c.png")),
        digest(row(p0="c.png")),
    ]
    assert len({base, *different}) == 5


def test_batches_hold_the_images_at_the_working_size(folder):
    triplets = read_triplets(
        write_csv(folder / "judged.csv", [row(1), ["small.png"] * 3 + [0.5], row(0, p0="b.png")])
    )
    batches = list(triplet_batches(triplets, 2, 16))
    assert [len(batch.judge) for batch in batches] == [2, 1]
    assert torch.cat([batch.judge for batch in batches]).tolist() == [1, 0.5, 0]
    for name in ("reference", "p0", "p1"):
        images = torch.cat([getattr(batch, name) for batch in batches])
        assert images.shape == (3, 3, 16, 16)
        expected = resize_images([read_pixels(path) for path in getattr(triplets, name)], 16)
        # `whole` rounds to levels; a metric resizes without.
        assert torch.allclose(images, expected, atol=0.51 / 255)
        assert not torch.equal(quantize(images), images)


def test_at_the_working_size_pixels_stay_as_they_are(folder):
    triplets = read_triplets(write_csv(folder / "judged.csv", [["small.png"] * 3 + [1]]))
    square = write_png(folder / "square.png", photos(1, 16, 16)[0].numpy())
    loaded = load_triplets(Triplets("one", (square,), (square,), (square,), (1,)), 16)
    assert torch.allclose(loaded.p0[0].permute(1, 2, 0) * 255, photos(1, 16, 16)[0].float())
    assert load_triplets(triplets, 16).p0.shape == (1, 3, 16, 16)


def test_pixel_batches_hold_one_size_and_keep_the_order(folder):
    files = [folder / name for name in ("r.png", "a.png", "b.png", "small.png", "r.png")]
    batches = list(pixel_batches((files, files[:1] + files[1:]), 2))
    assert [len(first) for first, _ in batches] == [2, 1, 1, 1]
    seen = [image for first, _ in batches for image in first]
    assert all(np.array_equal(a, read_pixels(f)) for a, f in zip(seen, files, strict=True))
    assert seen[0].dtype == np.uint8


def test_pixel_batches_of_different_sizes_in_a_row(folder):
    with pytest.raises(ImageError, match=r"small\.png is 24x12"):
        list(pixel_batches(([folder / "r.png"], [folder / "small.png"]), 4))


def test_an_image_that_has_gone_since(folder):
    triplets = read_triplets(write_csv(folder / "judged.csv", [row()]))
    (folder / "b.png").unlink()
    for function in (Triplets.sha256, lambda some: load_triplets(some, 16)):
        with pytest.raises(DpsError, match=r"b\.png: no such file"):
            function(triplets)


# --- the judgements that other tests learn from ---------------------------------------


def test_judgements_follow_the_hidden_scalars(tmp_path):
    made = write_judgements(tmp_path, 40)
    triplets = read_triplets(made.path)
    assert len(triplets) == 40
    chosen = (made.z1 @ made.weights < made.z0 @ made.weights).float()
    assert torch.equal(chosen, torch.tensor(triplets.judge))
    assert 0.2 < chosen.mean() < 0.8
    again = write_judgements(tmp_path / "again", 40)
    assert read_triplets(again.path).sha256() == triplets.sha256()
    assert COLUMNS == ("reference", "p0", "p1", "judge")
