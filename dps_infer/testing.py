"""For tests: assert that an image looks like the one that is expected.

    from dps_infer.testing import assert_similar

    def test_page():
        assert_similar(
            screenshot(), "baselines/page.png", ranking="color,translate,blur", threshold=0.05
        )

If the assertion fails, both images and the heat map of their difference are saved, and the
message says where, and what the difference is made of. With the environment variable
``DPS_UPDATE_BASELINES`` set to 1, the images that are expected are written instead of compared
with; look at what changed before you commit it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from dps_infer.bulk.thresholds import resolve_threshold
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.contexts.folders import find
from dps_infer.errors import ImageError, UsageError
from dps_infer.images.decode import (
    WHITE,
    ImageSource,
    Pair,
    Picture,
    composite,
    load_picture,
    make_pair,
)
from dps_infer.model import embedded
from dps_infer.model.view import View
from dps_infer.runtime.device import Device
from dps_infer.show.heatmap import draw_map, save_picture
from dps_infer.show.words import describe

UPDATE = "DPS_UPDATE_BASELINES"
"""The environment variable that asks for new baselines."""

FAILURES = Path("dps-failures")
"""Where images of failures go unless told otherwise, in the folder the tests run in."""


def assert_similar(
    actual: ImageSource,
    expected: ImageSource,
    *,
    threshold: float | str,
    metric: Metric | str | os.PathLike[str] | None = None,
    ranking: str | None = None,
    importances: str | Mapping[str, float] | None = None,
    context_name: str | None = None,
    view: View | str | None = None,
    save_to: str | os.PathLike[str] | None = None,
    update: bool | None = None,
) -> Comparison | None:
    """Assert that an image looks like the one that is expected, in a context.

    Args:
        actual: what the test made: a path, an encoded image, or uint8 RGB pixels [H, W, 3].
        expected: the baseline, likewise; to be updated, it must be a path.
        threshold: the largest distance that passes; or ``"auto"`` or the path of a threshold
            file (``dps-infer calibrate``).
        metric: a loaded context, or the path of a context file; without it, the universal
            metric of this package. Files are computed on the CPU, so that a test reads alike
            everywhere.
        ranking: for a universal file, what matters: ``"color,translate,blur"``.
        importances: instead of a ranking: ``{"color": 0.1, "blur": 5}``.
        context_name: instead of both, a saved context, such as ``"ui-regression"``
            (`dps_infer.contexts.folders`).
        view: how to look at the images, as in `Metric.compare`.
        save_to: a folder for the images of a failure; None for
            ``dps-failures/<test>-<baseline>``, by pytest's name for the test. What an earlier
            failure left there is replaced.
        update: write `actual` to `expected` as the new baseline instead of comparing; None
            does what ``DPS_UPDATE_BASELINES`` says.

    Returns:
        The comparison; None after an update.

    Raises:
        AssertionError: the distance is above the threshold, the sizes differ, or there is no
            baseline.
        DpsError: the images, the context or the threshold cannot be used.
    """
    __tracebackhide__ = True
    new = load_picture(actual, label="actual")
    if _update() if update is None else update:
        _write_baseline(new, expected)
        return None
    if isinstance(expected, (str, os.PathLike)) and not Path(expected).exists():
        folder = _save({"actual": new}, save_to, expected)
        raise AssertionError(
            f"there is no baseline {os.fspath(expected)}: look at {folder / 'actual.png'}, and "
            f"if it is as it should be, run the test with {UPDATE}=1"
        )
    loaded = _metric(metric, ranking, importances, context_name)
    bar = resolve_threshold(threshold, loaded, view=view)
    old = load_picture(expected, label="expected")
    pictures = {"expected": old, "actual": new}
    if old.size != new.size:
        folder = _save(pictures, save_to, expected)
        raise AssertionError(
            f"the size is {_by(new.size)}, expected {_by(old.size)} (width x height); "
            f"images in {folder}"
        )
    pair = make_pair(old, new)
    (comparison,) = loaded.compare_pairs([pair], view=view, with_map=False)
    if bar is None or not comparison.distance > bar:
        return comparison
    folder = _save(pictures, save_to, expected)
    _save_map(pair, loaded, view, folder / "map.png")
    lines = describe(comparison, loaded, threshold=bar)
    raise AssertionError("\n".join([*lines, f"images and heat map in {folder}"]))


def _update() -> bool:
    value = os.environ.get(UPDATE, "").strip().lower()
    if value in ("", "0", "false", "no"):
        return False
    if value in ("1", "true", "yes"):
        return True
    raise UsageError(f"{UPDATE} is {value!r}: expected 1 or 0")


def _write_baseline(picture: Picture, expected: ImageSource) -> None:
    if not isinstance(expected, (str, os.PathLike)):
        raise UsageError(
            "only a baseline that is a path can be updated: expected a path, got "
            f"{type(expected).__name__}"
        )
    path = Path(expected)
    if path.suffix.lower() != ".png":
        raise UsageError(f"{path}: expected a baseline in PNG, which keeps every pixel")
    # Unchanged pixels leave the file alone, so that version control shows what changed.
    if not _same(picture, path):
        save_picture(composite(picture, WHITE), path, force=True)


def _same(picture: Picture, path: Path) -> bool:
    try:
        old = load_picture(path, label="expected")
    except ImageError:
        return False
    return old.size == picture.size and make_pair(old, picture).identical


def _metric(
    metric: Metric | str | os.PathLike[str] | None,
    ranking: str | None,
    importances: str | Mapping[str, float] | None,
    context_name: str | None,
) -> Metric:
    if isinstance(metric, Metric):
        if ranking is importances is context_name is None:
            return metric
        context = None if context_name is None else find(context_name).context
        return metric.in_context(ranking=ranking, importances=importances, context=context)
    # A file is opened once for all assertions of a run. A mapping cannot be a cache key.
    numbers = tuple(importances.items()) if isinstance(importances, Mapping) else importances
    path = os.path.abspath(embedded.UNIVERSAL if metric is None else metric)
    return _loaded(path, ranking, numbers, context_name)


@lru_cache(maxsize=16)
def _loaded(
    path: str,
    ranking: str | None,
    importances: str | tuple[tuple[str, float], ...] | None,
    context_name: str | None,
) -> Metric:
    numbers = dict(importances) if isinstance(importances, tuple) else importances
    context = None if context_name is None else find(context_name).context
    return Metric.load(
        path, ranking=ranking, importances=numbers, context=context, device=Device.cpu
    )


def _save(
    pictures: Mapping[str, Picture],
    save_to: str | os.PathLike[str] | None,
    expected: ImageSource,
) -> Path:
    """Write the images of a failure and return their folder."""
    folder = _default_folder(expected) if save_to is None else Path(save_to)
    # A map of an earlier failure would not belong to these images.
    (folder / "map.png").unlink(missing_ok=True)
    for name, picture in pictures.items():
        save_picture(composite(picture, WHITE), folder / f"{name}.png", force=True)
    return folder


def _save_map(pair: Pair, metric: Metric, view: View | str | None, path: Path) -> None:
    (comparison,) = metric.compare_pairs([pair], view=view, with_map=True)
    candidate = pair.renderings[0][1]
    picture = draw_map(comparison, metric, candidate, overlay=True, legend=True)
    save_picture(picture, path, force=True)


def _default_folder(expected: ImageSource) -> Path:
    # "tests/test_page.py::test_page[dark] (call)", while pytest runs it.
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rsplit(" ", 1)[0]
    baseline = Path(expected).stem if isinstance(expected, (str, os.PathLike)) else ""
    name = "-".join(part for part in (test.replace("/", "-"), baseline) if part) or "image"
    return FAILURES / re.sub(r"[^\w.=-]+", "-", name, flags=re.ASCII).strip("-")[-120:]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
