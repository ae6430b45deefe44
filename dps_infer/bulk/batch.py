"""Score a file of pairs into a file of results; an interrupted run can be resumed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from dps_infer.bulk.journal import RESUME, Identity, Journal, discard, journal_path, open_journal
from dps_infer.bulk.pairs import read_pairs, scan_pairs
from dps_infer.bulk.results import ERROR, check_free, open_results, row
from dps_infer.compare.metric import Metric
from dps_infer.compare.stream import BATCH_SIZE, score
from dps_infer.errors import OutputError, TableError, UsageError
from dps_infer.files.tables import Row, TableScan, Write, check_format
from dps_infer.files.write import check_output
from dps_infer.images.ignored import Ignored
from dps_infer.progress import Progress, ignore


@dataclass(frozen=True)
class BatchSummary:
    """The outcome of a run over a file of pairs.

    Attributes:
        rows: pairs in the file.
        scored: pairs with distances.
        errors: pairs with an error instead.
        resumed: pairs that an earlier run had finished, scored or not.
        seconds: time spent on scoring in this run.
        rate: pairs per second in this run.
    """

    rows: int
    scored: int
    errors: int
    resumed: int
    seconds: float
    rate: float


def score_file(
    pairs: str | os.PathLike[str],
    output: str | os.PathLike[str],
    metrics: Mapping[str, Metric],
    *,
    resize: bool = False,
    ignored: Ignored | None = None,
    batch_size: int = BATCH_SIZE,
    decoders: int | None = None,
    resume: bool = False,
    force: bool = False,
    escape_formulas: bool = False,
    progress: Progress = ignore,
) -> BatchSummary:
    """Score every pair of a file.

    A row that cannot be scored gets its reason in the column ``error``. The output appears whole
    at the end; until then a journal beside it holds the results (`dps_infer.bulk.journal`).

    The file of pairs is read three times in constant memory: for its columns, length and hash;
    to score its rows; and to copy its columns to the results, hashing it again.

    Args:
        pairs: ``.csv``, ``.jsonl`` or ``.parquet``, see `dps_infer.bulk.pairs`.
        output: ``.csv``, ``.jsonl`` or ``.parquet``, see `dps_infer.bulk.results`.
        metrics: by label.
        resize: resize candidates to the size of their references.
        ignored: parts to leave out of every pair, besides those in the column ``ignore``.
        batch_size: see `dps_infer.compare.stream.score`.
        decoders: see `dps_infer.compare.stream.score`.
        resume: continue an interrupted run; start one if there is none.
        force: replace an existing output and journal.
        escape_formulas: see `dps_infer.files.tables.open_table`.
        progress: called after every batch with the number of pairs done and their total.

    Raises:
        UsageError: an unknown suffix, a column of the pairs that is also one of the results, or
            options that contradict each other.
        TableError: the file of pairs cannot be read, or changed during the run.
        OutputError: the output exists or cannot be written, or its journal is of another run.
        ContextError: see `dps_infer.compare.stream.score`.
    """
    source, target = Path(pairs), Path(output)
    check_format(target, escape_formulas=escape_formulas)
    if source.resolve() == target.resolve():
        raise UsageError(f"{target}: the results would replace the pairs, the same file")
    if resume and force:
        raise UsageError("--resume continues a run and --force starts over: give one")
    # A journal exists only where there was no output, or where the output was to be replaced. So
    # an output beside a journal was written by this run, or may still be replaced by it.
    force_output = force or (resume and journal_path(target).exists())
    inputs: list[str | Path] = [source, *(metric.path for metric in metrics.values())]
    check_output(target, force=force_output, inputs=inputs)
    scan = scan_pairs(source)
    check_free(scan.columns, metrics, where=str(source))
    identity = Identity(
        pairs=scan.sha256,
        folder=str(source.parent.resolve()),
        rows=scan.rows,
        contexts={
            label: {
                "sha256": metric.sha256,
                "importances": metric.importances,
                "provider": metric.provider,
            }
            for label, metric in metrics.items()
        },
        resize=resize,
        ignored="" if ignored is None else ignored.describe(),
        batch_size=batch_size,
    )
    with open_journal(target, identity, resume=resume, force=force) as journal:
        resumed, start = journal.done, time.perf_counter()
        progress(resumed, scan.rows)
        rows = islice(read_pairs(source), resumed, None)
        batch: list[Row] = []
        for scored in score(
            (pair.source for pair in rows),
            metrics,
            resize=resize,
            ignored=ignored,
            batch_size=batch_size,
            decoders=decoders,
        ):
            batch.append(row(scored.comparisons, metrics, error=scored.error))
            if len(batch) == batch_size:
                journal.append(batch)
                batch.clear()
                progress(journal.done, scan.rows)
        journal.append(batch)
        progress(journal.done, scan.rows)
        seconds = time.perf_counter() - start
        try:
            with open_results(
                target,
                metrics,
                input_columns=scan.columns,
                force=force_output,
                escape_formulas=escape_formulas,
            ) as write:
                errors = _write_results(source, scan, journal, write)
        except OutputError as error:
            raise OutputError(f"{error}; {RESUME}") from error
        discard(journal)
    return BatchSummary(
        rows=scan.rows,
        scored=scan.rows - errors,
        errors=errors,
        resumed=resumed,
        seconds=seconds,
        rate=(scan.rows - resumed) / max(seconds, 1e-9),
    )


def _write_results(pairs: Path, scan: TableScan, journal: Journal, write: Write) -> int:
    """Join the columns of the pairs with their results; return the number of errors."""
    errors = 0
    digest = hashlib.sha256()
    rows = read_pairs(pairs, on_bytes=digest.update)
    # If the file changed, the lengths may differ; the hash below catches it.
    for pair, result in zip(rows, journal.rows(), strict=False):
        errors += result[ERROR] != ""
        write({**pair.values, **result})
    if digest.hexdigest() != scan.sha256:
        raise TableError(f"{pairs}: changed while it was read: run it again with --force")
    return errors
