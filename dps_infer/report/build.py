"""From a file of results to the page: which pictures and maps it gets, and from where."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from dps_infer.bulk.thresholds import number_of, resolve_threshold
from dps_infer.compare.metric import Metric
from dps_infer.errors import ImageError, UsageError
from dps_infer.images.decode import DEFAULT_POLICY, composite, load_picture
from dps_infer.model.view import View
from dps_infer.report.assembly import Content, assemble
from dps_infer.report.examples import Example, examples
from dps_infer.report.maps import HeatMap, heat_map
from dps_infer.report.pictures import Embedded, embed, find
from dps_infer.report.rows import Pair, Results, read, worst
from dps_infer.runtime.threads import available_threads

THUMBNAIL, PREVIEW, WORST = 96, 512, 200
TITLE = "Image comparison"

DIFFERS_BY = 0.01
"""Relative. Beyond, a distance computed again is another one, not a matter of rounding."""

Progress = Callable[[int, int], None]
"""Told how many pictures are done, and of how many."""


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        page: the HTML file, UTF-8.
        pairs: how many it shows.
        notes: what its maker should know, one line each.
    """

    page: bytes
    pairs: int
    notes: tuple[str, ...]


def build_report(
    results: str | os.PathLike[str],
    *,
    metrics: Mapping[str, Metric] | None = None,
    images: str | os.PathLike[str] | None = None,
    title: str = TITLE,
    threshold: str | float | None = None,
    thumbnail: int = THUMBNAIL,
    preview: int = PREVIEW,
    worst_pairs: int = WORST,
    view: View | None = None,
    resize: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Make the report of a file of results.

    Args:
        results: CSV, JSON lines or Parquet, as `dps_infer.bulk.results` writes it.
        metrics: those that the results were measured in, by their labels: with them the
            page has heat maps, and explains the contexts in pictures.
        images: the folder of the images that the results name by relative paths; None looks
            beside the file of results, then in the current folder.
        title: of the page.
        threshold: distances above are marked: a number for all contexts; or, with `contexts`,
            ``auto`` or a file's path (`dps_infer.bulk.thresholds.resolve_threshold`).
        thumbnail: longest side of the small pictures, in pixels.
        preview: longest side of the larger pictures of the worst pairs.
        worst_pairs: how many pairs get larger pictures and, with contexts, heat maps.
        view: for the heat maps, as the results were measured.
        resize: likewise.
        progress: told how far the work is.

    Raises:
        TableError: the results cannot be read.
        UsageError: the contexts are not those of the results, the threshold is no number
            >= 0, or one that needs a context has none.
        ThresholdError: the threshold's file is missing, or of another context or view.
        ContextError: a context gives no maps, or fails.
    """
    path = Path(results)
    found = read(path)
    given = _given(found, metrics or {})
    thresholds = _thresholds(threshold, given, view)
    folders = [Path(images)] if images is not None else [path.parent, Path()]
    chosen = worst(found, worst_pairs)
    names = list(dict.fromkeys(name for pair in found.pairs for name in _both(pair)))
    paths = {name: find(name, folders) for name in names}
    large = {name for number in chosen for name in _both(found.pairs[number])}
    done = _Counter(progress, len(paths) + len(chosen) * (len(given) if metrics else 0))
    embedded = _embed_all(paths, large, thumbnail, preview, done)
    how = _How(view, resize)
    maps = [
        None if metric is None else _maps(metric, found, chosen, paths, embedded, how, done)
        for metric in given
    ]
    shown = [[] if metric is None else _examples(metric, names, paths, view) for metric in given]
    content = Content(
        title=title,
        source=path.name,
        results=found,
        thresholds=thresholds,
        metrics=given,
        examples=shown,
        images=embedded,
        maps=maps,
        thumbnail=thumbnail,
        preview=preview,
    )
    notes = [*_image_notes(embedded, images is None), *_map_notes(found, maps)]
    return Report(assemble(content), len(found.pairs), tuple(notes))


@dataclass(frozen=True)
class _How:
    """How the results were measured."""

    view: View | None
    resize: bool


class _Counter:
    """Tells how far the work is."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def one_more(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _given(results: Results, metrics: Mapping[str, Metric]) -> list[Metric | None]:
    """Return the given context of each of the results', in their order; all or none."""
    if not metrics:
        return [None] * len(results.metrics)
    labels = [measured.label for measured in results.metrics]
    if labels == [""] and len(metrics) == 1:
        # The results do not name their context: it is taken on trust.
        return [*metrics.values()]
    if set(labels) != set(metrics):
        raise UsageError(
            f"the results were measured in {', '.join(labels)}, the contexts given are "
            f"{', '.join(metrics)}: give those of the results, or none"
        )
    return [metrics[label] for label in labels]


def _thresholds(
    value: str | float | None, given: Sequence[Metric | None], view: View | None
) -> list[float | None]:
    """Return what the distances in each context are held against."""
    if value is None or (number := number_of(value)) is not None:
        return [None if value is None else number] * len(given)
    found = [resolve_threshold(value, metric, view=view) for metric in given if metric is not None]
    if not found:
        raise UsageError(
            f"the threshold {value} holds in its own context only: give the --context, --ranking, "
            "--importance or --context-name of the results as well"
        )
    return found


def _embed_all(
    paths: Mapping[str, Path], large: set[str], thumbnail: int, preview: int, done: _Counter
) -> dict[str, Embedded]:
    def one(name: str) -> Embedded:
        size = preview if name in large else None
        if not name:
            return Embedded(None, None, 0, 0, "the results name none")
        return embed(paths[name], thumbnail=thumbnail, preview=size)

    embedded = {}
    with ThreadPoolExecutor(available_threads()) as pool:
        for name, image in zip(paths, pool.map(one, paths), strict=True):
            embedded[name] = image
            done.one_more()
    return embedded


def _maps(
    metric: Metric,
    results: Results,
    chosen: Sequence[int],
    paths: Mapping[str, Path],
    embedded: Mapping[str, Embedded],
    how: _How,
    done: _Counter,
) -> dict[int, HeatMap]:
    maps = {}
    for number in chosen:
        pair = results.pairs[number]
        image = embedded[pair.reference]
        maps[number] = heat_map(
            metric,
            paths[pair.reference],
            paths[pair.candidate],
            (image.height, image.width),
            view=how.view,
            resize=how.resize,
        )
        done.one_more()
    return maps


def _examples(
    metric: Metric, names: Sequence[str], paths: Mapping[str, Path], view: View | None
) -> list[Example]:
    """Explain a context on the first image that can be read."""
    for name in names:
        try:
            picture = load_picture(paths[name], label="image")
        except ImageError:
            continue
        return examples(metric, composite(picture, DEFAULT_POLICY.background), view=view)
    return []


def _image_notes(embedded: Mapping[str, Embedded], looked_around: bool) -> list[str]:
    # Of a row without a name, its own error tells.
    named = {name: image for name, image in embedded.items() if name}
    missing = [f"{name}: {image.why}" for name, image in named.items() if image.why]
    if not missing:
        return []
    hint = "; --images DIR says where relative paths begin" if looked_around else ""
    return [f"{len(missing)} of {len(named)} images cannot be shown ({missing[0]}){hint}"]


def _map_notes(results: Results, maps: Sequence[Mapping[int, HeatMap] | None]) -> list[str]:
    """Tell of maps that belong to other distances than the results hold."""
    differing = 0
    for place, found in enumerate(maps):
        for number, heat in (found or {}).items():
            stated = results.pairs[number].distances[place]
            if stated is not None and heat.distance is not None:
                differing += abs(heat.distance - stated) > DIFFERS_BY * max(stated, heat.distance)
    if differing == 0:
        return []
    return [
        f"{differing} of the heat maps belong to other distances than the results state: give "
        "the context and the --view that the results were measured with, and the same images"
    ]


def _both(pair: Pair) -> tuple[str, str]:
    return pair.reference, pair.candidate
