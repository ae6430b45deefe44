"""Run a study: train the metrics that its folder lacks, and write the table."""

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
from dps_train.fit.initial_metric import initial_metric
from dps_train.fit.settings import BASELINE, PAIRS
from dps_train.fit.training import load_images
from dps_train.judgements.bapps import Bapps, read_bapps
from dps_train.model.description import TOOLS, data_info
from dps_train.study.folder import Result, StudyFolder, StudyManifest, Values, open_study
from dps_train.study.plan import DEFAULT_COMPARISON, Job, Study, plan
from dps_train.study.run_job import JobRunner
from dps_train.study.table import failed_row, row, write_tables
from dps_train.versions import installed_versions


def run_study(study: Study, path: Path) -> list[Values]:
    """Train and measure every metric of a study that is not done yet, and write its table.

    A study can be killed at any time and started again: only the metric in training is lost, and
    on one machine's CPU the table is the same, bit for bit.

    Args:
        study: the metrics to train.
        path: the study's folder.

    Returns:
        The rows of the table, in the order of `plan`.

    Raises:
        StudyError: the folder holds another study, or is damaged.
        DpsError: images, judgements, networks, weights or the device are missing or not valid.
    """
    device = pick_device(study.common.device)
    jobs = plan(study)
    bapps = None if study.bapps is None else read_bapps(study.bapps)
    images = load_images(jobs[0].settings)
    folder = open_study(path, _manifest(study, jobs, images, bapps, device))
    repetition, features_id = jobs[0].repetition, ""
    runner: JobRunner | None = None
    for job in track([job for job in jobs if not folder.holds(job.id)], "metrics"):
        if job.repetition != repetition:
            images, repetition = load_images(job.settings), job.repetition
        if runner is None or job.features_id != features_id:
            runner = JobRunner(job.settings, *images, bapps, study.extra, folder, device)
            features_id = job.features_id
        _run(job, runner, folder)
    rows = [folder.values(job.id) for job in jobs]
    write_tables(path, rows)
    return rows


def _run(job: Job, runner: JobRunner, folder: StudyFolder) -> None:
    """Train and measure one metric, and store its row."""
    started = time.monotonic()
    try:
        values = row(job, runner.run(job))
    except DivergedError as error:
        # It would diverge again, and must not stop the other metrics.
        values = failed_row(job, str(error))
    folder.add(job.id, Result(values=values, seconds=time.monotonic() - started))


def _manifest(
    study: Study,
    jobs: Sequence[Job],
    images: tuple[Images, Images],
    bapps: Bapps | None,
    device: torch.device,
) -> StudyManifest:
    """Describe a study, after checking that its networks can be used.

    Raises:
        DpsError: a network does not take its weights, the size, or a comparison.
    """
    common = study.common
    training, held_out = images
    scores, photographs = study.extra.sha256()
    networks = {(job.settings.backbone, job.settings.comparison): job.settings for job in jobs}
    unadapted = [
        initial_metric(dataclasses.replace(settings, variant=BASELINE))
        for settings in networks.values()
    ]
    return StudyManifest(
        rankings=study.rankings,
        variants=list(study.variants),
        comparisons=[comparison or DEFAULT_COMPARISON for comparison in study.comparisons],
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
            **{f"pairs from {start}": common.pairs or pairs for start, pairs in PAIRS.items()},
        },
        bapps=None if bapps is None else _bapps_sha256(bapps),
        scores=scores,
        photographs=photographs,
        device=device.type,
        tools=installed_versions(TOOLS),
    )


def _bapps_sha256(bapps: Bapps) -> str:
    """Return a hash over all judgements and the names of their images."""
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
