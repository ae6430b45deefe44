"""``dps-train judge``: make a file of judgements on a local page."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.commands.shared.run import DebugOption, say
from dps_infer.errors import UsageError
from dps_train.commands.options import NAME, SOURCES, OwnOption, SeedOption

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
            help="The CSV file of judgements. Its pictures are written beside it. One that "
            "exists goes on where it was."
        ),
    ],
    distortions: OwnOption = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="The metric that chooses what to ask, and says what the answers mean: a run of "
            "the additive variant. With --distortions, one that has learned these.  "
            "[default: the embedded metric]"
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the page; 0 takes a free one.")
    ] = 0,
    seed: SeedOption = 0,
    debug: DebugOption = False,
) -> None:
    """Judge triplets in the browser, and let them be your context.

    Prints the address of a page that this computer alone can open. It shows an image and two
    changes of it; keys 1 and 2 say which is closer. What is asked next is what tells most.
    Every answer is written at once. Ctrl-C ends it; the same command goes on from there.

    Exit codes: 0 done, 1 something broke, 2 usage.
    """
    if out.suffix.lower() != ".csv" or out.is_dir():
        raise UsageError(f"--out is {out}: expected the name of a CSV file, such as judgements.csv")
    if not out.parent.is_dir():
        raise UsageError(f"--out is {out}: there is no folder {out.parent}")
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
    pool = draw_pool(images, metric, generator_for("judge", seed), answers.folder, shown)
    options = [word for spec in distortions or () for word in ("--distortions", spec)]
    session = Session(answers, metric, pool, seed, options)
    with Server(session, port) as server, contextlib.suppress(KeyboardInterrupt):
        typer.echo(server.url)
        say(NAME, "open this address in a browser of this computer; Ctrl-C ends the judging")
        server.serve_forever()
    count = session.state()["answered"]
    say(NAME, f"{count} judgements in {out}; adapt a metric to them: {session.command}")


def _functions(own: tuple[CustomDistortion, ...]) -> tuple[CustomDistortion, ...]:
    """Return distortions if they can be shown on any image.

    Raises:
        UsageError: one is known by images before and after alone.
    """
    for one in own:
        if one.recording is not None:
            raise UsageError(
                f"--distortions: {one.name} is known by images before and after, and cannot "
                "be shown on others: write the CSV file of judgements yourself "
                "(docs/judgements.md), or give a function"
            )
    return own


def _metric(run: Path | None, names: tuple[str, ...]) -> Metric:
    """Load a metric that sees the distortions called `names`.

    Raises:
        UsageError: it knows others, or tells none apart.
        DpsError: it is missing, or damaged.
    """
    from dps_train.distortions.paper import NAMES
    from dps_train.evaluate.context_file import check_known
    from dps_train.fit.run_folder import load_run
    from dps_train.model.embedded.embedded_metric import load_universal
    from dps_train.model.heads import AdditiveHead

    if run is None:
        if names != NAMES:
            raise UsageError(
                f"the embedded metric does not know {', '.join(names[len(NAMES) :])}: give a run "
                "that has learned it, with --run (dps-train --distortions ... trains one)"
            )
        return load_universal()
    metric, manifest = load_run(run)
    if not isinstance(metric.head, AdditiveHead):
        raise UsageError(
            f"--run is {run}, a run of the {manifest.metric.variant} variant, which tells no kinds "
            "of change apart: expected one of the additive variant"
        )
    check_known(str(run), manifest.metric, names)
    return metric
