"""Folders: pairs by relative path, files without a counterpart, and every two images of one."""

from __future__ import annotations

import csv
import os
from pathlib import Path, PurePath

import numpy as np
import pytest
from infer_helpers import encode

from dps_infer.bulk.folder import PairScore, score_folder
from dps_infer.bulk.folder_pairs import FolderPair, all_pairs, find_images, matching_pairs
from dps_infer.bulk.rule import score_by_rule
from dps_infer.compare.rule import Rule
from dps_infer.errors import ImageError, UsageError


def gray(green: int = 0) -> bytes:
    """Encode a gray image whose green is brighter by a step."""
    pixels = np.full((12, 16, 3), 100, np.uint8) + np.array([0, green, 0], np.uint8)
    return encode(".png", pixels)


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


@pytest.fixture
def folders(tmp_path):
    """Three pairs, one of them in a folder further down; the farthest is b.png."""
    names = ["a.png", "b.png", "sub/c.PNG"]
    reference = fill(tmp_path / "reference", dict.fromkeys(names, gray()))
    candidate = fill(
        tmp_path / "candidate", dict(zip(names, (gray(), gray(60), gray(10)), strict=True))
    )
    return reference, candidate


# --- pairs ----------------------------------------------------------------------------


def test_pairs_are_matched_by_relative_path(folders):
    first, second = (find_images(folder) for folder in folders)
    pairs = matching_pairs(first, second)
    assert [pair.candidate.relative_to(folders[1]).as_posix() for pair in pairs] == [
        "a.png",
        "b.png",
        "sub/c.PNG",
    ]
    assert not any(pair.missing for pair in pairs)


def test_images_are_told_by_their_content_too(cli, tmp_path, photo, context_path):
    for folder, pixels in (("a", photo), ("b", 255 - photo)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.png").write_bytes(encode(".png", photo))
        (tmp_path / folder / "IMG_1").write_bytes(encode(".jpg", pixels))
        (tmp_path / folder / "notes.txt").write_text("no image")
    found = find_images(tmp_path / "a")
    assert [str(file) for file in found.files] == ["IMG_1", "same.png"]
    assert found.left_out == (PurePath("notes.txt"),)
    options = ("--context", context_path, "--threshold", "0.01")
    assert cli("folder", tmp_path / "a", tmp_path / "b", *options).code == 3


def test_other_files_are_left_out_and_counted(tmp_path):
    files = ["a.png", "notes.txt", ".hidden.png", ".cache/b.png", "c", "d/e.jpeg", "f.heic"]
    found = find_images(fill(tmp_path / "mixed", dict.fromkeys(files, b"")))
    # A format that is not read here is an error later on, and no absence.
    assert found.files == tuple(PurePath(name) for name in ("a.png", "d/e.jpeg", "f.heic"))
    assert {path.as_posix() for path in found.left_out} == {
        *(".cache/b.png", ".hidden.png", "c", "notes.txt")
    }


def test_every_known_format_is_told_without_a_suffix(tmp_path, photo):
    files = {f"{name}-file": encode(f".{name}", photo) for name in ("jpg", "png", "webp", "bmp")}
    files |= {"tiff": encode(".tiff", photo), "ppm": encode(".ppm", photo)}
    files |= {"a.mpo": encode(".jpg", photo), "a.jfif": encode(".jpg", photo)}
    files |= {"gif": b"GIF89a" + bytes(9), "jxl": b"\0\0\0\x0cJXL \r\n", "exr": b"\x76\x2f\x31\x01"}
    files |= {"big.tif8": b"II\x2b\0" + bytes(9), "comment": b"P5\n# by hand\n2 2\n255\n1234"}
    texts = {
        "p.txt": b"P1 is urgent",
        "q.txt": b"P5 3 things",
        "r.txt": b"BMW",
        "s.txt": b"P7 or so",
    }
    found = find_images(fill(tmp_path / "mixed", {**files, **texts}))
    assert {path.name for path in found.files} == set(files)
    assert {path.name for path in found.left_out} == set(texts)


def test_what_is_skipped_is_named(cli, folders, context_path):
    fill(folders[0], {"notes.txt": b"text", "sub/.DS_Store": b""})
    fill(folders[1], {f"{number}.log": b"" for number in range(30)})
    lines = cli("folder", *folders, "--context", context_path).err.splitlines()
    (first,) = (line for line in lines if "notes.txt" in line)
    assert first == (
        f"dps-infer: note: files left out in {folders[0]}, as hidden or no images: notes.txt, "
        "sub/.DS_Store"
    )
    (second,) = (line for line in lines if "0.log" in line)
    assert second.endswith("and 10 more")


def test_links_to_folders_are_followed_once(tmp_path):
    folder = fill(tmp_path / "folder", {"a.png": b"", "sub/b.png": b""})
    (folder / "sub" / "back").symlink_to(folder, target_is_directory=True)
    elsewhere = fill(tmp_path / "elsewhere", {"c.png": b""})
    (folder / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert {file.as_posix() for file in find_images(folder).files} == {
        "a.png",
        "linked/c.png",
        "sub/b.png",
    }


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("missing", "no such folder"), ("file", "is a file"), ("empty", "has no images")],
)
def test_folders_that_cannot_be(tmp_path, kind, expected):
    folder = tmp_path / kind
    if kind == "file":
        folder.write_bytes(b"")
    elif kind == "empty":
        folder.mkdir()
    with pytest.raises(ImageError, match=expected):
        find_images(folder)


def test_suffixes_can_be_left_out_of_it(tmp_path):
    first = find_images(fill(tmp_path / "png", {"a.png": b"", "b.c.png": b""}))
    second = find_images(fill(tmp_path / "jpg", {"a.jpg": b"", "b.c.jpg": b""}))
    assert all(pair.missing for pair in matching_pairs(first, second))
    pairs = matching_pairs(first, second, any_suffix=True)
    assert [(pair.reference.name, pair.candidate.name) for pair in pairs] == [
        ("a.png", "a.jpg"),
        ("b.c.png", "b.c.jpg"),
    ]
    twice = find_images(fill(tmp_path / "jpg", {"a.png": b""}))
    with pytest.raises(UsageError, match="a stands for 2 files"):
        matching_pairs(first, twice, any_suffix=True)


def test_every_two_files_once(tmp_path):
    found = find_images(fill(tmp_path / "one", dict.fromkeys(["a.png", "b.png", "c.png"], b"")))
    count, pairs = all_pairs(found)
    assert count == 3
    assert [(pair.reference.name, pair.candidate.name) for pair in pairs] == [
        ("a.png", "b.png"),
        ("a.png", "c.png"),
        ("b.png", "c.png"),
    ]


def test_one_image_makes_no_pair(tmp_path):
    with pytest.raises(UsageError, match="at least two"):
        all_pairs(find_images(fill(tmp_path / "one", {"a.png": b""})))


# --- scores ---------------------------------------------------------------------------


def test_the_worst_are_kept(folders, context):
    pairs = matching_pairs(*(find_images(folder) for folder in folders))
    scores = score_folder(pairs, 3, {"x": context}, worst=2, thresholds={"x": 0.1}, batch_size=1)
    assert [scored.pair.candidate.name for scored in scores.worst] == ["b.png", "c.PNG"]
    assert (scores.pairs, scores.compared, scores.identical, scores.above) == (3, 3, 1, True)
    spread = scores.spreads["x"]
    assert spread.median == pytest.approx(10 / 255, rel=1e-5)
    assert spread.largest == pytest.approx(60 / 255, rel=1e-5)
    assert spread.above == 1


def test_progress_ends_with_all(folders, context):
    pairs = matching_pairs(*(find_images(folder) for folder in folders))
    shown = []
    score_folder(pairs, 3, {"x": context}, batch_size=2, progress=lambda *now: shown.append(now))
    assert shown == [(2, 3), (3, 3)]


# --- the command ----------------------------------------------------------------------


def test_a_table_with_the_worst_first(cli, folders, context_path):
    outcome = cli("folder", *folders, "--context", context_path)
    assert outcome.code == 0
    assert outcome.out.splitlines() == [
        "file       distance",
        "b.png      0.24 = 0.24 softer (about sigma 2.4 px)",
        "sub/c.PNG  0.039 = 0.039 softer (about sigma 0.39 px)",
        "a.png      0 (identical images)",
        "context fake: color < rotate < blur (blur matters most)",
        "3 pairs: 3 compared, 1 identical, 0 not compared",
        "distance: median 0.0392, largest 0.235",
    ]


def test_only_some_are_shown(cli, folders, context_path):
    outcome = cli("folder", *folders, "--context", context_path, "--worst", 1)
    lines = outcome.out.splitlines()
    assert lines[1].startswith("b.png")
    assert lines[2] == "and 2 more, no farther (--worst)"
    assert "3 compared" in outcome.out


def test_contexts_are_columns(cli, folders, universal_path):
    given = ("--context", universal_path, "--ranking", "color,blur", "--ranking", "blur,color")
    lines = cli("folder", *folders, *given).out.splitlines()
    assert lines[0].split() == ["file", "[1]", "[2]"]
    assert lines[1].split() == ["b.png", "0.24", "(softer)", "0.094", "(softer)"]
    assert lines[-1].startswith("[2] distance: ")


@pytest.mark.parametrize(("threshold", "code"), [("0.1", 3), ("0.5", 0)])
def test_threshold(cli, folders, context_path, threshold, code):
    outcome = cli("folder", *folders, "--context", context_path, "--threshold", threshold)
    assert outcome.code == code
    above = 1 if code else 0
    assert outcome.out.splitlines()[-1].endswith(f"{above} of 3 above the threshold {threshold}")


def test_what_is_not_compared_is_told_everywhere(cli, folders, context_path, tmp_path):
    reference, candidate = folders
    fill(reference, {"only.png": gray(), "bad.png": b"hello"})
    fill(candidate, {"extra.png": gray(), "bad.png": gray()})
    file = tmp_path / "results.csv"
    given = ("folder", *folders, "--context", context_path, "--threshold", "0.1", "-o", file)
    outcome = cli(*given)
    assert outcome.code == 4
    errors = [line for line in outcome.err.splitlines() if "not compared" in line]
    assert len(errors) == 3
    assert f"{reference / 'bad.png'}: is not an image" in errors[0]
    assert f"extra.png: is in {candidate}, but has no counterpart in {reference}" in errors[1]
    assert f"only.png: is in {reference}, but has no counterpart in {candidate}" in errors[2]
    assert "6 pairs: 3 compared, 1 identical, 3 not compared" in outcome.out
    with file.open(newline="") as stream:
        rows = {Path(row["candidate"]).name: row for row in csv.DictReader(stream)}
    assert {name for name, row in rows.items() if row["error"]} == {
        "bad.png",
        "extra.png",
        "only.png",
    }
    assert float(rows["b.png"]["distance"]) == pytest.approx(60 / 255, rel=1e-5)
    record = cli(*given, "--force", "--json").record
    assert [Path(pair["candidate"]).name for pair in record["not_compared"]] == [
        "bad.png",
        "extra.png",
        "only.png",
    ]


def test_results_are_not_replaced_unasked(cli, folders, context_path, tmp_path):
    file = tmp_path / "results.csv"
    file.write_text("mine")
    outcome = cli("folder", *folders, "--context", context_path, "-o", file)
    assert "--force" in outcome.error_line
    assert file.read_text() == "mine"


def test_all_pairs(cli, folders, context_path):
    outcome = cli("folder", "--all-pairs", folders[1], "--context", context_path)
    assert outcome.code == 0
    head, *rows = outcome.out.splitlines()
    assert head.split() == ["reference", "candidate", "distance"]
    assert [row.split()[:2] for row in rows[:3]] == [
        ["a.png", "b.png"],
        ["b.png", "sub/c.PNG"],
        ["a.png", "sub/c.PNG"],
    ]


@pytest.mark.parametrize("arguments", [[], ["one"], ["one", "two", "--all-pairs", "three"]])
def test_wrong_usage(cli, context_path, arguments):
    outcome = cli("folder", *arguments, "--context", context_path)
    assert outcome.code == 2
    assert outcome.out == ""


def test_any_name_is_told_and_written(cli, tmp_path, context_path):
    names = [os.fsdecode(b"\xff.png"), "a\n\x1b[31m.png"]
    reference, candidate = (
        fill(tmp_path / folder, dict.fromkeys(names, gray())) for folder in ("one", "two")
    )
    file = tmp_path / "results.jsonl"
    outcome = cli("folder", reference, candidate, "--context", context_path, "-o", file)
    assert outcome.code == 0
    assert "\x1b" not in outcome.out
    assert len(file.read_text().splitlines()) == 2


# --- rules ----------------------------------------------------------------------------


def test_each_pair_is_compared_by_its_rule_and_keeps_its_place(tmp_path, universal, monkeypatch):
    monkeypatch.setattr("dps_infer.bulk.rule.WINDOW", 5)
    names = [f"{number:02}.png" for number in range(17)]
    first = fill(tmp_path / "one", dict.fromkeys(names, gray()))
    second = fill(tmp_path / "two", {name: gray(int(name[:2])) for name in names})
    (second / "03.png").unlink()
    (second / "08.png").write_bytes(b"no image")
    pairs = matching_pairs(find_images(first), find_images(second))
    metrics = {
        label: universal.in_context(importances={"blur": weight})
        for label, weight in (("a", 1.0), ("b", 10.0))
    }
    rules = [Rule({label: metrics[label]}, {label: 0.3}) for label in metrics]
    seen: list[PairScore] = []
    done: list[int] = []
    scores = score_folder(
        pairs,
        len(pairs),
        metrics,
        batch_size=2,
        rules=rules,
        rule_of=lambda pair: rules[int(pair.reference.name[:2]) % 2],
        on_scored=seen.append,
        progress=lambda number, _total: done.append(number),
    )
    assert [scored.pair for scored in seen] == list(pairs)
    assert done == [*range(2, 17, 2), 17]
    assert [Path(scored.pair.reference).name for scored in scores.failed] == ["03.png", "08.png"]
    for number, scored in enumerate(seen):
        if scored.error:
            continue
        ((label, comparison),) = scored.comparisons.items()
        assert label == "ab"[number % 2]
        weight = (1, 10)[number % 2]
        assert comparison.distance == pytest.approx(weight * number / 255, rel=1e-5)
        assert scored.above == (comparison.distance > 0.3)
    # 9, 11, 13, and 15 steps, ten times as far; and 17 pairs, of which two failed.
    assert scores.worst[0].pair.reference.name == "15.png"
    assert [spread.above for spread in scores.spreads.values()] == [0, 4]
    assert [spread.count for spread in scores.spreads.values()] == [8, 7]


def test_no_more_than_a_window_is_read_ahead(universal, tmp_path, monkeypatch):
    monkeypatch.setattr("dps_infer.bulk.rule.WINDOW", 4)
    folder = fill(tmp_path / "one", {"a.png": gray(), "b.png": gray(9)})
    read = 0

    def pairs():
        nonlocal read
        for _ in range(80):
            read += 1
            yield FolderPair(folder / "a.png", folder / "b.png")

    rules = [Rule({"a": universal}), Rule({"a": universal})]
    results = score_by_rule(pairs(), rules, lambda pair: rules[read % 2], batch_size=4)
    next(results)
    # Twice the batch is decoded ahead.
    assert read <= 4 + 4 + 2 * 4 + 4
    assert sum(1 for _ in results) == 79
