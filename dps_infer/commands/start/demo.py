"""``dps-infer demo``: a first result without any files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dps_infer.commands.shared import options, run
from dps_infer.runtime.device import Device


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write.")
    ] = Path("dps-demo"),
    page: Annotated[
        bool,
        typer.Option(
            "--page",
            help="Instead, serve the page with sliders (clients/js) to this computer until Ctrl-C: "
            "drop images, and move the importance of each kind of change.",
        ),
    ] = False,
    force: options.ForceOption = False,
    device: options.DeviceOption = Device.auto,
    threads: options.ThreadsOption = None,
    debug: run.DebugOption = False,
) -> None:
    """Show in seconds what a context is: no files, no network, no training.

    Compares a photograph with two changed copies of it in two contexts of the gallery, which give
    opposite answers. Writes the pictures, heat maps, a page that shows them side by side, results,
    and a report.
    """
    if page:
        _serve_page()
    from dps_infer.demo.page import turns_round
    from dps_infer.demo.run import PAGE, QUESTION, REPORT, commands, run_demo
    from dps_infer.show.columns import align_columns
    from dps_infer.show.words import describe_run

    done = run_demo(output, force=force, device=device, threads=threads)
    run.say(run.program_name(), *describe_run(done.metrics))
    rows = [[view.title, *(reading.words for reading in view.readings)] for view in done.views]
    verdicts = [f"{view.title}: {view.verdict()}" for view in done.views]
    turned = "turns round with" if turns_round(done.views) else "does not depend on"
    run.print_lines(
        [
            QUESTION,
            "",
            *align_columns([["context", *done.comparisons], *rows]),
            "",
            *verdicts,
            f"The answer {turned} the context.",
            "",
            f"side by side, with heat maps: {output / PAGE}",
            f"as a report: {output / REPORT}",
            f"the pictures: {output}",
            "",
            "Next:",
            *align_columns([[f"  {what}:", command] for command, what in commands(output)]),
        ]
    )


def _serve_page() -> NoReturn:
    """Serve the page with sliders until the command is interrupted."""
    import webbrowser
    from time import sleep

    from dps_infer.progress import set_silent
    from dps_infer.slider_page import built_page, served

    with served(built_page()) as address:
        run.print_lines([address])
        run.say(run.program_name(), "open this address on this computer; Ctrl-C ends it")
        set_silent(True)  # The page waits for a person.
        webbrowser.open(address)
        while True:
            sleep(1)
