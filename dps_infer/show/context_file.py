"""Describe a context file for people."""

from __future__ import annotations

from dps_infer.model.manifest import Calibration, Manifest, Reduced
from dps_infer.show.columns import align_columns

SHOWN_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def summarize_manifest(manifest: Manifest, *, name: str, sha256: str) -> list[str]:
    """Return what a user of a context file asks first, in at most ten aligned lines.

    Args:
        manifest: of the file.
        name: the file.
        sha256: of its bytes, in hexadecimal.
    """
    metric = manifest.metric
    kinds = [distortion.name for distortion in metric.distortions]
    if manifest.universal:
        context = "universal: --ranking, --importance or --context-name states what matters"
        score = "depends on the context: dps-infer contexts show NAME"
    else:
        context = f"{metric.name}: {metric.describe_context()}"
        score = f"{_scores(manifest)} (2AFC, held-out images)"
    facts = [
        ("context", context),
        ("file", name),
        ("tells apart", ", ".join(kinds) if len(metric.amounts) > 1 else "no kinds of change"),
        ("agreement", score),
        ("trained on", f"{metric.training_data.images} images"),
        ("measured on", f"{metric.held_out_data.images} other images"),
        ("license", metric.weights.licence),
        ("checked", f"within {manifest.parity.max_abs_error:.1e} of PyTorch, at export"),
        ("SHA-256", sha256),
        ("more", "--all for everything, --json for programs"),
    ]
    return align_columns([[f"{label}:", value] for label, value in facts])


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
