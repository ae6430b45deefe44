"""Describe a context file for people."""

from __future__ import annotations

from collections.abc import Mapping

from dps_infer.contexts.ranking import SIZE
from dps_infer.model.manifest import Calibration, Manifest, Reduced
from dps_infer.show.columns import align_columns

MOST, LEAST = 2, 2
"""Numbers of importances that a summary states as the largest ones, and the smallest ones."""

NAMED = 5
"""So many kinds of one importance are named."""

SHOWN_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def summarize_manifest(manifest: Manifest, *, name: str, sha256: str, size: int) -> list[str]:
    """Return what a user of a context file asks first, in at most ten aligned lines.

    Args:
        manifest: of the file.
        name: the file.
        sha256: of its bytes, in hexadecimal.
        size: number of its bytes.
    """
    metric = manifest.metric
    if manifest.universal:
        context = "universal: --ranking, --importance or --context-name states what matters"
        agreement = "depends on the context: dps-infer contexts show NAME"
    else:
        # Importances have lines of their own.
        words = metric.describe_context()
        context = metric.name if words.startswith("importances ") else f"{metric.name}: {words}"
        agreement = f"{_scores(manifest)} (2AFC, held-out images)"
    # Cells have a size in pixels of the image itself.
    whole = manifest.cell is not None or metric.working_size is None
    pixels = "their own size" if whole else f"{metric.working_size} pixels"
    facts = [
        ("context", context),
        *_extremes(metric.importances or {}),
        ("readings", _readings(manifest)),
        *_typical(manifest.calibration),
        ("agreement", agreement),
        (
            "trained on",
            f"{metric.training_data.images} images, measured on {metric.held_out_data.images} "
            f"others; license {metric.weights.licence}",
        ),
        ("file", f"{name}, {size / 1e6:.1f} MB, compares images at {pixels}"),
        ("SHA-256", sha256),
        ("more", "--all for everything, --json for programs"),
    ]
    return align_columns([[f"{label}:", value] for label, value in facts])


def _extremes(importances: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return lines of what counts most and what least; none of a file that states neither."""
    values = {kind: value for kind, value in importances.items() if (kind, value) != (SIZE, 0)}
    groups: dict[float, list[str]] = {}
    for kind in sorted(values, key=lambda kind: -values[kind]):
        groups.setdefault(values[kind], []).append(kind)
    words = [
        f"{', '.join(kinds) if len(kinds) <= NAMED else f'{len(kinds)} kinds'} {value:.3g}"
        for value, kinds in groups.items()
    ]
    least = words[MOST:][-LEAST:][::-1]
    return [
        (label, "; ".join(shown))
        for label, shown in (("counts most", words[:MOST]), ("counts least", least))
        if shown
    ]


def _readings(manifest: Manifest) -> str:
    """Return what comparing two images with the file tells."""
    kinds = [distortion.name for distortion in manifest.metric.distortions]
    if len(manifest.metric.amounts) > 1:
        return f"a distance, and the part and strength of {', '.join(kinds)}"
    return "a distance, without its parts"


def _typical(calibration: Calibration | None) -> list[tuple[str, str]]:
    """Return a line with the median distance of drawn changes; none of a universal file."""
    if calibration is None:
        return []
    middle = min(
        range(len(calibration.levels)), key=lambda place: abs(calibration.levels[place] - 0.5)
    )
    medians = {kind: distances[middle] for kind, distances in calibration.distances.items()}
    return [("typical", ", ".join(f"{kind} {value:.3g}" for kind, value in medians.items()))]


def describe_manifest(manifest: Manifest, *, name: str, sha256: str) -> list[str]:
    """Return everything that the manifest of a context file states, as aligned lines."""
    metric = manifest.metric
    size = "the images' own" if metric.working_size is None else f"{metric.working_size} pixels"
    facts = [
        ("context", metric.name),
        ("file", name),
        ("SHA-256", sha256),
        ("context in words", metric.describe_context()),
        ("variant", f"{metric.variant}, {manifest.precision}"),
        *([("outputs", ", ".join(manifest.outputs))] if manifest.outputs else []),
        *([("beside float32", _reduced(manifest.reduced))] if manifest.reduced else []),
        ("working size", size),
        ("backbone", f"{metric.backbone}, layers {', '.join(metric.layers)}"),
        ("comparison", metric.comparison),
        ("weights", f"{metric.weights.source} (licence: {metric.weights.licence})"),
        ("trained on", f"{metric.training_data.source}, {metric.training_data.images} images"),
        ("held out", f"{metric.held_out_data.source}, {metric.held_out_data.images} images"),
        ("2AFC score", _scores(manifest)),
        (
            "parity",
            f"within {manifest.parity.max_abs_error:.1e} of training over "
            f"{manifest.parity.pairs} pairs",
        ),
        ("map", manifest.map),
        ("made with", ", ".join(f"{tool} {version}" for tool, version in metric.tools.items())),
    ]
    lines = align_columns([[f"{label}:", value] for label, value in facts])
    if metric.importances is not None:
        importances = [[part, f"{value:g}"] for part, value in metric.importances.items()]
        lines += ["", *align_columns([["part", "importance"], *importances])]
    distortions = [
        [
            distortion.name,
            distortion.unit or "",
            "" if distortion.directions is None else " or ".join(distortion.directions),
            ""
            if distortion.range is None
            else f"{distortion.parameter} {distortion.range[0]:g} to {distortion.range[1]:g}",
        ]
        for distortion in metric.distortions
    ]
    heading = ["distortion", "strength in", "directions", "drawn for calibration"]
    lines += ["", *align_columns([heading, *distortions])]
    if manifest.calibration is not None:
        lines += ["", f"Distances of drawn distortions ({manifest.calibration.images} images):"]
        lines += align_columns(_calibration_rows(manifest.calibration))
    return lines


def _scores(manifest: Manifest) -> str:
    if manifest.universal:
        return "depends on the context"
    scores = manifest.metric.scores
    if scores is None:
        return "none: the context orders no two distortions"
    return (
        f"{scores.adapted:.3f}, unadapted {scores.baseline:.3f}, noise ceiling {scores.ceiling:.3f}"
    )


def _reduced(found: Reduced) -> str:
    return (
        f"2AFC {found.two_afc:.4f} (float32 {found.two_afc_float32:.4f}), order {found.order:.4f} "
        f"({found.order_float32:.4f}), distances within {found.distance.largest:.2g}, on "
        f"{found.pairs} pairs"
    )


def _calibration_rows(calibration: Calibration) -> list[list[str]]:
    """Return the distances at the known levels that are nearest to `SHOWN_LEVELS`."""
    levels = calibration.levels
    shown = sorted(
        {
            min(range(len(levels)), key=lambda place: abs(levels[place] - wanted))
            for wanted in SHOWN_LEVELS
        }
    )
    rows = [["distortion", *(f"{levels[place]:.0%}" for place in shown)]]
    for name, distances in calibration.distances.items():
        rows.append([name, *(f"{distances[place]:.3g}" for place in shown)])
    return rows
