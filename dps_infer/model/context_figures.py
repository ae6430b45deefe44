"""2AFC scores of the embedded metric in a context, for saved contexts."""

from __future__ import annotations

import msgspec

from dps_infer.contexts.context import Context
from dps_infer.model import embedded
from dps_infer.model.calibration import scores
from dps_infer.model.context_file import read_context_file


def embedded_figures(context: Context) -> dict[str, float]:
    """Return ``baseline``, ``adapted`` and ``ceiling`` (`dps_infer.model.manifest.Scores`).

    Empty if the context orders nothing, or has other distortions than the embedded metric.
    """
    manifest = read_context_file(embedded.UNIVERSAL).manifest
    metric, draws = manifest.metric, manifest.draws
    if draws is None or metric.distortion_names != context.distortions:
        return {}
    found = scores(draws, metric.amounts, context)
    if found is None:
        return {}
    return {name: float(value) for name, value in msgspec.structs.asdict(found).items()}
