"""``dps-train judge``: make a file of judgements on a local page."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from dps_infer.command import DebugOption, say
from dps_infer.errors import UsageError
from dps_train.commands.options import NAME, SOURCES, SeedOption


def judge(
    images: Annotated[str, typer.Argument(help=f"Images to judge changes of: {SOURCES}.")],
    out: Annotated[
        Path,
        typer.Option(
            help="The CSV file of judgements. Its pictures are written beside it. One that "
            "exists goes on where it was."
        ),
    ],
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
    from dps_train.judge.answers import AnswerFile
    from dps_train.judge.pool import draw_pool
    from dps_train.judge.server import Server
    from dps_train.judge.session import Session
    from dps_train.seeds import generator_for
    from dps_train.universal import load_universal

    answers = AnswerFile(out)
    metric = load_universal()
    pool = draw_pool(images, metric, generator_for("judge", seed), answers.folder)
    session = Session(answers, metric, pool, seed)
    with Server(session, port) as server, contextlib.suppress(KeyboardInterrupt):
        typer.echo(server.url)
        say(NAME, "open this address in a browser of this computer; Ctrl-C ends the judging")
        server.serve_forever()
    count = session.state()["answered"]
    say(NAME, f"{count} judgements in {out}; adapt a metric to them: dps-train --triplets {out}")
