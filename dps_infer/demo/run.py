"""Compare the pictures of the demo in two contexts, and write what came out into a folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dps_infer.bulk.results import CANDIDATE, REFERENCE, open_results, row
from dps_infer.compare.candidates import compare_candidates
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.contexts.folders import GALLERY
from dps_infer.contexts.saved import read_saved
from dps_infer.demo import pictures
from dps_infer.demo.page import View, build_page, make_view
from dps_infer.files.write import atomic_folder, check_output
from dps_infer.report.build import build_report
from dps_infer.runtime.device import Device
from dps_infer.show.heatmap import save_picture

CONTEXTS = {
    "print-inspection": "No sheet lies in exactly the same place twice, so a shift hardly counts. "
    "A wrong color is a fault.",
    "map-rendering": "A map has another style by day and by night, so color hardly counts. "
    "A shift misleads.",
}
"""Two contexts of the gallery that disagree, each with its reason."""

CAPTIONS = {
    pictures.REFERENCE: "the original",
    pictures.SHIFTED: f"moved by {pictures.SHIFT[0]} and {pictures.SHIFT[1]} px",
    pictures.RECOLORED: "every hue turned",
}

QUESTION = "Which copy differs more from the photograph?"
PAGE, RESULTS, REPORT = "demo.html", "results.csv", "report.html"


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo found and wrote.

    Attributes:
        folder: everything that it wrote.
        metrics: the two contexts by name.
        comparisons: of each changed copy by its name, in each context.
        views: the two answers.
    """

    folder: Path
    metrics: Mapping[str, Metric]
    comparisons: Mapping[str, Mapping[str, Comparison]]
    views: tuple[View, ...]


def run_demo(
    folder: Path,
    *,
    force: bool = False,
    device: Device | str = Device.auto,
    threads: int | None = None,
) -> Demo:
    """Compare a photograph with two changed copies of it in two contexts.

    Needs no files and no network. Writes pictures, heat maps, a page, results, and a report.

    Args:
        folder: to write; it appears when everything is in it.
        force: replace an existing folder.
        device: see `Metric.load`.
        threads: see `Metric.load`.

    Raises:
        OutputError: the folder exists, or cannot be written.
        DeviceError: see `Metric.load`.
    """
    check_output(folder, force=force, folder=True)
    # Not by name: a saved context of the user may have the same one.
    contexts = {name: read_saved(GALLERY / f"{name}.toml") for name in CONTEXTS}
    first, second = contexts.values()
    metric = Metric.universal(context=first, device=device, threads=threads)
    metrics = dict(zip(contexts, (metric, metric.in_context(context=second)), strict=True))
    images = pictures.draw_pictures()
    names = [name for name in images if name != pictures.REFERENCE]
    found = compare_candidates(
        images[pictures.REFERENCE], [images[name] for name in names], metrics, with_map=True
    )
    comparisons = dict(zip(names, found, strict=True))
    views = tuple(
        make_view(
            name,
            CONTEXTS[name],
            metrics[name],
            {picture: by_context[name] for picture, by_context in comparisons.items()},
            images,
        )
        for name in metrics
    )
    with atomic_folder(folder, force=force) as temporary:
        for name, pixels in images.items():
            save_picture(pixels, temporary / f"{name}.png")
        for view in views:
            for reading in view.readings:
                save_picture(reading.heat_map, temporary / f"{view.title}-{reading.name}.png")
        (temporary / PAGE).write_bytes(
            build_page(QUESTION, images, views, captions=CAPTIONS, then=commands(folder))
        )
        with open_results(temporary / RESULTS, metrics) as write:
            for name, by_context in comparisons.items():
                pair = {REFERENCE: f"{pictures.REFERENCE}.png", CANDIDATE: f"{name}.png"}
                write({**pair, **row(by_context, metrics)})
        report = build_report(temporary / RESULTS, metrics=metrics, title=QUESTION)
        (temporary / REPORT).write_bytes(report.page)
    return Demo(folder, metrics, comparisons, views)


def commands(folder: Path) -> list[tuple[str, str]]:
    """Return commands to try next, each with what it does."""
    reference, shifted, _ = (shlex.quote(str(folder / f"{name}.png")) for name in CAPTIONS)
    context, *_ = CONTEXTS
    return [
        (f"dps-infer compare {reference} {shifted} --context-name {context}", "one pair"),
        ("dps-infer contexts list", "the contexts of the gallery"),
        ("dps-infer compare -h", "state what matters to you"),
    ]
