"""``dps-train evaluate``: measure a metric on other images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands.shared.run import DebugOption
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device
from dps_train.commands.evaluate_distorted import (
    MOST_IMAGES,
    UNIVERSAL_RANKINGS,
    evaluate_distorted,
)
from dps_train.commands.evaluate_ladders import evaluate_ladders
from dps_train.commands.evaluate_scores import evaluate_scores
from dps_train.commands.options import (
    SOURCES,
    CustomOption,
    DeviceOption,
    EvaluateOptions,
    ForceOption,
    HigherOption,
    PhotographsOption,
    SeedOption,
)


def evaluate(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN|embedded|FILE.onnx]",
            help="Run folder, `embedded` for the embedded metric, or a context file; default: "
            "the newest run.",
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(
            help=f"Images to measure on: {SOURCES}. At most {MOST_IMAGES} are used; with --ladders "
            "at most --photographs."
        ),
    ] = "sample",
    rankings: Annotated[
        str | None,
        typer.Option(
            help="Measure in this many random rankings of the distortions, or in `all`: 720 of the "
            "six, 5040 with one custom distortion. Default: the metric's own context, or "
            f"{UNIVERSAL_RANKINGS} rankings for `embedded` and a universal file, which have none. "
            "Other contexts need an additive head, `embedded` or a universal file."
        ),
    ] = None,
    heads: Annotated[
        str | None,
        typer.Option(
            help="Heads of a run to measure side by side, joined by commas: its own, named by its "
            "variant, like `additive`; `uniform`, unadapted; `lin`, the paper's linear head, "
            "trained for each ranking on the run's backbone.  [default: its own]"
        ),
    ] = None,
    train_data: Annotated[
        str | None,
        typer.Option(help="Images to train `lin` on: `sample`, or every image of a folder."),
    ] = None,
    bapps: Annotated[
        Path | None,
        typer.Option(
            help="Also measure the agreement with people on BAPPS's validation part: the folder "
            "that holds 2afc and jnd."
        ),
    ] = None,
    triplets: Annotated[
        Path | None,
        typer.Option(
            help="Also measure the agreement with judgements of your own: a CSV file with the "
            "columns reference,p0,p1,judge."
        ),
    ] = None,
    distortions: CustomOption = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.csv|FOLDER",
            help="Measure only the agreement with scores that people gave to pairs, at the images' "
            "own size; see docs/agreement.md. A CSV file with the columns "
            "reference,candidate,score[,kind,level], paths relative to it, or the folder of "
            "TID2013, KADID-10k, CSIQ, CID22 or PIPAL. May be given several times. With --rankings "
            "20 --heads uniform,lin,additive it prints the cost of adapting.",
        ),
    ] = None,
    higher: HigherOption = None,
    peers: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="With --scores: other metrics on the same pairs, joined by commas, or `all`: "
            "psnr,ssim,lpips,haarpsi,mdsi,vsi,fsim.",
        ),
    ] = None,
    lpips_trunk: Annotated[
        Path | None,
        typer.Option(
            help="With --peers lpips: weights of its SqueezeNet (safetensors, torchvision's names) "
            "instead of torchvision's download."
        ),
    ] = None,
    ladders: Annotated[
        bool,
        typer.Option(
            "--ladders",
            help="Measure only on ladders of real changes (JPEG, noise, rotation ...), from barely "
            "visible to gross, on photographs at their own size; see docs/ladders.md.",
        ),
    ] = False,
    contexts: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,...",
            help="With --ladders and --scores: the contexts to measure in, joined by commas: "
            "`general` (all kinds count equally), a number of random rankings, `own`, or names of "
            "saved contexts. It replaces --rankings.  [default: the metric's own; else "
            "general,20; with --scores general]",
        ),
    ] = None,
    ranking: Annotated[
        list[str] | None,
        typer.Option(
            help="With --ladders and --scores: a ranking to measure in, besides --contexts. May be "
            "given several times.",
        ),
    ] = None,
    photographs: PhotographsOption = 10,
    megapixels: Annotated[
        str,
        typer.Option(
            metavar="SIZE,...",
            help="With --ladders: sizes to measure at, joined by commas: `own`, or numbers of "
            "megapixels that the photographs are scaled to, like 0.15,1,4.",
        ),
    ] = "own",
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="With --ladders: write a page of plots, with a curve for each photograph.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Also write the measures to a JSON file.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a metric on other images, in its own context or in many.

    docs/measures.md explains the measures, docs/ladders.md those of --ladders, and
    docs/agreement.md those of --scores.
    """
    options = EvaluateOptions(
        path=path,
        data=data,
        rankings=rankings,
        heads=heads,
        train_data=train_data,
        bapps=bapps,
        triplets=triplets,
        distortions=distortions or (),
        scores=scores or (),
        higher=higher or (),
        peers=peers,
        lpips_trunk=lpips_trunk,
        contexts=contexts,
        ranking=ranking or (),
        photographs=photographs,
        megapixels=megapixels,
        plots=plots,
        json_file=json_file,
        seed=seed,
        device=device,
        force=force,
    )
    if scores:
        not_with_scores = {"--ladders": ladders, "--triplets": triplets, "--plots": plots}
        _refuse(not_with_scores, "cannot be combined with --scores: leave it out")
        evaluate_scores(options)
        return
    for_scores = {"--higher": higher, "--peers": peers, "--lpips-trunk": lpips_trunk}
    _refuse(for_scores, "is for --scores: give that option too")
    if ladders:
        _refuse(
            {"--rankings": rankings},
            "cannot be combined with --ladders: write the number into --contexts, like general,20",
        )
        not_with_ladders = {
            "--heads": heads,
            "--train-data": train_data,
            "--bapps": bapps,
            "--triplets": triplets,
            "--distortions": distortions,
        }
        _refuse(not_with_ladders, "cannot be combined with --ladders: leave it out")
        evaluate_ladders(options)
        return
    for_pairs = {"--contexts": contexts, "--ranking": ranking, "--plots": plots}
    _refuse(for_pairs, "is for --ladders or --scores: give one of them too")
    evaluate_distorted(options)


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Refuse options that are given, with the reason."""
    for option, value in options.items():
        if value:
            raise UsageError(f"{option} {why}")
