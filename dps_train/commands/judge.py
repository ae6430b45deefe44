"""``dps-train judge``: judge triplets on a local web page."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.commands.shared.run import DebugOption
from dps_infer.errors import UsageError
from dps_train.commands.options import SOURCES, CustomOption, SeedOption, note

if TYPE_CHECKING:
    from dps_infer.progress import Progress
    from dps_train.custom.custom_distortion import CustomDistortion
    from dps_train.distortions.distortion import Distortion
    from dps_train.judge.answers import AnswerFile
    from dps_train.judge.session import Session
    from dps_train.model.metric import Metric


def judge(
    images: Annotated[
        str, typer.Argument(metavar="IMAGES", help=f"Images to judge changes of: {SOURCES}.")
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="The CSV file of judgements; its pictures are written beside it. An existing file "
            "is continued."
        ),
    ],
    distortions: CustomOption = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="The metric that chooses the questions and interprets the answers: a run of the "
            "additive variant; with --distortions, one that has learned these.  "
            "[default: the embedded metric]"
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free port.")
    ] = 0,
    seed: SeedOption = 0,
    debug: DebugOption = False,
) -> None:
    """Judge triplets in the browser, to use them as your context.

    Prints the address of a page that only this computer can open. It shows an image and two
    changes of it; keys 1 and 2 choose the closer one. Most questions are the most informative ones;
    every fourth checks how well the metric knows you. Every answer is saved at once. The button
    Finish or Ctrl-C ends the judging; the same command continues it.
    """
    if out.suffix.lower() != ".csv" or out.is_dir():
        raise UsageError(f"--out is {out}: expected the name of a CSV file, such as judgements.csv")
    if not out.parent.is_dir():
        raise UsageError(f"--out is {out}: there is no folder {out.parent}")
    from dps_infer.progress import set_silent, show_progress
    from dps_train.data.names import check_source
    from dps_train.judge.answers import AnswerFile
    from dps_train.judge.server import Server

    check_source(images)
    specs = tuple(distortions or ())
    changes, metric = _metric_for(run, specs)
    answers = AnswerFile(out)
    with answers.locked(), Server(port=port) as server, server.running():
        # The pictures take seconds; meanwhile the page can be opened.
        typer.echo(server.url)
        note("open this address in a browser on this computer; Finish there or Ctrl-C here ends it")
        with show_progress("preparing", "pictures") as shown:

            def progress(done: int, total: int) -> None:
                server.prepared = (done, total)
                shown(done, total)

            session = _session(answers, images, metric, changes, specs, seed, progress)
        server.session = session
        set_silent(True)  # The page waits for a person.
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()
        count = session.state()["answered"]
    note(f"{count} judgements in {out}; adapt a metric to them: {session.command}")


def _metric_for(run: Path | None, specs: tuple[str, ...]) -> tuple[tuple[Distortion, ...], Metric]:
    """Return the distortions that can be judged, and the metric that chooses the questions."""
    from dps_train.custom.custom_distortion import all_distortions
    from dps_train.custom.find import find_custom

    shown = all_distortions(_functions(find_custom(specs)))
    return shown, _metric(run, tuple(distortion.name for distortion in shown))


def _session(
    answers: AnswerFile,
    images: str,
    metric: Metric,
    shown: tuple[Distortion, ...],
    specs: tuple[str, ...],
    seed: int,
    progress: Progress,
) -> Session:
    """Draw the pictures, which takes seconds."""
    from dps_train.judge.pool import draw_pool
    from dps_train.judge.session import Session
    from dps_train.seeds import generator_for

    pool = draw_pool(images, metric, generator_for("judge", seed), answers.folder, shown, progress)
    options = [word for spec in specs for word in ("--distortions", spec)]
    return Session(answers, metric, pool, seed, options)


def _functions(custom: tuple[CustomDistortion, ...]) -> tuple[CustomDistortion, ...]:
    """Return custom distortions if they can be applied to any image.

    Raises:
        UsageError: one has only recorded images.
    """
    for one in custom:
        if one.recording is not None:
            raise UsageError(
                f"--distortions: {one.name} has only recorded images, and cannot be applied to "
                "others: write the CSV file of judgements yourself (docs/judgements.md), or give "
                "a function"
            )
    return custom


def _metric(run: Path | None, names: tuple[str, ...]) -> Metric:
    """Load a metric of the distortions `names`.

    Raises:
        UsageError: the metric has other distortions, or does not tell kinds of change apart.
        DpsError: the run is missing or damaged.
    """
    from dps_train.distortions.paper import NAMES
    from dps_train.evaluate.context_file import check_known
    from dps_train.fit.run_folder import load_run
    from dps_train.model.embedded.embedded_metric import load_universal

    if run is None:
        if names != NAMES:
            raise UsageError(
                f"the embedded metric does not know {', '.join(names[len(NAMES) :])}: give a run "
                "that has learned it, with --run (dps-train --distortions ... trains one)"
            )
        return load_universal()
    metric, manifest = load_run(run)
    if not metric.head.names_kinds:
        raise UsageError(
            f"--run is {run}, a run of the {manifest.metric.variant} variant, which does not tell "
            "kinds of change apart: expected one of the additive variant"
        )
    check_known(str(run), manifest.metric, names)
    return metric
