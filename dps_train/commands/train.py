"""``dps-train``: adapt a metric to a context."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.commands.shared.run import DebugOption
from dps_infer.errors import UsageError
from dps_infer.files.write import check_output
from dps_infer.runtime.device import Device
from dps_train.commands.context_options import describe_source, read_context
from dps_train.commands.options import (
    ChannelNormOption,
    CustomOption,
    DataOption,
    DeviceOption,
    Direction,
    EpochsOption,
    ForceOption,
    LoggerOption,
    ObjectiveOption,
    SeedOption,
    SizeOption,
    StepsOption,
    TestDataOption,
    note,
    parse_size,
)
from dps_train.fit.end_to_end.torchrun import FollowerDoneError, check_launch
from dps_train.fit.runs import DEFAULT_FOLDER, free_name
from dps_train.fit.settings import Normalization, Precision, Settings, Start, Variant

if TYPE_CHECKING:
    from dps_train.fit.training import Trained

CONTEXT_OPTIONS = "--ranking, --importance, --context-name, --triplets, --bapps and --scores"


def train(
    command: typer.Context,
    ranking: Annotated[
        str | None,
        typer.Option(
            help="Distortions from the least to the most disruptive, by number or name: "
            "3,1,5,0,2,4 or color,translate,zoom,rotate,darken,blur. Two of them or more; "
            "= ties two: color=translate,blur."
        ),
    ] = None,
    importance: Annotated[
        str | None,
        typer.Option(
            help="Instead of a ranking, how much each amount counts: color=0.1,blur=5,other=0.2. "
            "Missing ones count 0."
        ),
    ] = None,
    context_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Instead of a ranking, the name of a saved context: print-inspection. "
            "`dps-train contexts list` lists them.",
        ),
    ] = None,
    triplets: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a ranking, people's judgements: a CSV file with the columns "
            "reference,p0,p1,judge; judge is the share of people who found p1 closer, and paths "
            "are relative to the file."
        ),
    ] = None,
    bapps: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a ranking, the training part of BAPPS: the folder that holds 2afc."
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv|FOLDER",
            help="Instead of a ranking, scores that people gave to pairs: a CSV file with the "
            "columns reference,candidate,score, or the folder of a published set; see "
            "docs/agreement.md. Fits how much each amount counts.",
        ),
    ] = None,
    higher: Annotated[
        Direction, typer.Option(help="With --scores: the meaning of a higher score in a CSV file.")
    ] = Direction.better,
    distortions: CustomOption = None,
    variant: Annotated[
        Variant,
        typer.Option(
            help="The part to train: `additive`, a head that reads the amount of each distortion; "
            "`lin`, one weight per channel of a frozen network; `tune`, these weights and the "
            "network; `scratch`, both from random weights; `baseline`, nothing."
        ),
    ] = "additive",
    data: DataOption = "sample",
    test_data: TestDataOption = None,
    start: Annotated[
        Start | None,
        typer.Option(
            "--from",
            help="For the additive variant: adapt the embedded metric to your images, or train "
            "a new head from scratch on a network's features. Default: embedded, or scratch "
            "if --backbone, --layers, --weights, --size, --comparison, --no-channel-norm or "
            "--normalize ask for something else than the embedded metric.",
        ),
    ] = None,
    backbone: Annotated[
        str,
        typer.Option(
            help="The loss network: `embedded`, which needs no download, or a torchvision model "
            "such as squeezenet1_1."
        ),
    ] = "embedded",
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers of the network that are compared: `paper` or `lpips` for the layers "
            "chosen there, or node names joined by commas.  [default: paper]"
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the network (safetensors, torchvision's names), instead of "
            "torchvision's download."
        ),
    ] = None,
    comparison: Annotated[
        str | None,
        typer.Option(
            help="How features are compared: spatial, mean, sort, or several joined by +.  "
            "[default: spatial; additive from scratch: spatial+mean+layout]"
        ),
    ] = None,
    channel_norm: ChannelNormOption = True,
    normalize: Annotated[
        Normalization, typer.Option(help="The mean and std that images are normalized with.")
    ] = "imagenet",
    size: SizeOption = "64",
    objective: ObjectiveOption = "pairwise",
    pairs: Annotated[
        int | None,
        typer.Option(
            min=100,
            help="Training pairs in the distance bank of the additive variant; with --distortions, "
            "as many again show these.  [default: 60000 from scratch, 30000 with --distortions, "
            "else 20000]",
        ),
    ] = None,
    epochs: EpochsOption = None,
    steps: StepsOption = 600,
    bank: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps the distance bank, so that the next training with the same "
            "bank reads it from there. Default: none is kept."
        ),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    devices: Annotated[int, typer.Option(min=1, help="Number of GPUs for tune and scratch.")] = 1,
    precision: Annotated[
        Precision, typer.Option(help="Numeric precision of tune and scratch.")
    ] = "32-true",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an interrupted tune or scratch run from its last checkpoint, which is "
            "in NAME.checkpoint beside the run.",
        ),
    ] = False,
    logger: LoggerOption = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder to write; default: a folder in runs/, named by the context."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the evaluation as JSON instead of tables.")
    ] = False,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """Adapt a perceptual similarity metric to what matters to you.

    Trains on distorted images or judged triplets, measures on held-out ones, and writes a run
    folder that dps-export turns into one ONNX file.
    """
    people = (triplets, bapps, scores)
    given = sum(one is not None for one in (ranking, importance, context_name, *people))
    if command.invoked_subcommand is not None:
        if given:
            raise UsageError(
                f"{CONTEXT_OPTIONS} train a metric: put the options of "
                f"{command.invoked_subcommand} after its name"
            )
        return
    if given > 1:
        raise UsageError(f"{CONTEXT_OPTIONS} are six ways to give a context: give one")
    context, custom = read_context(
        ranking, importance, context_name, distortions or (), needed=people == (None, None, None)
    )
    settings = Settings(
        context=context,
        judgements=triplets or bapps,
        scores=scores,
        higher_is_better=higher is Direction.better,
        custom=custom,
        variant=variant,
        data=data,
        test_data=test_data,
        start=start,
        backbone=backbone,
        layers=layers,
        weights=weights,
        comparison=comparison,
        channel_norm=channel_norm,
        normalize=normalize,
        size=parse_size(size),
        objective=objective,
        pairs=pairs,
        epochs=epochs,
        steps=steps,
        seed=seed,
        device=device.value,
        devices=devices,
        precision=precision,
        bank=bank,
        renew_bank=force,
        resume=resume,
        logger=logger,
    )
    settings.check()
    check_launch(end_to_end=settings.end_to_end, devices=devices)
    name = settings.label if out is None else out.name
    folder = _free_folder(out, settings, force=force)
    note(describe_source(context, triplets or bapps or scores))
    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    if force and not resume:
        shutil.rmtree(checkpoint, ignore_errors=True)
    logs = folder.with_name(f"{folder.name}.log")
    try:
        trained = _train(replace(settings, checkpoint=checkpoint, logs=logs), name)
    except FollowerDoneError:
        return
    if out is None:
        # Another training may have taken the name in the meantime.
        folder = free_name(DEFAULT_FOLDER, name)
    _save(trained, folder, settings, force=force)
    shutil.rmtree(checkpoint, ignore_errors=True)
    _print(trained, as_json=as_json)
    note(f"run written to {folder}; freeze it with: dps-export {folder} -o ctx.onnx")


def _free_folder(out: Path | None, settings: Settings, *, force: bool) -> Path:
    """Return the run folder to write, after checking that it can be written."""
    if out is None:
        if settings.resume:
            raise UsageError("--resume continues a run: name its folder with --out")
        out = free_name(DEFAULT_FOLDER, settings.label)
    inputs = [
        settings.data,
        settings.test_data,
        settings.weights,
        settings.judgements,
        settings.scores,
    ]
    check_output(out, force=force, folder=True, inputs=inputs)
    if settings.bank is not None and settings.bank.resolve() == out.resolve():
        raise UsageError(f"{out} cannot be both --bank and --out: name two folders")
    return out


def _train(settings: Settings, name: str) -> Trained:
    from dps_train.agreement import from_scores
    from dps_train.fit import from_judgements, training

    if settings.judgements is not None:
        return from_judgements.train_on_judgements(settings, name, note)
    if settings.scores is not None:
        return from_scores.train_on_scores(settings, name, note)
    return training.train(settings, name, note)


def _save(trained: Trained, folder: Path, settings: Settings, *, force: bool) -> None:
    from dps_train.fit.run_folder import save_run

    save_run(folder, trained, settings=settings.record(), force=force)


def _print(trained: Trained, *, as_json: bool) -> None:
    from dps_train.evaluate.printing import print_agreement, print_heads, print_measures

    if as_json:
        report = asdict(trained.measures)
        if trained.before is not None:
            report["before"] = asdict(trained.before)
        if trained.agreement is not None:
            report["agreement"] = asdict(trained.agreement)
        typer.echo(json.dumps(report, indent=2, allow_nan=False))
        return
    if trained.agreement is not None:
        print_agreement(trained.agreement, trained.info)
    if trained.before is not None:
        print_heads({"before": trained.before, "after": trained.measures})
    else:
        print_measures(trained.measures)
