"""``dps-infer serve``: a server process for programs in any language."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.regions import IgnoreOption, MaskOption, read_ignored
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device


def serve(
    stdio: Annotated[
        bool,
        typer.Option(
            "--stdio",
            help="Read requests from standard input and answer on standard output. Required, as "
            "it is the only transport so far.",
        ),
    ] = False,
    context: options.ContextsOption = None,
    ranking: options.RankingsOption = None,
    importance: options.ImportancesOption = None,
    context_name: options.ContextNamesOption = None,
    max_line: Annotated[
        int, typer.Option(metavar="MIB", min=1, max=1024, help="Longest request in MiB.")
    ] = 64,
    ignore: IgnoreOption = None,
    mask: MaskOption = None,
    device: options.DeviceOption = Device.auto,
    threads: options.ThreadsOption = None,
    debug: run.DebugOption = False,
) -> None:
    """Answer requests, one JSON object per line, until standard input ends.

    The first line on standard output reports that the server is ready. Each line after it answers
    one line of standard input: {"requestId": 1, "method": "compare", "reference": "a.png",
    "candidate": "b.png", "ranking": "color,blur"}. The methods are compare, ping, info and
    shutdown; docs/serve.md specifies the protocol. Contexts given here are opened once, and
    requests name them by the labels in the first line. Without any, requests state what matters,
    as this one does.
    """
    if not stdio:
        raise UsageError("no transport is given: pass --stdio")
    from dps_infer.compare.open import open_metrics
    from dps_infer.files.read import MEBIBYTE
    from dps_infer.progress import set_silent
    from dps_infer.serve import Server
    from dps_infer.serve import serve as serve_lines

    metrics = {}
    if context or ranking or importance or context_name:
        metrics = open_metrics(
            context,
            ranking,
            importance,
            context_name,
            device=device,
            threads=threads,
            note=run.note,
        )
    ignored = read_ignored(ignore, mask)
    # Between two requests, silence is normal.
    set_silent(True)
    # Native libraries may print to standard output, which is reserved for answers: their output is
    # redirected to standard error.
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(kept, "wb") as answers:
        serve_lines(
            Server(metrics, device=device, threads=threads, ignored=ignored),
            sys.stdin.buffer,
            answers,
            max_line=max_line * MEBIBYTE,
        )
