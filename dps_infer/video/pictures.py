"""Draw the comparison of two videos: distances over time, and the worst frames."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from dps_infer.arrays import Pixels
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.compare.summary import Thresholds
from dps_infer.errors import OutputError
from dps_infer.extras import install
from dps_infer.images.decode import Pair, load_picture, make_pair
from dps_infer.images.ignored import Ignored
from dps_infer.show.heatmap import draw_map, save_picture
from dps_infer.show.regions import hatch
from dps_infer.video.compare import FrameScore, VideoScores

GAP = 8
"""Width in pixels of the white gap between pictures placed side by side."""


def can_plot() -> bool:
    """Return whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def check_plot() -> None:
    """Refuse a plot that cannot be drawn, before any long work.

    Raises:
        OutputError: matplotlib is not installed.
    """
    if not can_plot():
        raise OutputError(f"the plot needs matplotlib: {install('plot')}; or pass --no-plot")


def save_plot(
    scores: VideoScores,
    metrics: Mapping[str, Metric],
    path: Path,
    *,
    thresholds: Thresholds | None = None,
) -> None:
    """Plot distances over time, with a line and a dashed threshold per metric.

    Args:
        scores: the results.
        metrics: by label.
        path: ``.png``, ``.svg`` or ``.pdf``.
        thresholds: largest accepted distances, by the label of the metric.

    Raises:
        OutputError: matplotlib is not installed.
    """
    check_plot()
    # Without pyplot, which would change state of the whole process.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for label, metric in metrics.items():
        # A dollar sign would start a formula.
        name = metric.describe().replace("$", r"\$")
        (line,) = axes.plot(scores.times, scores.distances[label], linewidth=1, label=name)
        threshold = (thresholds or {}).get(label)
        if threshold is not None:
            axes.axhline(threshold, color=line.get_color(), linestyle="--", linewidth=1)
    first = next(iter(metrics))
    axes.scatter(
        [scored.pair.time for scored in scores.worst],
        [scored.comparisons[first].distance for scored in scores.worst],
        color="black",
        s=12,
        zorder=3,
        label="worst frames",
    )
    axes.set(xlabel="time in seconds", ylabel="distance", ylim=(0, None))
    axes.legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=120)


def save_worst(
    worst: tuple[FrameScore, ...],
    metrics: Mapping[str, Metric],
    folder: Path,
    *,
    resize: bool = False,
    ignored: Ignored | None = None,
) -> list[Path]:
    """Write the worst frames: reference, candidate and a heat map per metric, side by side.

    Args:
        worst: the worst frame first.
        metrics: by label.
        folder: created if needed.
        resize: as in the comparison of the frames.
        ignored: as in the comparison of the frames.

    Returns:
        The paths of the pictures, ``<place>-frame-<number>.png``.
    """
    paths = []
    for place, scored in enumerate(worst, start=1):
        pair = make_pair(
            load_picture(scored.pair.reference, label="reference"),
            load_picture(scored.pair.candidate, label="candidate"),
            resize=resize,
            ignored=ignored,
        )
        path = folder / f"{place:0{len(str(len(worst)))}}-frame-{scored.pair.frame:06}.png"
        save_picture(_side_by_side(pair, metrics, scored.comparisons), path)
        paths.append(path)
    return paths


def _side_by_side(
    pair: Pair, metrics: Mapping[str, Metric], compared: Mapping[str, Comparison]
) -> Pixels:
    ((reference, candidate), *_) = pair.renderings
    pictures = [reference, candidate]
    for label, metric in metrics.items():
        (comparison,) = metric.compare_pairs([pair], with_map=True)
        known = replace(comparison, regions=compared[label].regions)
        pictures.append(draw_map(known, metric, candidate, overlay=True))
    if pair.ignored is not None:
        for picture in pictures:
            hatch(picture, pair.ignored)
    gaps = [
        cv2.copyMakeBorder(picture, 0, 0, 0, GAP, cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for picture in pictures
    ]
    return np.asarray(np.concatenate(gaps, axis=1)[:, :-GAP], np.uint8)
