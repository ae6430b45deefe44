"""The command line ``dps-export``: freeze a metric into one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dps_export.lean.choice import EMBEDDED, Lean, Precision, parse_outputs
from dps_infer.commands.shared.app import add, make_app
from dps_infer.commands.shared.options import EXIT_CODES
from dps_infer.commands.shared.run import DebugOption, run, say
from dps_infer.errors import UsageError
from dps_infer.model.manifest import Manifest

NAME = "dps-export"

CONTEXT_OPTIONS = "--ranking, --importance and --context-name"

EXAMPLES = (
    "dps-export runs/mine -o mine.onnx",
    "dps-export --ranking color,blur -o ctx.onnx",
    "dps-export --context-name print-inspection -o print.onnx",
    "dps-export runs/mine --universal -o universal.onnx",
    "dps-export embedded --outputs distance,amounts -o lean.onnx",
    "dps-export runs/mine --precision fp16 -o half.onnx",
)

app = make_app(name=NAME, add_completion=True)


def export(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="Run folder of dps-train, or `embedded`, the universal metric of dps-infer; "
            "default: the newest run.",
        ),
    ] = None,
    ranking: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Freeze this context into the universal metric of dps-infer, instead of a run: "
            "distortions from the least to the most disruptive.",
        ),
    ] = None,
    importance: Annotated[
        str | None,
        typer.Option(
            metavar="NAME=NUMBER,...",
            help="Instead of --ranking, how much each distortion counts: color=0.1,blur=5.",
        ),
    ] = None,
    context_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Instead of --ranking, the name of a saved context: print-inspection. "
            "`dps-train contexts list` lists them.",
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
            help="Leave the run's context out of the file: it is given whenever the file is used, "
            "with --ranking, --importance or --context-name. For runs of the additive variant.",
        ),
    ] = False,
    outputs: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Give only these outputs, such as distance,amounts, and take less memory; "
            "docs/format.md lists them all.",
        ),
    ] = None,
    precision: Annotated[
        Precision,
        typer.Option(
            help="Numbers that the network computes in. Smaller ones are measured beside fp32 on "
            "the sample's images, and refused if scores or orders change.",
        ),
    ] = Precision.fp32,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The context file to write.")
    ] = Path("ctx.onnx"),
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    debug: DebugOption = False,
) -> None:
    """Freeze a metric into one ONNX file, the context file.

    Freezes either a metric that dps-train has trained (RUN), or the universal metric in a context
    (--ranking, --importance or --context-name), which needs neither PyTorch nor training.

    The file is written only after onnxruntime has run it and agreed with PyTorch, or with the
    universal file. Compare with it: dps-infer compare a.png b.png --context ctx.onnx
    """
    lean = Lean(parse_outputs(outputs), precision)
    given = [value for value in (ranking, importance, context_name) if value is not None]
    if not given:
        if source is not None:
            raise UsageError(
                "--from needs a context: --ranking color,translate,blur (the least disruptive "
                "first), --importance color=0.1,blur=5 or --context-name NAME"
            )
        if folder == EMBEDDED:
            _export_embedded(output, lean, force=force)
        else:
            _export_run(folder, output, universal=universal, lean=lean, force=force)
        return
    if len(given) > 1:
        raise UsageError(f"{CONTEXT_OPTIONS} are three ways to give a context: give one")
    if universal:
        raise UsageError(
            f"--universal exports a run without its context: leave out {CONTEXT_OPTIONS}"
        )
    if folder is not None:
        raise UsageError(
            f"the run {folder} has a context of its own: leave it out, or leave out "
            f"{CONTEXT_OPTIONS}"
        )
    from dps_export.specialize import specialize
    from dps_infer.contexts.folders import find

    context = None
    if context_name is not None:
        context = find(context_name, note=lambda text: _say(f"note: {text}")).context
    manifest = specialize(
        output,
        ranking=ranking,
        importances=importance,
        context=context,
        source=source,
        lean=lean,
        force=force,
    )
    described = manifest.metric.describe_context()
    _say(f"{output} written: {_megabytes(output)}, context {described}{_agreed(manifest)}")


add(app, export, examples=EXAMPLES, exit_codes=EXIT_CODES)


def main() -> NoReturn:
    """Run ``dps-export`` and leave with its exit code."""
    run(app, NAME)


def _export_embedded(output: Path, lean: Lean, *, force: bool) -> None:
    from dps_export.lean.embedded import export_embedded

    if lean == Lean():
        raise UsageError(
            "`embedded` is in the package already: give a context (--ranking color,blur), or make "
            "it leaner with --outputs distance,amounts or --precision fp16"
        )
    manifest = export_embedded(output, lean, force=force)
    _say(f"{output} written: {_megabytes(output)}, universal{_agreed(manifest)}")


def _export_run(
    folder: Path | None, output: Path, *, universal: bool, lean: Lean, force: bool
) -> None:
    from dps_infer.files.write import check_output
    from dps_train.fit.runs import newest_run

    check_output(output, force=force)
    chosen = folder if folder is not None else newest_run()
    _say(f"freezing {chosen}: loading PyTorch")
    from dps_export.export import export_run

    manifest = export_run(chosen, output, universal=universal, lean=lean, force=force, note=_say)
    _say(
        f"{output} written: {_megabytes(output)}, within {manifest.parity.max_abs_error:.1g} of "
        f"PyTorch on {manifest.parity.pairs} pairs{_agreed(manifest)}"
    )


def _agreed(manifest: Manifest) -> str:
    """Return how smaller numbers agree with float32, after a comma."""
    found = manifest.reduced
    if found is None:
        return ""
    return (
        f", {manifest.precision}: 2AFC score {found.two_afc:.4f} (float32 "
        f"{found.two_afc_float32:.4f}), order {found.order:.4f} ({found.order_float32:.4f}), "
        f"distances within {found.distance.largest:.2g}, {found.speed:g} times as fast"
    )


def _say(text: str) -> None:
    say(NAME, text)


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


if __name__ == "__main__":
    main()
