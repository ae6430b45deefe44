"""Score pairs on many machines with Ray Data: a class for its ``map_batches``.

    pairs = ray.data.read_csv("/share/pairs.csv").repartition(1000)
    how = {"ranking": "color,translate,blur", "folder": "/share"}
    workers = {"compute": ray.data.ActorPoolStrategy(min_size=1, max_size=200), "num_cpus": 1}
    scored = pairs.map_batches(
        PairScorer, fn_constructor_kwargs=how, batch_format="pyarrow", **workers
    )
    scored.write_parquet("/share/results")

Each worker opens the context files once. Ray itself is not imported here; see docs/clusters.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow

from dps_infer.bulk.pairs import IGNORE, check_pairs, pair_source
from dps_infer.bulk.results import CANDIDATE, REFERENCE, check_free, columns, row
from dps_infer.compare.open import open_metrics
from dps_infer.compare.stream import score
from dps_infer.files.tables import arrow_schema
from dps_infer.runtime.device import Device

WHERE = "the batch"


class PairScorer:
    """Adds the columns of results (`dps_infer.bulk.results`) to batches of pairs."""

    def __init__(
        self,
        *,
        context_files: str | Sequence[str] = (),
        ranking: str | Sequence[str] = (),
        importances: str | Sequence[str] = (),
        context_name: str | Sequence[str] = (),
        folder: str | os.PathLike[str] = ".",
        resize: bool = False,
        device: Device | str = Device.auto,
        threads: int = 1,
    ) -> None:
        """Open the context files, as the options of ``dps-infer batch`` do.

        Args:
            context_files: one or several; every machine must have them at these paths. Without
                any, the universal metric of the package is used.
            ranking: one or several, for a universal file.
            importances: one or several in place of rankings, like ``"color=0.1,blur=5"``.
            context_name: one or several saved contexts in place of rankings.
            folder: start of relative paths in the batches, on every machine.
            resize: resize candidates to the size of their references.
            device: see `Metric.load`.
            threads: CPU threads for decoding, and as many for computing; the ``num_cpus`` of Ray.

        Raises:
            DpsError: see `dps_infer.compare.open.open_metrics` and
                `dps_infer.compare.stream.score`.
        """
        self._metrics = open_metrics(
            [Path(file) for file in _listed(context_files)],
            _listed(ranking),
            _listed(importances),
            _listed(context_name),
            device=device,
            threads=threads,
        )
        self._folder = Path(folder)
        self._resize, self._threads = resize, threads

    def __call__(self, batch: pyarrow.Table | Mapping[str, Sequence[Any]]) -> pyarrow.Table:
        """Score the pairs of a batch.

        Args:
            batch: one row per pair, with the columns ``reference`` and ``candidate``: a table, or
                columns by name.

        Returns:
            All columns of the batch, then those of the results. A pair that cannot be scored has
            the reason in ``error`` and null numbers.

        Raises:
            TableError: a column is missing.
            UsageError: a column of the batch is also one of the results.
            ContextError: see `dps_infer.compare.stream.score`.
        """
        table = batch if isinstance(batch, pyarrow.Table) else pyarrow.table(dict(batch))
        check_pairs(table.column_names, where=WHERE)
        check_free(table.column_names, self._metrics, where=WHERE)
        taken = [n for n in (REFERENCE, CANDIDATE, IGNORE) if n in table.column_names]
        pairs = table.select(taken).to_pylist()
        scores = score(
            (pair_source(pair, self._folder, row="the row") for pair in pairs),
            self._metrics,
            resize=self._resize,
            decoders=self._threads,
        )
        found = pyarrow.Table.from_pylist(
            [row(scored.comparisons, self._metrics, error=scored.error) for scored in scores],
            # Without a schema, a batch in which every pair fails has columns without a type.
            schema=arrow_schema(columns(self._metrics)),
        )
        for name in found.column_names:
            table = table.append_column(name, found[name])
        return table


def _listed(values: str | Sequence[str]) -> list[str]:
    return [values] if isinstance(values, str) else list(values)
