"""Measure how different two images are, in a context that states what matters.

    from dps_infer import Metric

    metric = Metric.universal(ranking="color,translate,zoom,rotate,darken,blur")
    print(metric.compare("reference.png", "candidate.png").distance)

`Metric.load` takes a context file of your own instead.

A distance is >= 0, 0 for identical images, symmetric, and larger for images that the context
calls more different. Images are paths, encoded bytes, open files, images of Pillow, or arrays
(`dps_infer.arrays.ArrayLayout`); `dps_infer.images.decode` states how files are decoded.

Everything is loaded on first use, so importing the package is cheap.
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
    from dps_infer.bulk.threshold_estimate import calibrate_file as calibrate_file
    from dps_infer.bulk.thresholds import resolve_threshold as resolve_threshold
    from dps_infer.bulk.thresholds import write_threshold as write_threshold
    from dps_infer.compare.candidates import compare_candidates as compare_candidates
    from dps_infer.compare.candidates import rank_candidates as rank_candidates
    from dps_infer.compare.metric import Metric as Metric
    from dps_infer.compare.pairs import Comparison as Comparison
    from dps_infer.compare.pairs import Region as Region
    from dps_infer.compare.regions.gate import Gate as Gate
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
    from dps_infer.images.ignored import Ignored as Ignored
    from dps_infer.model.manifest import Manifest as Manifest
    from dps_infer.report.build import build_report as build_report
    from dps_infer.show.heatmap import draw_map as draw_map
    from dps_infer.version import __version__ as __version__
    from dps_infer.video.compare import compare_videos as compare_videos
    from dps_infer.video.frames import ClipPair as ClipPair
    from dps_infer.video.frames import Sampling as Sampling

_NAMES = {
    "bulk.batch": ("score_file",),
    "bulk.folder": ("score_folder",),
    "bulk.folder_pairs": ("find_images", "matching_pairs"),
    "bulk.results": ("read_results",),
    "bulk.threshold_estimate": ("calibrate_file",),
    "bulk.thresholds": ("resolve_threshold", "write_threshold"),
    "compare.candidates": ("compare_candidates", "rank_candidates"),
    "compare.metric": ("Metric",),
    "compare.pairs": ("Comparison", "Region"),
    "compare.regions.gate": ("Gate",),
    "compare.stream": ("Scored", "score"),
    "contexts.context": ("Context",),
    "doctor": ("examine",),
    "errors": ("ContextError", "DataError", "DeviceError", "DpsError", "ImageError"),
    "images.decode": ("DecodePolicy",),
    "images.ignored": ("Ignored",),
    "model.manifest": ("Manifest",),
    "report.build": ("build_report",),
    "show.heatmap": ("draw_map",),
    "version": ("__version__",),
    "video.compare": ("compare_videos",),
    "video.frames": ("ClipPair", "Sampling"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, whether they are loaded or not."""
    return sorted({*globals(), *__all__})
