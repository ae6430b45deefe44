"""The manifest of a run folder, which `dps-train` writes; reading it needs no PyTorch."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec

from dps_infer.contexts.context import Context
from dps_infer.contexts.ranking import OTHER
from dps_infer.contexts.saved import check_saved
from dps_infer.errors import DpsError, UsageError
from dps_infer.model.manifest import Calibration, Draws, Ladder, MetricInfo

FORMAT_VERSION = 4
"""The one format of run folders that this version reads and writes."""

MANIFEST = "manifest.json"


class RunError(DpsError):
    """A run folder that is missing, incomplete or altered."""


class RunManifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The description of a run."""

    format: int
    metric: MetricInfo
    calibration: Calibration
    draws: Draws | None
    """From which calibration and scores of other contexts follow, where the head reports amounts
    and there are images that show all distortions."""
    ladders: list[Ladder]
    """Well-known changes to read distances beside."""
    settings: dict[str, int | float | str]
    """Settings of the training, for the record."""
    files: dict[str, str]
    """SHA-256 of the other files, by name."""


def read_manifest(folder: Path) -> RunManifest:
    """Read the manifest of a run folder.

    Raises:
        RunError: the folder or its manifest is missing, of another format, or not valid.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is no run folder: expected one that dps-train wrote")
    if not (folder / MANIFEST).is_file():
        raise RunError(f"{folder} lacks {MANIFEST}: it is not a complete run, train it again")
    try:
        raw = json.loads((folder / MANIFEST).read_bytes())
        version = raw.get("format") if isinstance(raw, dict) else None
        if type(version) is int and version != FORMAT_VERSION:
            newer = version > FORMAT_VERSION
            raise RunError(
                f"{folder} has run format {version}, this version reads {FORMAT_VERSION}: "
                + ("upgrade dps-toolkit" if newer else "train it again")
            )
        return msgspec.convert(raw, RunManifest)
    except (ValueError, RecursionError, OSError) as error:
        raise RunError(
            f"{folder / MANIFEST} is not a valid run manifest ({error}): train it again"
        ) from None


def run_context(manifest: RunManifest, folder: str, *, name: str, why: str) -> Context:
    """Return the context that a run was adapted to, ready to be saved.

    Args:
        manifest: the run's.
        folder: the name of its folder, for the record.
        name: of the new context.
        why: its reasons.

    Raises:
        UsageError: its metric tells no kinds of change apart, and it was given no ranking; or
            the name or the reasons are not valid.
    """
    metric = manifest.metric
    context = metric.context
    if context is None or (context.ranking is None and metric.amounts == [OTHER]):
        raise UsageError(
            f"{folder} tells no kinds of change apart (variant {metric.variant}), so it has no "
            "importances to save: train it with --variant additive"
        )
    origin = f"run {folder}: variant {metric.variant}, trained on {metric.training_data.source}"
    figures = {}
    if metric.scores is not None:
        figures = {key: float(v) for key, v in msgspec.structs.asdict(metric.scores).items()}
    if metric.judgements is not None:
        origin += f", judgements {metric.judgements.source}"
        figures["judgements"] = float(metric.judgements.triplets)
    # A head of one amount has one importance; the names are those of its distortions.
    if set(context.distortions) != set(metric.distortion_names):
        context = replace(context, importances={}).for_distortions(metric.distortion_names)
    return check_saved(replace(context, name=name, why=why, origin=origin, figures=figures))
