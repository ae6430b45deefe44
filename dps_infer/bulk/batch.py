"""Score a file of pairs into a file of results, so that a killed run can be continued."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from dps_infer.bulk.journal import Identity, Journal, discard, journal_path, open_journal
from dps_infer.bulk.pairs import PairsFile, open_pairs, read_pairs
from dps_infer.bulk.results import ERROR, check_free, open_results, row
from dps_infer.compare.metric import Metric
from dps_infer.compare.stream import BATCH_SIZE, score
from dps_infer.errors import TableError, UsageError
from dps_infer.files.tables import Row, check_format
from dps_infer.files.write import check_output, sha256_file
from dps_infer.model.view import View

Progress = Callable[[int, int], None]
"""Is told how many pairs are done, and of how many."""


@dataclass(frozen=True)
class BatchSummary:
    """What a run over a file of pairs came to.

    Attributes:
        rows: pairs in the file.
        scored: those with distances.
        errors: those with an error instead.
        resumed: of `rows`, those that an earlier run had done.
        seconds: that scoring took, in this run.
        rate: pairs a second, in this run.
    """

    rows: int
    scored: int
    errors: int
    resumed: int
    seconds: float
    rate: float

    def as_dict(self) -> dict[str, int | float]:
        """Return the attributes by name."""
        return asdict(self)


def score_file(
    pairs: str | os.PathLike[str],
    output: str | os.PathLike[str],
    metrics: Mapping[str, Metric],
    *,
    view: View | str | None = None,
    resize: bool = False,
    batch_size: int = BATCH_SIZE,
    decoders: int | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> BatchSummary:
    """Score every pair of a file.

    See `dps_infer.bulk.pairs` and `dps_infer.bulk.results` for the formats.

    A row that cannot be scored gets its reason in the column ``error``. The output appears whole
    at the end; until then what is done lies beside it (`dps_infer.bulk.journal`).

    Args:
        pairs: ``.csv``, ``.jsonl`` or ``.parquet``, with ``reference`` and ``candidate``.
        output: likewise, told by its suffix.
        metrics: by label.
        view: as in `Metric.compare`.
        resize: resize candidates to the size of their references.
        batch_size: as in `dps_infer.compare.stream.score`.
        decoders: as in `dps_infer.compare.stream.score`.
        resume: continue a run that did not finish; without one, start.
        force: replace an output, and a journal, that exist.
        progress: is told of each batch.

    Raises:
        UsageError: an unknown suffix, a column of the pairs that results have as well, or
            options that contradict each other.
        TableError: the file of pairs cannot be read, or changed meanwhile.
        OutputError: the output exists, cannot be written, or its journal is of another run.
        ContextError: as in `dps_infer.compare.stream.score`.
    """
    source, target = Path(pairs), Path(output)
    check_format(target)
    if source.resolve() == target.resolve():
        raise UsageError(f"{target}: the results would replace the pairs, the same file")
    if resume and force:
        raise UsageError("--resume continues a run and --force starts anew: give one")
    # A journal was begun where there was no output yet, or one that was to be replaced: one
    # that is there now is this run's own, or still to be replaced.
    force_output = force or (resume and journal_path(target).exists())
    check_output(target, force=force_output)
    opened = open_pairs(source)
    check_free(opened.columns, metrics, where=str(source))
    identity = _identity(opened, metrics, view, resize, batch_size)
    with open_journal(target, identity, resume=resume, force=force) as journal:
        resumed, start = journal.done, time.perf_counter()
        if progress is not None:
            progress(resumed, opened.rows)
        rows = islice(read_pairs(source), resumed, None)
        held: list[Row] = []
        for scored in score(
            (pair.source for pair in rows),
            metrics,
            view=view,
            resize=resize,
            batch_size=batch_size,
            decoders=decoders,
        ):
            held.append(row(scored.comparisons, metrics, error=scored.error))
            if len(held) == batch_size:
                journal.append(held)
                held.clear()
                if progress is not None:
                    progress(journal.done, opened.rows)
        journal.append(held)
        seconds = time.perf_counter() - start
        if progress is not None:
            progress(journal.done, opened.rows)
        errors = _finish(opened, journal, target, metrics, force=force_output)
        discard(journal)
    return BatchSummary(
        rows=opened.rows,
        scored=opened.rows - errors,
        errors=errors,
        resumed=resumed,
        seconds=seconds,
        rate=(opened.rows - resumed) / max(seconds, 1e-9),
    )


def _identity(
    pairs: PairsFile,
    metrics: Mapping[str, Metric],
    view: View | str | None,
    resize: bool,
    batch_size: int,
) -> Identity:
    return Identity(
        pairs=pairs.sha256,
        folder=str(pairs.path.parent.resolve()),
        rows=pairs.rows,
        metrics={
            label: {
                "sha256": metric.sha256,
                "importances": metric.importances,
                "provider": metric.provider,
            }
            for label, metric in metrics.items()
        },
        view=None if view is None else View(view).value,
        resize=resize,
        batch_size=batch_size,
    )


def _finish(
    pairs: PairsFile,
    journal: Journal,
    output: Path,
    metrics: Mapping[str, Metric],
    *,
    force: bool,
) -> int:
    """Put the columns of the pairs and their results together; return how many are errors."""
    errors = 0
    with open_results(output, metrics, input_columns=pairs.columns, force=force) as write:
        # Of the two, whichever the file's change made longer is caught below.
        for pair, result in zip(read_pairs(pairs.path), journal.rows(), strict=False):
            errors += result[ERROR] != ""
            write({**pair.values, **result})
        if sha256_file(pairs.path) != pairs.sha256:
            raise TableError(f"{pairs.path}: changed while it was read: run it again with --force")
    return errors
