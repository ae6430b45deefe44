"""``dps-infer doctor``: examine the installation."""

from __future__ import annotations

from dataclasses import asdict

import typer

from dps_infer.commands.shared import options, run

EPILOG = "Exit codes: 0 healthy; 1 a problem; 2 wrong usage."


def doctor(as_json: options.JsonOption = False, debug: run.DebugOption = False) -> None:
    """Examine this installation: runtime, devices, threads, versions, and a self-test.

    Each device that onnxruntime offers is tried, as it may still not work. The universal metric
    of this package is checked for damage and compares an image with itself and with its negative.
    Each problem is printed with a remedy.
    """
    from dps_infer.doctor import describe, examine

    diagnosis = examine()
    if as_json:
        run.print_json({"healthy": diagnosis.healthy, **asdict(diagnosis)})
    else:
        run.print_lines(describe(diagnosis))
    if not diagnosis.healthy:
        raise typer.Exit(1)
