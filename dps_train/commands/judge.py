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
    from dps_train.custom.custom_distortion import CustomDistortion
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
    changes of it; keys 1 and 2 choose the closer one. Each question is the most informative one.
    Every answer is saved at once. Ctrl-C ends the judging; the same command continues it.
    """
    if out.suffix.lower() != ".csv" or out.is_dir():
        raise UsageError(f"--out is {out}: expected the name of a CSV file, such as judgements.csv")
    if not out.parent.is_dir():
        raise UsageError(f"--out is {out}: there is no folder {out.parent}")
    from dps_infer.progress import set_silent
    from dps_train.custom.custom_distortion import all_distortions
    from dps_train.custom.find import find_custom
    from dps_train.judge.answers import AnswerFile
    from dps_train.judge.pool import draw_pool
    from dps_train.judge.server import Server
    from dps_train.judge.session import Session
    from dps_train.seeds import generator_for

    shown = all_distortions(_functions(find_custom(distortions or ())))
    metric = _metric(run, tuple(distortion.name for distortion in shown))
    answers = AnswerFile(out)
    options = [word for spec in distortions or () for word in ("--distortions", spec)]
    with answers.locked():
        pool = draw_pool(images, metric, generator_for("judge", seed), answers.folder, shown)
        session = Session(answers, metric, pool, seed, options)
        with Server(session, port) as server, contextlib.suppress(KeyboardInterrupt):
            typer.echo(server.url)
            note("open this address in a browser on this computer; Ctrl-C ends the judging")
            set_silent(True)  # The page waits for a person.
            server.serve_forever()
        count = session.state()["answered"]
    note(f"{count} judgements in {out}; adapt a metric to them: {session.command}")


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
