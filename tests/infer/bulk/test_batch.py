"""The command batch: every row has a score or an error, even if the process is killed."""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from infer_helpers import encode

from dps_infer.bulk.batch import score_file
from dps_infer.bulk.journal import journal_path
from dps_infer.bulk.results import read_results
from dps_infer.errors import OutputError, TableError, UsageError
from dps_infer.files import tables

MAIN = "from dps_infer.cli import main; main()"
SCHEMA = Path(__file__).parents[3] / "docs" / "json" / "batch.schema.json"
IMAGES = 7


@pytest.fixture
def folder(tmp_path, photo) -> Path:
    for number in range(IMAGES):
        (tmp_path / f"{number}.png").write_bytes(encode(".png", np.roll(photo, number, axis=1)))
    return tmp_path


def write_pairs(folder: Path, count: int) -> Path:
    """Pairs with an id each, of which every tenth is bad."""
    path = folder / "pairs.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "reference", "candidate"])
        for number in range(count):
            candidate = "none.png" if number % 10 == 9 else f"{number % IMAGES}.png"
            writer.writerow([f"{number:05}", f"{number % 3}.png", candidate])
    return path


def read_rows(path: Path) -> list[dict]:
    return list(read_results(path))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_row_has_a_score_or_an_error(cli, folder, context_path, context, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    pairs, output = write_pairs(folder, 50), folder / f"out.{suffix}"
    outcome = cli("batch", pairs, "-o", output, "--context", context_path)
    assert outcome.code == 4
    assert "50 pairs: 45 scored, 5 with errors" in outcome.out
    rows = read_rows(output)
    assert [row["id"] for row in rows] == [f"{number:05}" for number in range(50)]
    for number, row in enumerate(rows):
        if number % 10 == 9:
            assert "none.png: no such file" in row["error"]
            assert row["distance"] is None
        else:
            paths = (folder / row["reference"], folder / row["candidate"])
            assert row["distance"] == pytest.approx(context.compare(*paths).distance, rel=1e-5)
            assert row["error"] == ""
    assert not journal_path(output).exists()


def test_a_run_without_errors(cli, folder, context_path):
    pairs = write_pairs(folder, 9)
    outcome = cli("batch", pairs, "-o", folder / "o.csv", "--context", context_path, "--json")
    assert outcome.code == 0
    assert (outcome.record["rows"], outcome.record["errors"]) == (9, 0)
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for field in (None, *outcome.record):
        record = {name: value for name, value in outcome.record.items() if name != field}
        sound = jsonschema.Draft202012Validator(schema).is_valid(record)
        assert sound == (field is None)


def test_several_contexts_are_a_column_each(cli, folder, universal_path):
    pairs, output = write_pairs(folder, 5), folder / "o.csv"
    options = ("--ranking", "color,blur", "--ranking", "blur,color")
    outcome = cli("batch", pairs, "-o", output, "--context", universal_path, *options)
    assert outcome.code == 0
    assert {"distance.color-blur", "distance.blur-color"} <= set(read_rows(output)[1])


def test_no_pairs_are_an_error(cli, folder, context_path):
    outcome = cli(
        "batch", write_pairs(folder, 0), "-o", folder / "o.csv", "--context", context_path
    )
    assert outcome.code == 1
    assert "pairs.csv: has no pairs" in outcome.err
    assert not (folder / "o.csv").exists()


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_large_integers_among_other_numbers_stay_exact(folder, context, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    pairs = folder / "pairs.jsonl"
    pair = {"reference": "0.png", "candidate": "1.png"}
    values = [0.5, 2**60 + 1, 2**70, -3]
    lines = [json.dumps({**pair, "n": value, "m": 2**60 + 1}) for value in values]
    pairs.write_text("\n".join(lines))
    score_file(pairs, folder / f"o{suffix}", {"c": context})
    rows = read_rows(folder / f"o{suffix}")
    assert [float(row["n"]) for row in rows] == [float(value) for value in values]
    assert [int(row["n"]) for row in rows[1:]] == values[1:]
    assert [int(row["m"]) for row in rows] == [2**60 + 1] * 4


def test_formulas_are_escaped_if_asked(cli, folder, context_path):
    pairs = folder / "pairs.csv"
    pairs.write_text("=x,reference,candidate\n=1+1,0.png,@none.png\n-1.5e3,0.png,1.png\n")
    options = ("--context", context_path)
    assert cli("batch", pairs, "-o", folder / "plain.csv", *options).code == 4
    assert (folder / "plain.csv").read_text().startswith("=x,")
    outcome = cli("batch", pairs, "-o", folder / "o.csv", "--escape-formulas", *options)
    assert outcome.code == 4
    header, first, second = csv.reader((folder / "o.csv").read_text().splitlines())
    assert header[:3] == ["'=x", "reference", "candidate"]
    assert first[:3] == ["'=1+1", "0.png", "'@none.png"]
    assert second[:3] == ["-1.5e3", "0.png", "1.png"]
    refused = cli("batch", pairs, "-o", folder / "o.jsonl", "--escape-formulas", *options)
    assert refused.code == 2


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_the_pairs_are_read_three_times(folder, context, monkeypatch, suffix):
    """For columns, length and hash; to score them; and to copy their columns to the results."""
    pairs = write_pairs(folder, 20)
    if suffix == "jsonl":
        with pairs.open(newline="") as stream:
            rows = [json.dumps(row) for row in csv.DictReader(stream)]
        pairs = pairs.with_suffix(".jsonl")
        pairs.write_text("\n".join(rows))
    opened: list[Path] = []
    open_input = tables.open_input

    def record(path: Path, **options):
        opened.append(path)
        return open_input(path, **options)

    monkeypatch.setattr(tables, "open_input", record)
    score_file(pairs, folder / "out.csv", {"fake": context})
    assert opened.count(pairs) == 3


# --- resuming -------------------------------------------------------------------------


def test_a_run_killed_at_any_moment_loses_nothing(folder, context_path, context):
    count = 800
    pairs, output = write_pairs(folder, count), folder / "killed.csv"
    score_file(pairs, folder / "whole.csv", {"fake": context})
    journal, chance = journal_path(output), random.Random(0)
    arguments = ["batch", pairs, "-o", output, "--context", context_path, "--resume", "--json"]
    command = [sys.executable, "-c", MAIN, *map(str, [*arguments, "--threads", 1])]
    kills = 0
    for target in sorted(chance.uniform(0.0, 0.9) for _ in range(3)):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        while process.poll() is None and lines(journal) < target * count:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        process.stdout.close()
        assert not output.exists() or process.returncode == 4
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert kills >= 1
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["resumed"] > 0
    assert output.read_bytes() == (folder / "whole.csv").read_bytes()
    assert not journal.exists()


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@pytest.fixture
def interrupted(folder, context):
    """A run of 40 pairs in batches of 4 that ended after 3 of them."""
    pairs, output = write_pairs(folder, 40), folder / "out.csv"

    def stop(done: int, total: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score_file(pairs, output, {"fake": context}, batch_size=4, progress=stop)
    assert lines(journal_path(output)) == 13
    return pairs, output


def test_an_interrupted_run_is_continued(interrupted, folder, context):
    pairs, output = interrupted
    shown = []
    summary = score_file(
        pairs,
        output,
        {"fake": context},
        batch_size=4,
        resume=True,
        progress=lambda *done: shown.append(done),
    )
    assert (summary.rows, summary.resumed) == (40, 12)
    assert (shown[0], shown[-1]) == ((12, 40), (40, 40))
    score_file(pairs, folder / "whole.csv", {"fake": context}, batch_size=4)
    assert output.read_bytes() == (folder / "whole.csv").read_bytes()


@pytest.mark.parametrize("end", [b'{"half', b"\0\0\0\n", b'{"distance":1}\n', b""])
def test_any_end_of_the_journal(interrupted, folder, context, end):
    pairs, output = interrupted
    with journal_path(output).open("ab") as stream:
        stream.write(end)
    score_file(pairs, output, {"fake": context}, batch_size=4, resume=True)
    score_file(pairs, folder / "whole.csv", {"fake": context}, batch_size=4)
    assert output.read_bytes() == (folder / "whole.csv").read_bytes()


def test_killed_between_the_output_and_the_end(interrupted, context):
    pairs, output = interrupted
    journal = journal_path(output)
    before = journal.read_bytes()
    score_file(pairs, output, {"fake": context}, batch_size=4, resume=True)
    finished = output.read_bytes()
    journal.write_bytes(before)
    score_file(pairs, output, {"fake": context}, batch_size=4, resume=True)
    assert output.read_bytes() == finished


def test_another_run_is_not_continued(interrupted, context, universal):
    pairs, output = interrupted
    contexts = {"fake": context}
    before = journal_path(output).read_bytes()

    def refused(words: str, using=contexts, source=pairs, **changes) -> None:
        options = {"batch_size": 4, "resume": True, **changes}
        with pytest.raises(OutputError, match=words):
            score_file(source, output, using, **options)

    refused("--batch-size", batch_size=5)
    refused("--resize", resize=True)
    refused("contexts", {"fake": universal})
    refused("contexts", {"other": context})
    refused("--resume to continue", resume=False)
    moved = pairs.parent / "sub" / "pairs.csv"
    moved.parent.mkdir()
    moved.write_bytes(pairs.read_bytes())
    refused("folder", source=moved)
    pairs.write_text(pairs.read_text() + "x,0.png,1.png\n")
    refused("the file of pairs, the number of pairs")
    assert journal_path(output).read_bytes() == before
    score_file(pairs, output, contexts, batch_size=4, force=True)
    assert len(read_rows(output)) == 41


def test_a_journal_that_is_none_is_not_touched(interrupted, context):
    pairs, output = interrupted
    journal_path(output).write_text("my notes\n")
    with pytest.raises(OutputError, match="is not a journal"):
        score_file(pairs, output, {"fake": context}, resume=True)
    assert journal_path(output).read_text() == "my notes\n"


@pytest.mark.skipif(os.name != "posix", reason="locks are of POSIX")
def test_two_runs_at_a_time_are_refused(folder, context):
    pairs, output = write_pairs(folder, 40), folder / "out.csv"

    def meet(done: int, total: int) -> None:
        with pytest.raises(OutputError, match="another run"):
            score_file(pairs, output, {"fake": context}, resume=True)

    score_file(pairs, output, {"fake": context}, progress=meet)
    assert len(read_rows(output)) == 40


def test_a_file_of_pairs_that_changes_meanwhile(folder, context):
    pairs, output = write_pairs(folder, 40), folder / "out.csv"

    def change(done: int, total: int) -> None:
        if done == 40:
            pairs.write_text(pairs.read_text().replace("00039", "other"))

    with pytest.raises(TableError, match="changed"):
        score_file(pairs, output, {"fake": context}, progress=change)
    assert not output.exists()


# --- mistakes -------------------------------------------------------------------------


def test_an_output_is_not_replaced_unasked(cli, folder, context_path):
    pairs, output = write_pairs(folder, 3), folder / "out.csv"
    output.write_text("mine")
    arguments = ("batch", pairs, "-o", output, "--context", context_path)
    for options in ((), ("--resume",)):
        outcome = cli(*arguments, *options)
        assert outcome.code == 1
        assert "exists already" in outcome.error_line
    assert output.read_text() == "mine"
    assert cli(*arguments, "--force").code == 0
    assert len(read_rows(output)) == 3


def test_mistakes_are_one_line(cli, folder, context_path):
    pairs = write_pairs(folder, 3)
    what = ("--context", context_path)
    (folder / "named.csv").write_text("reference,candidate,distance\na,b,c\n")
    for arguments, code, words in [
        ((folder / "none.csv", "-o", folder / "o.csv"), 1, "no such file"),
        ((folder / "0.png", "-o", folder / "o.csv"), 2, "expected a name"),
        ((pairs, "-o", folder / "o.txt"), 2, "expected a name"),
        ((pairs, "-o", folder / "o.csv", "--resume", "--force"), 2, "give one"),
        ((folder / "named.csv", "-o", folder / "o.csv"), 2, "'distance'"),
        ((pairs, "-o", folder / "o.csv", "--ranking", "color,blur"), 2, "frozen in"),
    ]:
        outcome = cli("batch", *arguments, *what)
        assert outcome.code == code
        assert words in outcome.error_line
    assert not (folder / "o.csv").exists()


def test_the_output_is_no_input(folder, context):
    pairs = write_pairs(folder, 3)
    with pytest.raises(UsageError, match="same file"):
        score_file(pairs, pairs, {"fake": context}, force=True)


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
@pytest.mark.parametrize("limit", [0, 100, 700, 5000, 9000])
def test_a_full_disk_is_one_line_and_loses_nothing(folder, context_path, context, limit):
    pairs = write_pairs(folder, 60)
    metrics = {context.label: context}
    score_file(pairs, folder / "whole.csv", metrics, batch_size=4)
    size = (folder / "whole.csv").stat().st_size
    assert size > limit
    output = folder / "out.csv"
    arguments = ["batch", pairs, "-o", output, "--context", context_path, "--batch-size", "4"]
    script = (
        "import resource, sys\n"
        "from dps_infer.cli import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))\n"
        "main()\n"
    )
    command = [sys.executable, "-c", script, *map(str, arguments)]
    stopped = subprocess.run(command, capture_output=True, text=True)
    assert stopped.returncode == 1
    lines = [line for line in stopped.stderr.splitlines() if "error" in line]
    assert len(lines) == 1
    assert "cannot write" in lines[0]
    assert "Traceback" not in stopped.stderr
    assert not output.exists()
    score_file(pairs, output, metrics, batch_size=4, resume=True)
    assert output.read_bytes() == (folder / "whole.csv").read_bytes()
    left = {path.name for path in folder.iterdir() if path.suffix != ".png"}
    assert left - {"pairs.csv", "whole.csv", "out.csv"} <= {context_path.name, "universal.onnx"}
