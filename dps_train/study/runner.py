"""Running a study: what is missing in its folder is trained, then the table is written."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch

from dps_infer.progress import track
from dps_train.data.sources import Images
from dps_train.devices import pick_device
from dps_train.fit.end_to_end.train import DivergedError
from dps_train.fit.initial_metric import starting_metric
from dps_train.fit.settings import BASELINE, COMPARISON
from dps_train.fit.training import load_images
from dps_train.judgements.bapps import Bapps, read_bapps
from dps_train.model.description import TOOLS, data_info
from dps_train.study.family import Bench
from dps_train.study.folder import Result, StudyFolder, StudyManifest, Values, open_study
from dps_train.study.plan import OWN, Job, Study, plan
from dps_train.study.table import failed_row, row, write_tables
from dps_train.versions import installed_versions


def run_study(study: Study, path: Path) -> list[Values]:
    """Train and measure every metric of a study that is not done yet, and write its table.

    It may be killed at any moment and started again: at most the metric under way is lost,
    and on one machine's CPU the table is the same, bit for bit.

    Args:
        study: what to train.
        path: of its folder.

    Returns:
        The rows of the table, in the order of `plan`.

    Raises:
        StudyError: the folder holds another study, or a damaged one.
        DpsError: images, judgements, networks, weights or the device cannot be had.
    """
    device = pick_device(study.common.device)
    jobs = plan(study)
    bapps = None if study.bapps is None else read_bapps(study.bapps)
    images = load_images(jobs[0].settings)
    folder = open_study(path, _manifest(study, jobs, images, bapps, device))
    missing = [job for job in jobs if not folder.holds(job.id)]
    images_of, bench, family = jobs[0].repetition, None, ""
    for job in track(missing, "metrics"):
        if job.repetition != images_of:
            images, images_of = load_images(job.settings), job.repetition
        if bench is None or job.family != family:
            bench, family = Bench(job.settings, *images, bapps, folder, device), job.family
        _do(job, bench, folder)
    rows = [folder.values(job.id) for job in jobs]
    write_tables(path, rows)
    return rows


def _do(job: Job, bench: Bench, folder: StudyFolder) -> None:
    """Train and measure one metric, and keep its row."""
    started = time.monotonic()
    try:
        values = row(job, bench.measure(job))
    except DivergedError as error:
        # It would diverge again, and the others are worth having.
        values = failed_row(job, job.settings.comparison or COMPARISON, str(error))
    folder.add(job.id, Result(values=values, seconds=time.monotonic() - started))


def _manifest(
    study: Study,
    jobs: Sequence[Job],
    images: tuple[Images, Images],
    bapps: Bapps | None,
    device: torch.device,
) -> StudyManifest:
    """Describe a study; finds out early what could not be trained."""
    common = study.common
    training, held_out = images
    # A network has to take its weights, the size, and every comparison.
    networks = {(job.settings.backbone, job.settings.comparison): job.settings for job in jobs}
    unadapted = [
        starting_metric(dataclasses.replace(settings, variant=BASELINE))
        for settings in networks.values()
    ]
    return StudyManifest(
        rankings=study.rankings,
        variants=list(study.variants),
        comparisons=[comparison or OWN for comparison in study.comparisons],
        backbones={metric.backbone.name: metric.backbone.weights for metric in unadapted},
        repetitions=study.repetitions,
        seed=common.seed,
        training_data=data_info(training),
        held_out_data=data_info(held_out),
        settings={
            "size": common.size,
            "channel_norm": common.channel_norm,
            "objective": common.objective,
            "epochs": common.epochs,
            "steps": common.steps,
            **{f"pairs from {start}": pairs for start, pairs in study.pairs.items()},
        },
        bapps=None if bapps is None else _judgements_sha256(bapps),
        device=device.type,
        tools=installed_versions(TOOLS),
    )


def _judgements_sha256(bapps: Bapps) -> str:
    """Return a hash over all judgements, and the names of the images."""
    judgements = {
        "2afc": {
            name: ([path.name for path in split.reference], split.judge)
            for name, split in bapps.two_afc.items()
        },
        "jnd": {
            name: ([path.name for path in split.p0], split.same)
            for name, split in bapps.jnd.items()
        },
    }
    return hashlib.sha256(msgspec.json.encode(judgements)).hexdigest()
