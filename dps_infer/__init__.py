"""Measure how different two images are, in a context that says what matters.

    from dps_infer import Metric

    metric = Metric.universal(ranking="color,translate,zoom,rotate,darken,blur")
    print(metric.compare("reference.png", "candidate.png").distance)

`Metric.load` takes a context file of your own instead.

A distance is >= 0, 0 for identical images, symmetric, and larger for what the
context calls more different. Images are paths, encoded bytes, or uint8 RGB arrays
[height, width, 3]; how files are decoded is stated in `dps_infer.images.decode`.

Everything here is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dps_infer.bulk.batch import score_file as score_file
    from dps_infer.bulk.folder import score_folder as score_folder
    from dps_infer.bulk.folder_pairs import find_images as find_images
    from dps_infer.bulk.folder_pairs import matching_pairs as matching_pairs
    from dps_infer.bulk.results import read_results as read_results
    from dps_infer.bulk.thresholds import calibrate_file as calibrate_file
    from dps_infer.bulk.thresholds import resolve_threshold as resolve_threshold
    from dps_infer.bulk.thresholds import write_threshold as write_threshold
    from dps_infer.compare.candidates import compare_candidates as compare_candidates
    from dps_infer.compare.candidates import rank_candidates as rank_candidates
    from dps_infer.compare.metric import Metric as Metric
    from dps_infer.compare.pairs import Comparison as Comparison
    from dps_infer.compare.stream import Scored as Scored
    from dps_infer.compare.stream import score as score
    from dps_infer.contexts.context import Context as Context
    from dps_infer.doctor import examine as examine
    from dps_infer.errors import ContextError as ContextError
    from dps_infer.errors import DataError as DataError
    from dps_infer.errors import DeviceError as DeviceError
    from dps_infer.errors import DpsError as DpsError
    from dps_infer.errors import ImageError as ImageError
    from dps_infer.images.decode import DecodePolicy as DecodePolicy
    from dps_infer.model.manifest import Manifest as Manifest
    from dps_infer.model.view import View as View
    from dps_infer.report import build_report as build_report
    from dps_infer.show.heatmap import draw_map as draw_map
    from dps_infer.video.compare import compare_videos as compare_videos
    from dps_infer.video.frames import ClipPair as ClipPair
    from dps_infer.video.frames import Sampling as Sampling

    __version__: str

_HOMES = {
    "ClipPair": "dps_infer.video.frames",
    "Comparison": "dps_infer.compare.pairs",
    "Context": "dps_infer.contexts.context",
    "ContextError": "dps_infer.errors",
    "DataError": "dps_infer.errors",
    "DecodePolicy": "dps_infer.images.decode",
    "DeviceError": "dps_infer.errors",
    "DpsError": "dps_infer.errors",
    "ImageError": "dps_infer.errors",
    "Manifest": "dps_infer.model.manifest",
    "Metric": "dps_infer.compare.metric",
    "Sampling": "dps_infer.video.frames",
    "Scored": "dps_infer.compare.stream",
    "View": "dps_infer.model.view",
    "build_report": "dps_infer.report",
    "calibrate_file": "dps_infer.bulk.thresholds",
    "compare_candidates": "dps_infer.compare.candidates",
    "compare_videos": "dps_infer.video.compare",
    "draw_map": "dps_infer.show.heatmap",
    "examine": "dps_infer.doctor",
    "find_images": "dps_infer.bulk.folder_pairs",
    "matching_pairs": "dps_infer.bulk.folder_pairs",
    "rank_candidates": "dps_infer.compare.candidates",
    "read_results": "dps_infer.bulk.results",
    "resolve_threshold": "dps_infer.bulk.thresholds",
    "score": "dps_infer.compare.stream",
    "score_file": "dps_infer.bulk.batch",
    "score_folder": "dps_infer.bulk.folder",
    "write_threshold": "dps_infer.bulk.thresholds",
}

__all__ = [
    "ClipPair",
    "Comparison",
    "Context",
    "ContextError",
    "DataError",
    "DecodePolicy",
    "DeviceError",
    "DpsError",
    "ImageError",
    "Manifest",
    "Metric",
    "Sampling",
    "Scored",
    "View",
    "__version__",
    "build_report",
    "calibrate_file",
    "compare_candidates",
    "compare_videos",
    "draw_map",
    "examine",
    "find_images",
    "matching_pairs",
    "rank_candidates",
    "read_results",
    "resolve_threshold",
    "score",
    "score_file",
    "score_folder",
    "write_threshold",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    value: Any
    if name == "__version__":
        value = _installed_version()
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})


def _installed_version() -> str:
    # importlib.metadata takes a few hundredths of a second, which only --version should pay.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dps-toolkit")
    except PackageNotFoundError:
        return "0+unknown"
