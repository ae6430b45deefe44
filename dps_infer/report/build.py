"""Build a report from a file of results: select its pictures and heat maps and make the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from dps_infer.bulk.thresholds import number_of, resolve_threshold
from dps_infer.compare.metric import Metric
from dps_infer.errors import ImageError, UsageError
from dps_infer.images.decode import DEFAULT_POLICY, composite, load_picture
from dps_infer.images.ignored import Ignored
from dps_infer.progress import Progress, ignore
from dps_infer.report.assembly import assemble
from dps_infer.report.examples import Example, examples
from dps_infer.report.hatches import hatches, ignored_of
from dps_infer.report.maps import HeatMap, heat_map, scale_data
from dps_infer.report.pictures import (
    Embedded,
    data_url,
    embed_all,
    find_image,
    keep_exact,
    shrink,
)
from dps_infer.report.rows import MeasuredContext, Results, load_results
from dps_infer.version import __version__

THUMBNAIL, PREVIEW, WORST, EXACT = 96, 512, 200, 16.0
TITLE = "Image comparison"
EXAMPLE_SIDE = 128
"""Longest side in pixels of the pictures that explain a context."""

TOLERANCE = 0.01
"""Relative difference beyond which a distance that is computed again is another distance, not the
same one rounded differently."""


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes:
        page: the HTML file, UTF-8.
        pairs: number of pairs on it.
        notes: problems that the person who makes it should know of, one line each.
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
    exact: float = EXACT,
    resize: bool = False,
    ignored: Ignored | None = None,
    progress: Progress = ignore,
) -> Report:
    """Make the report of a file of results.

    Args:
        results: CSV, JSON lines or Parquet, see `dps_infer.bulk.results`.
        metrics: the metrics that gave the results, by label. With them the page has heat maps and
            explains the contexts in pictures.
        images: start of relative paths in the results; None looks beside the file of results,
            then in the current folder.
        title: of the page.
        threshold: distances above it are marked: a number for all contexts; or, with `metrics`,
            ``auto`` or the path of a file (`dps_infer.bulk.thresholds.resolve_threshold`).
        thumbnail: longest side of the small pictures, in pixels.
        preview: longest side of the larger pictures of the worst pairs.
        worst_pairs: number of pairs with larger pictures and, with `metrics`, heat maps.
        exact: megabytes of the page for the images of the worst pairs themselves, so that 1:1 and
            the loupe show every pixel; of other pairs they show the larger pictures.
        resize: for the heat maps, resize candidates to the size of their references.
        ignored: parts that were left out of every pair, besides those in the column ``ignore``.
            They are hatched, and left out of the heat maps.
        progress: called with the number of pictures done and their total.

    Raises:
        TableError: the results cannot be read.
        UsageError: the metrics are not those of the results; the threshold is a number that is
            not finite and >= 0, or needs a metric and none is given.
        ThresholdError: the threshold file is missing, or was made for another context.
        ContextError: a context file gives no maps, or fails.
    """
    path = Path(results)
    found = load_results(path)
    pairs = found.pairs
    loaded = _in_order(metrics or {}, found)
    thresholds = _thresholds(threshold, loaded)
    folders = [Path(images)] if images is not None else [path.parent, Path()]
    chosen = found.worst(worst_pairs)
    names = list(zip(pairs.reference, pairs.candidate, strict=True))
    paths = {name: find_image(name, folders) for pair in names for name in pair}
    on_done = _counter(progress, len(paths) + len(chosen) * (len(loaded) if metrics else 0))
    embedded = embed_all(
        paths,
        thumbnail=thumbnail,
        preview=preview,
        large={name for number in chosen for name in names[number]},
        on_done=on_done,
    )
    keep_exact(embedded, paths, [names[number] for number in chosen], round(exact * 1e6))

    left_out = ignored_of(pairs, ignored)
    sizes = [(embedded[name].width, embedded[name].height) for name in pairs.reference]
    masks, hatched = hatches(left_out, sizes)

    def heat_maps(metric: Metric) -> dict[int, HeatMap]:
        maps = {}
        for number in chosen:
            reference, candidate = names[number]
            size = (embedded[reference].height, embedded[reference].width)
            maps[number] = heat_map(
                metric,
                paths[reference],
                paths[candidate],
                size,
                resize=resize,
                ignored=left_out[number],
            )
            on_done()
        return maps

    maps = [None if metric is None else heat_maps(metric) for metric in loaded]
    places = {name: place for place, name in enumerate(paths)}
    data = {
        "version": __version__,
        "source": path.name,
        "thresholds": thresholds,
        "thumbnailSize": thumbnail,
        "previewSize": preview,
        "scale": scale_data(),
        "contexts": [
            _context_data(measured, metric, paths.values())
            for measured, metric in zip(found.contexts, loaded, strict=True)
        ],
        "pairs": {
            **vars(pairs),
            "referenceImage": [places[name] for name in pairs.reference],
            "candidateImage": [places[name] for name in pairs.candidate],
            "hatch": hatched,
        },
        "hatches": masks,
        "images": [vars(image) for image in embedded.values()],
        "maps": [
            None if of_context is None else {n: vars(heat) for n, heat in of_context.items()}
            for of_context in maps
        ],
    }
    notes = [*_image_notes(embedded, searched=images is None), *_map_notes(found, maps)]
    return Report(assemble(title, data), len(names), tuple(notes))


def _counter(progress: Progress, total: int) -> Callable[[], None]:
    """Return a function that reports one more picture."""
    numbers = count(1)
    return lambda: progress(next(numbers), total)


def _in_order(metrics: Mapping[str, Metric], results: Results) -> list[Metric | None]:
    """Return the metric of each context of the results; all of them or none."""
    if not metrics:
        return [None] * len(results.contexts)
    labels = [context.label for context in results.contexts]
    if labels == [""] and len(metrics) == 1:
        # The results do not name their context, so it cannot be checked.
        return [*metrics.values()]
    if set(labels) != set(metrics):
        raise UsageError(
            f"the results were measured in {', '.join(labels)}, the contexts given are "
            f"{', '.join(metrics)}: give those of the results, or none"
        )
    return [metrics[label] for label in labels]


def _thresholds(value: str | float | None, metrics: Sequence[Metric | None]) -> list[float | None]:
    """Return the threshold of each context."""
    number = None if value is None else number_of(value)
    if value is None or number is not None:
        return [number] * len(metrics)
    found = [resolve_threshold(value, metric) for metric in metrics if metric]
    if not found:
        raise UsageError(
            f"the threshold {value} holds in its own context only: give the --context, --ranking, "
            "--importance or --context-name of the results as well"
        )
    return found


def _context_data(
    measured: MeasuredContext, metric: Metric | None, paths: Iterable[Path]
) -> dict[str, Any]:
    """Return a context as the page holds it; with its metric, it is explained in pictures."""
    if metric is None:
        return {**vars(measured), "importances": None, "examples": []}
    return {
        "label": metric.label,
        "words": metric.describe(),
        "parts": measured.parts,
        "importances": metric.importances,
        "examples": [
            {
                "name": example.name,
                "strength": example.strength,
                "picture": data_url(shrink(example.pixels, EXAMPLE_SIDE)),
                "distance": example.distance,
            }
            for example in _examples(metric, paths)
        ],
    }


def _examples(metric: Metric, paths: Iterable[Path]) -> list[Example]:
    """Return the examples of a metric on the first image that can be read."""
    for path in paths:
        try:
            picture = load_picture(path, label="image")
        except ImageError:
            continue
        return examples(metric, composite(picture, DEFAULT_POLICY.background))
    return []


def _image_notes(embedded: Mapping[str, Embedded], *, searched: bool) -> list[str]:
    # A row without a name has an error of its own.
    named = {name: image for name, image in embedded.items() if name}
    missing = [f"{name}: {image.why}" for name, image in named.items() if image.why]
    if not missing:
        return []
    hint = "; --images DIR sets the start of relative paths" if searched else ""
    return [f"{len(missing)} of {len(named)} images cannot be shown ({missing[0]}){hint}"]


def _map_notes(results: Results, maps: Sequence[Mapping[int, HeatMap] | None]) -> list[str]:
    """Warn of maps whose distances differ from those of the results."""
    differing = 0
    for distances, found in zip(results.pairs.distance, maps, strict=True):
        for number, heat in (found or {}).items():
            stated = distances[number]
            if stated is not None and heat.distance is not None:
                differing += abs(heat.distance - stated) > TOLERANCE * max(stated, heat.distance)
    if differing == 0:
        return []
    return [
        f"{differing} of the heat maps belong to other distances than the results state: give "
        "the context that the results were measured in, and the same images"
    ]
