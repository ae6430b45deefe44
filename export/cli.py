"""The command line ``dps-export``: freeze a trained metric into one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dps_infer.command import DebugOption, run, say

NAME = "dps-export"

app = typer.Typer(
    name=NAME, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command()
def export(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[RUN]", help="Run folder of dps-train; default: the newest."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The context file to write.")
    ] = Path("ctx.onnx"),
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
    debug: DebugOption = False,
) -> None:
    """Freeze a trained metric into one ONNX file, the context file.

    The file is written only after onnxruntime has run it on photographs and agreed with
    PyTorch. Compare with it: dps-infer compare a.png b.png --context ctx.onnx

    Exit codes: 0 done, 1 something broke, 2 usage.
    """
    from dps_export.exporting import export_run
    from dps_infer.files import check_output

    check_output(output, force=force)
    from dps_train.runs import newest_run

    chosen = folder if folder is not None else newest_run()
    say(NAME, f"freezing {chosen}")
    manifest = export_run(chosen, output, force=force)
    say(
        NAME,
        f"{output} written: {output.stat().st_size / 1e6:.1f} MB, within "
        f"{manifest.parity.max_abs_error:.1g} of PyTorch on {manifest.parity.pairs} pairs",
    )


def main() -> NoReturn:
    """Run ``dps-export`` and leave with its exit code."""
    run(app, NAME)


if __name__ == "__main__":
    main()
