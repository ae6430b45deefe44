"""The command line ``dps-export``: freeze a metric into one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dps_infer.commands.shared.run import DebugOption, run, say
from dps_infer.errors import UsageError

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
    ranking: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Instead of a run, freeze this context into the universal metric that comes "
            "with dps-infer: distortions from the least to the most disruptive.",
        ),
    ] = None,
    importance: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...",
            help="The same by how much each distortion counts: color=0.1,blur=5.",
        ),
    ] = None,
    context_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The same in a context that is kept under a name: print-inspection. `dps-train "
            "contexts list` lists them.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="With --ranking, --importance or --context-name: another universal file to "
            "freeze.",
        ),
    ] = None,
    universal: Annotated[
        bool,
        typer.Option(
            "--universal",
            help="Leave the run's context out: the file is told what matters whenever it is used, "
            "by --ranking, --importance or --context-name. For runs of the additive variant.",
        ),
    ] = False,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The context file to write.")
    ] = Path("ctx.onnx"),
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
    debug: DebugOption = False,
) -> None:
    """Freeze a metric into one ONNX file, the context file.

    Either a metric that dps-train has trained (RUN), or the universal one in a context of your
    own (--ranking, --importance or --context-name), which needs neither PyTorch nor a training.

    The file is written only after onnxruntime has run it and agreed with PyTorch, or with the
    universal file. Compare with it: dps-infer compare a.png b.png --context ctx.onnx

    Exit codes: 0 done, 1 something broke, 2 usage.
    """
    given = [value for value in (ranking, importance, context_name) if value is not None]
    if len(given) > 1:
        raise UsageError(
            "--ranking, --importance and --context-name say the same thing in different ways: "
            "give one"
        )
    if not given:
        if source is not None:
            raise UsageError(
                "--from needs to be told what matters: --ranking color,translate,blur (the least "
                "disruptive first), --importance color=0.1,blur=5 or --context-name NAME"
            )
        _export_run(folder, output, universal=universal, force=force)
        return
    if universal:
        raise UsageError(
            "--universal exports a run without a context: leave --ranking, --importance and "
            "--context-name out"
        )
    if folder is not None:
        raise UsageError(
            f"the run {folder} has a context of its own: leave it out, or leave out --ranking, "
            "--importance and --context-name"
        )
    from dps_export.specialize import specialize
    from dps_infer.contexts.folders import find

    def note(text: str) -> None:
        say(NAME, f"note: {text}")

    manifest = specialize(
        output,
        ranking=ranking,
        importances=importance,
        context=None if context_name is None else find(context_name, note=note).context,
        source=source,
        force=force,
    )
    described = manifest.metric.describe_context()
    say(NAME, f"{output} written: {_megabytes(output)}, context {described}")


def main() -> NoReturn:
    """Run ``dps-export`` and leave with its exit code."""
    run(app, NAME)


def _export_run(folder: Path | None, output: Path, *, universal: bool, force: bool) -> None:
    from dps_infer.files.write import check_output

    check_output(output, force=force)
    from dps_export.export import export_run
    from dps_train.fit.run_folder import newest_run

    chosen = folder if folder is not None else newest_run()
    say(NAME, f"freezing {chosen}")
    manifest = export_run(chosen, output, universal=universal, force=force)
    say(
        NAME,
        f"{output} written: {_megabytes(output)}, within {manifest.parity.max_abs_error:.1g} of "
        f"PyTorch on {manifest.parity.pairs} pairs",
    )


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
