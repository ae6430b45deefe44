"""Assert in tests that an image looks like a baseline.

    from dps_infer.testing import assert_similar

    def test_page():
        assert_similar(
            screenshot(), "baselines/page.png", ranking="color,translate,blur", threshold=0.05
        )

If the assertion fails, both images and a heat map of their difference are saved, and the message
names their folder, the parts of the difference, and the regions that differ. With the environment
variable ``DPS_UPDATE_BASELINES`` set to 1, the baselines are replaced instead of compared; review
the changes before you commit them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from dps_infer.bulk.thresholds import resolve_threshold
from dps_infer.compare.metric import Metric
from dps_infer.compare.pairs import Comparison
from dps_infer.compare.regions.gate import Gate
from dps_infer.contexts.context import Context
from dps_infer.contexts.folders import find
from dps_infer.errors import ImageError, UsageError
from dps_infer.images.decode import (
    DEFAULT_POLICY,
    WHITE,
    DecodePolicy,
    ImageSource,
    Pair,
    Picture,
    composite,
    load_picture,
    make_pair,
)
from dps_infer.images.ignored import BoxSource, Ignored, as_ignored
from dps_infer.model import embedded
from dps_infer.rules.book import RuleBook
from dps_infer.rules.file import FILE, find_rules, read_rules
from dps_infer.rules.layers import CONTEXT, GATE, RESIZE
from dps_infer.rules.opened import OpenedRules
from dps_infer.runtime.device import Device
from dps_infer.show.heatmap import draw_map, save_picture
from dps_infer.show.regions import region_lines
from dps_infer.show.words import describe

UPDATE = "DPS_UPDATE_BASELINES"
"""The environment variable that replaces baselines."""

FAILURES = Path("dps-failures")
"""The default folder for images of failures, in the current folder."""


def assert_similar(
    actual: ImageSource,
    expected: ImageSource,
    *,
    threshold: float | str | os.PathLike[str] | None = None,
    metric: Metric | str | os.PathLike[str] | None = None,
    ranking: str | None = None,
    importances: str | Mapping[str, float] | None = None,
    context_name: str | None = None,
    ignore: Ignored | Sequence[BoxSource] | None = None,
    gate: Gate | str | None = None,
    save_to: str | os.PathLike[str] | None = None,
    update: bool | None = None,
    policy: DecodePolicy = DEFAULT_POLICY,
) -> Comparison | None:
    """Assert that an image looks like a baseline, in a context.

    Of `threshold`, the context, `ignore` and `gate`, the ones that are not given come from the
    nearest ``dps.toml`` in the current folder or above it, if there is one: from its tables for
    the name of the baseline, or from its top (docs/visual-regression.md).

    Args:
        actual: the image of the test: a path, an encoded image, an open file, an array, or an image
            of Pillow (`dps_infer.images.decode.ImageSource`).
        expected: the baseline, in the same forms; it can only be updated if it is a path.
        threshold: the largest distance that passes; or ``"auto"`` or the path of a threshold file
            (``dps-infer calibrate``).
        metric: a metric, or the path of a context file; None takes the universal metric of this
            package. Files are loaded on the CPU, so that a test gives the same result everywhere.
        ranking: for a universal file, like ``"color,translate,blur"``.
        importances: for a universal file, in place of a ranking: ``{"color": 0.1, "blur": 5}``.
        context_name: for a universal file, in place of both: a saved context, such as
            ``"ui-regression"`` (`dps_infer.contexts.folders`).
        ignore: parts to leave out, such as a clock: boxes in pixels or percent of the baseline,
            like ``["10,20,300,40", "0,90%,100%,10%"]`` (left edge, upper edge, width, height), or
            `dps_infer.Ignored`, which also takes a mask.
        gate: what the threshold applies to: the ``"whole"`` image, or its ``"worst"`` region too,
            so that a small defect cannot hide in a large image.
        save_to: a folder for the images of a failure, which replace those of an earlier one; None
            takes ``dps-failures/<test>-<baseline>``, with pytest's name of the test.
        update: write `actual` to `expected` as the new baseline instead of comparing; None
            follows ``DPS_UPDATE_BASELINES``.
        policy: options of the decode policy, and the layout of arrays.

    Returns:
        The comparison; None after an update.

    Raises:
        AssertionError: the distance, or that of a region, is above the threshold; the sizes
            differ; or there is no baseline.
        DpsError: the images, the context, the threshold or a ``dps.toml`` cannot be used; or
            nothing states a threshold.
    """
    __tracebackhide__ = True
    new = load_picture(actual, label="actual", policy=policy)
    if _update() if update is None else update:
        _write_baseline(new, expected)
        return None
    if isinstance(expected, (str, os.PathLike)) and not Path(expected).exists():
        folder = _save({"actual": new}, save_to, expected)
        raise AssertionError(
            f"there is no baseline {os.fspath(expected)}: look at {folder / 'actual.png'}, and "
            f"if it is correct, run the test with {UPDATE}=1"
        )
    rules = _rules()
    settings = rules.book.settings(expected if isinstance(expected, (str, os.PathLike)) else None)
    own = metric is ranking is importances is context_name is None
    if own and settings[CONTEXT].value:
        (loaded,) = rules.open_contexts(settings).values()
    else:
        loaded = _metric(metric, ranking, importances, context_name)
    if threshold is None:
        (limit,) = rules.open_thresholds(settings, {"": loaded}).values()
    else:
        given = os.fspath(threshold) if isinstance(threshold, os.PathLike) else threshold
        limit = resolve_threshold(given, loaded)
    if limit is None:
        raise UsageError(f"no threshold: give one, or state one in {FILE}")
    by = _gate(settings[GATE].value if gate is None else gate)
    old = load_picture(expected, label="expected", policy=policy)
    pictures = {"expected": old, "actual": new}
    resize = settings[RESIZE].value
    if old.size != new.size and not resize:
        folder = _save(pictures, save_to, expected)
        raise AssertionError(
            f"the size is {_by(new.size)}, expected {_by(old.size)} (width x height); "
            f"images in {folder}"
        )
    ignored = rules.open_ignored(settings) if ignore is None else as_ignored(ignore)
    pair = make_pair(old, new, resize=resize, policy=policy, ignored=ignored)
    regions = by if by is Gate.worst else None
    (comparison,) = loaded.compare_pairs([pair], with_map=False, regions=regions)
    if not comparison.gated > limit:
        return comparison
    folder = _save(pictures, save_to, expected)
    drawn = loaded.gives("map")
    (comparison,) = loaded.compare_pairs([pair], with_map=drawn, regions=by)
    if drawn:
        _save_map(pair, loaded, comparison, folder / "map.png")
    lines = [*describe(comparison, loaded, threshold=limit), *region_lines(comparison)]
    where = f"images and heat map in {folder}" if drawn else f"images in {folder}"
    raise AssertionError("\n".join([*lines, where]))


def _gate(value: Gate | str) -> Gate:
    try:
        return Gate(value)
    except ValueError:
        known = " or ".join(gate.value for gate in Gate)
        raise UsageError(f"unknown gate {value!r}: expected {known}") from None


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
    # A baseline with the same pixels is not rewritten: version control shows only real changes.
    if not _same(picture, path):
        save_picture(composite(picture, WHITE), path, force=True)


def _same(picture: Picture, path: Path) -> bool:
    try:
        old = load_picture(path, label="expected")
    except ImageError:
        return False
    return old.size == picture.size and make_pair(old, picture).identical


def _rules() -> OpenedRules:
    """Return the rules of the nearest file; those of one file are opened once."""
    path = find_rules()
    return _read(None, 0) if path is None else _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read(path: Path | None, _changed: int) -> OpenedRules:
    file = None if path is None else read_rules(path)
    return OpenedRules(RuleBook(file), device=Device.cpu)


def _metric(
    metric: Metric | str | os.PathLike[str] | None,
    ranking: str | None,
    importances: str | Mapping[str, float] | None,
    context_name: str | None,
) -> Metric:
    """Return the metric of an assertion."""
    if isinstance(metric, Metric):
        if ranking is importances is context_name is None:
            return metric
        context = _saved_context(context_name)
        return metric.in_context(ranking=ranking, importances=importances, context=context)
    # A mapping cannot be a cache key.
    numbers = tuple(importances.items()) if isinstance(importances, Mapping) else importances
    path = os.path.abspath(embedded.UNIVERSAL if metric is None else metric)
    return _load(path, ranking, numbers, context_name)


@lru_cache(maxsize=16)
def _load(
    path: str,
    ranking: str | None,
    importances: str | tuple[tuple[str, float], ...] | None,
    context_name: str | None,
) -> Metric:
    """Load a file once for all assertions of a run."""
    numbers = dict(importances) if isinstance(importances, tuple) else importances
    context = _saved_context(context_name)
    return Metric.load(
        path, ranking=ranking, importances=numbers, context=context, device=Device.cpu
    )


def _saved_context(name: str | None) -> Context | None:
    return None if name is None else find(name).context


def _save(
    pictures: Mapping[str, Picture],
    save_to: str | os.PathLike[str] | None,
    expected: ImageSource,
) -> Path:
    """Write the images of a failure and return their folder."""
    folder = _default_folder(expected) if save_to is None else Path(save_to)
    # The map of an earlier failure does not belong to these images.
    (folder / "map.png").unlink(missing_ok=True)
    for name, picture in pictures.items():
        save_picture(composite(picture, WHITE), folder / f"{name}.png", force=True)
    return folder


def _save_map(pair: Pair, metric: Metric, comparison: Comparison, path: Path) -> None:
    candidate = pair.renderings[0][1]
    picture = draw_map(
        comparison, metric, candidate, overlay=True, legend=True, ignored=pair.ignored
    )
    save_picture(picture, path, force=True)


def _default_folder(expected: ImageSource) -> Path:
    # For example "tests/test_page.py::test_page[dark] (call)".
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rsplit(" ", 1)[0]
    baseline = Path(expected).stem if isinstance(expected, (str, os.PathLike)) else ""
    name = "-".join(part for part in (test.replace("/", "-"), baseline) if part) or "image"
    return FAILURES / re.sub(r"[^\w.=-]+", "-", name, flags=re.ASCII).strip("-")[-120:]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
