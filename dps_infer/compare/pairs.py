"""Compare decoded pairs, in one context or in several of the same file.

What a universal file sees in a pair, its amounts, is the same in every context; only how much
they count is not. So its distances are taken from the amounts here, and the network runs once
for any number of contexts. They are so for one context as well: a distance does not depend on
what else was asked for. It agrees with the graph's own to 1e-6 of itself.

Maps take a run a context: the graph draws them with the importances that it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dps_infer.compare.comparison import Comparison
from dps_infer.compare.runs import Rendering, Run, runs
from dps_infer.images.decode import Pair
from dps_infer.model.calibration import percentiles
from dps_infer.model.contract import FloatArray, Measurement
from dps_infer.model.view import View
from dps_infer.runtime.cuda import PROVIDER
from dps_infer.runtime.reference_cache import References

if TYPE_CHECKING:
    from dps_infer.compare.metric import Context


def distances(amounts: FloatArray, importances: Iterable[float]) -> FloatArray:
    """Return distances [N] of amounts [N, K+1]: what each counts, added up.

    In double precision and row by row, which a matrix product is not: a pair's distance does not
    depend on the pairs beside it.

    >>> distances(np.array([[0.5, 2.0]], np.float32), [1.0, 0.25]).tolist()
    [1.0]
    """
    parts = amounts.astype(np.float64) * np.array(list(importances))
    # What is too large becomes infinite, which no distance may be.
    with np.errstate(over="ignore"):
        found: FloatArray = parts.sum(axis=1).astype(np.float32)
    return found


def compare_in_all(
    pairs: Sequence[Pair],
    contexts: Mapping[str, Context],
    *,
    view: View | str | None = None,
    with_map: bool = False,
    references: References | None = None,
) -> list[dict[str, Comparison]]:
    """Compare pairs in several contexts; those of one universal file run it once.

    Args:
        pairs: of any sizes.
        contexts: by label.
        view: as in `Context.compare`.
        with_map: as in `Context.compare`; takes a run a context.
        references: hand the same to the next call, if its pairs may have the same reference.

    Returns:
        One dictionary a pair, by label, each comparison equal to that of
        `Context.compare_pairs` in its context alone.
    """
    groups: list[list[str]] = []
    for label, context in contexts.items():
        found = (group for group in groups if contexts[group[0]].shares_runs_with(context))
        group = next(found, None)
        if group is None:
            groups.append([label])
        else:
            group.append(label)
    found_by_label: dict[str, list[Comparison]] = {}
    for labels in groups:
        together = [contexts[label] for label in labels]
        compared = compare_pairs(
            pairs, together, view=view, with_map=with_map, references=references
        )
        found_by_label.update(zip(labels, compared, strict=True))
    return [
        {label: found_by_label[label][index] for label in contexts} for index in range(len(pairs))
    ]


def compare_pairs(
    pairs: Sequence[Pair],
    contexts: Sequence[Context],
    *,
    view: View | str | None = None,
    with_map: bool = False,
    alone: bool = True,
    references: References | None = None,
) -> list[list[Comparison]]:
    """Compare pairs in contexts that share runs (`Context.shares_runs_with`), or in one.

    Args:
        pairs: as in `Context.compare_pairs`, as for the other arguments.
        contexts: at least one.
        view: as there.
        with_map: as there.
        alone: as there.
        references: as in `compare_in_all`.

    Returns:
        For each context its comparisons, one a pair.
    """
    chosen = contexts[0].chosen_view(view)
    references = references or References()
    by_shape: dict[tuple[int, ...], list[Rendering]] = {}
    for index, pair in enumerate(pairs):
        for reference, distorted in pair.renderings:
            by_shape.setdefault(reference.shape, []).append((index, reference, distorted))
    farthest: list[dict[int, Comparison]] = [{} for _ in contexts]
    for renderings in by_shape.values():
        for run in runs(renderings, chosen, on_cuda=contexts[0].provider == PROVIDER):
            measured = _measure(
                run, contexts, chosen, with_map=with_map, alone=alone, references=references
            )
            for context, measurement, kept in zip(contexts, measured, farthest, strict=True):
                for row, (index, _, _) in enumerate(run.renderings):
                    comparison = _comparison(context, measurement, row, pairs[index], chosen)
                    if index not in kept or comparison.distance > kept[index].distance:
                        kept[index] = comparison
    return [[kept[index] for index in range(len(pairs))] for kept in farthest]


def _measure(
    run: Run,
    contexts: Sequence[Context],
    view: View | None,
    *,
    with_map: bool,
    alone: bool,
    references: References,
) -> Iterator[Measurement]:
    """Yield what each context says of a run."""
    different = run.renderings[: 1 if run.candidates > 1 else None]
    reference = np.stack([first for _, first, _ in different])
    distorted = np.stack([image for _, _, image in run.renderings])
    remembered = references.of(run.renderings[0][1], run.candidates)
    measurement: Measurement | None = None
    for context in contexts:
        if measurement is None or with_map:
            measurement = context.measure(
                reference,
                distorted,
                view=view,
                with_map=with_map,
                alone=alone,
                remembered=remembered,
            )
        else:
            measurement = context.weighed(measurement)
        yield measurement


def _comparison(
    context: Context, measurement: Measurement, row: int, pair: Pair, view: View | None
) -> Comparison:
    importances = context.importances
    distance = float(measurement.distances[row])
    amounts: dict[str, float] = {}
    if measurement.amounts is not None:
        amounts = dict(zip(importances, measurement.amounts[row].tolist(), strict=True))
    return Comparison(
        distance=distance,
        amounts=amounts,
        parts={name: importances[name] * amount for name, amount in amounts.items()},
        percentiles=percentiles(distance, context.calibration),
        identical=pair.identical,
        notes=pair.notes,
        provider=context.provider,
        view=None if view is None else view.value,
        map=None if measurement.maps is None else measurement.maps[row],
        tiles=None if measurement.tiles is None else measurement.tiles[row],
    )
