"""``dps-train``: adapt a metric to what matters."""

from __future__ import annotations

import enum
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.commands.shared.run import DebugOption, say
from dps_infer.contexts.ranking import (
    describe_ranking,
    format_importances,
    format_ranking,
)
from dps_infer.errors import UsageError
from dps_infer.files.write import check_output
from dps_infer.runtime.device import Device
from dps_train.commands.options import (
    NAME,
    ChannelNormOption,
    DataOption,
    DeviceOption,
    ForceOption,
    Logger,
    Objective,
    ObjectiveOption,
    OwnOption,
    SeedOption,
    SizeOption,
    StepsOption,
    check_comparison,
    parse_size,
)

if TYPE_CHECKING:
    from dps_infer.contexts.context import Context
    from dps_train.custom.custom_distortion import CustomDistortion
    from dps_train.fit.settings import Settings
    from dps_train.fit.training import Trained

EMBEDDED_PARTS = ("embedded", None, None, 64, None, True, "imagenet")
"""What --backbone, --layers, --weights, --size, --comparison, --channel-norm and --normalize are
where nothing is asked for."""


class Variant(str, enum.Enum):
    """What is trained."""

    additive = "additive"
    lin = "lin"
    tune = "tune"
    scratch = "scratch"
    baseline = "baseline"


class Start(str, enum.Enum):
    """What the additive variant starts from."""

    embedded = "embedded"
    scratch = "scratch"


class Normalize(str, enum.Enum):
    """Whose mean and std images are normalised by."""

    imagenet = "imagenet"
    lpips = "lpips"


PAIRS = {Start.embedded: 20_000, Start.scratch: 60_000}
PAIRS_WITH_OWN = 30_000
"""Of the distance bank, and again with distortions of the user's own."""


def train(
    context: typer.Context,
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
            "What is not named counts 0."
        ),
    ] = None,
    context_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Instead of a ranking, a context that is kept under a name: print-inspection. "
            "`dps-train contexts list` lists them.",
        ),
    ] = None,
    triplets: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a ranking, judgements of people: a CSV file with the columns "
            "reference,p0,p1,judge; judge is the share of people who found p1 the closer one, "
            "paths are relative to the file."
        ),
    ] = None,
    bapps: Annotated[
        Path | None,
        typer.Option(
            help="Instead of a ranking, the training part of BAPPS: the folder that holds 2afc."
        ),
    ] = None,
    distortions: OwnOption = None,
    variant: Annotated[
        Variant,
        typer.Option(
            help="What is trained: `additive`, a head that reads how much of each distortion "
            "there is; `lin`, one weight a channel of a frozen network; `tune`, these weights "
            "and the network; `scratch`, both from random weights; `baseline`, nothing."
        ),
    ] = Variant.additive,
    data: DataOption = "sample",
    test_data: Annotated[
        str | None,
        typer.Option(
            help="Images to measure on, instead of a held-out share of --data; maybe of another "
            "domain."
        ),
    ] = None,
    start: Annotated[
        Start | None,
        typer.Option(
            "--from",
            help="The additive variant only: adapt the embedded metric to your images, or train "
            "a new head from scratch on a network's features. Default: embedded, but scratch "
            "where --backbone, --layers, --weights, --size, --comparison, --no-channel-norm or "
            "--normalize ask for something that the embedded metric is not.",
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
            help="What of the network is compared: `paper` or `lpips` for the layers chosen "
            "there, or nodes joined by commas.  [default: paper]"
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the network (safetensors, torchvision's names), instead of "
            "torchvision's own download."
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
        Normalize, typer.Option(help="Whose mean and std images are normalised by.")
    ] = Normalize.imagenet,
    size: SizeOption = "64",
    objective: ObjectiveOption = Objective.pairwise,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=100,
            help="Training pairs in the distance bank of the additive variant; with --distortions, "
            "so many again show these.  [default: 60000 from scratch, 30000 with --distortions, "
            "else 20000]",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes of additive and lin over their bank.  [default: 15, 10]"),
    ] = None,
    steps: StepsOption = 600,
    bank: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep the distance bank in: the next training that asks for the same "
            "bank takes it from there. Default: none is kept."
        ),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    devices: Annotated[
        int, typer.Option(min=1, help="GPUs that tune and scratch share the work among.")
    ] = 1,
    precision: Annotated[
        str,
        typer.Option(help="Of tune and scratch: 32-true, bf16-mixed or 16-mixed."),
    ] = "32-true",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a tune or scratch run that was cut short, from its last checkpoint "
            "in NAME.checkpoint beside the run.",
        ),
    ] = False,
    logger: Annotated[
        Logger | None,
        typer.Option(
            help="Log the course of tune and scratch in a folder beside the run, NAME.log.  "
            "[default: nowhere]"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write the run to; default: runs/ and a name of its own."),
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

    Exit codes: 0 done, 1 something broke, 2 usage.
    """
    given = [ranking, importance, context_name, triplets, bapps]
    if context.invoked_subcommand is not None:
        if any(value is not None for value in given):
            raise UsageError(
                "--ranking, --importance, --context-name, --triplets and --bapps train a metric: "
                f"{context.invoked_subcommand} takes its own options after its name"
            )
        return
    if sum(value is not None for value in given) > 1:
        raise UsageError(
            "--ranking, --importance, --context-name, --triplets and --bapps say the same thing "
            "in different ways: give one"
        )
    from dps_train.custom.find import find_custom
    from dps_train.fit.run_folder import DEFAULT_FOLDER, free_name, save_run
    from dps_train.fit.settings import END_TO_END, LIN, Settings
    from dps_train.model.layer_presets import resolve_layers

    saved = None if context_name is None else _saved(context_name)
    own = find_custom(
        distortions or (), ranking or importance or (saved.mentions() if saved else "")
    )
    wanted = None if triplets or bapps else _context(ranking, importance, saved, own)
    say(NAME, _echo(wanted, triplets, bapps))
    working_size = parse_size(size)
    parts = (backbone, layers, weights, working_size, comparison, channel_norm, normalize.value)
    chosen = _start(variant, start, own=parts != EMBEDDED_PARTS)
    if variant is Variant.additive and wanted is None and chosen is Start.scratch:
        raise UsageError(
            "judgements say how much amounts count, and a new head has not learned any: train it "
            "with --ranking first, leave --from scratch out, or take --variant lin or tune"
        )
    check_comparison(comparison)
    learns_network = variant.value in END_TO_END
    for option, value in (("--resume", resume), ("--logger", logger)):
        if value and not learns_network:
            raise UsageError(f"{option} is for --variant tune and scratch, not {variant.value}")
    if own and (learns_network or (any(one.recording for one in own) and variant.value == LIN)):
        raise UsageError(
            f"--distortions: --variant {variant.value} cannot learn "
            f"{', '.join(one.name for one in own)}: take --variant additive, or for "
            "distortions that are functions lin"
        )
    if resume and out is None:
        raise UsageError("--resume goes on with a run: name its folder with --out")
    name = _name(wanted, variant, triplets or bapps) if out is None else out.name
    folder = out if out is not None else free_name(DEFAULT_FOLDER, name)
    check_output(folder, force=force, folder=True)
    if bank is not None and bank.resolve() == folder.resolve():
        raise UsageError(f"{bank} cannot be both --bank and --out: name two folders")
    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    if force and not resume:
        shutil.rmtree(checkpoint, ignore_errors=True)
    settings = Settings(
        context=wanted,
        triplets=triplets or bapps,
        own=own,
        variant=variant.value,
        data=data,
        test_data=test_data,
        start=chosen.value,
        backbone=backbone,
        layers=None if layers is None else resolve_layers(backbone, layers),
        weights=weights,
        comparison=comparison,
        channel_norm=channel_norm,
        normalize=normalize.value,
        size=working_size,
        objective=objective.value,
        pairs=(PAIRS_WITH_OWN if own else PAIRS[chosen]) if pairs is None else pairs,
        epochs=epochs,
        steps=steps,
        seed=seed,
        device=device.value,
        devices=devices,
        precision=precision,
        bank=bank,
        renew_bank=force,
        checkpoint=checkpoint if learns_network else None,
        resume=resume,
        logger=None if logger is None else logger.value,
        logs=folder.with_name(f"{folder.name}.log"),
    )
    trained = _train(settings, name)
    if out is None:
        # Another training may have taken the name in the meantime.
        folder = free_name(DEFAULT_FOLDER, name)
    save_run(folder, trained, settings=recorded(settings), force=force)
    shutil.rmtree(checkpoint, ignore_errors=True)
    _print(trained, as_json=as_json)
    say(NAME, f"run written to {folder}; freeze it with: dps-export {folder} -o ctx.onnx")


def _train(settings: Settings, name: str) -> Trained:
    import dps_train.fit.from_judgements as judged
    import dps_train.fit.training as training

    def note(text: str) -> None:
        say(NAME, text)

    if settings.triplets is not None:
        return judged.train_on_judgements(settings, name, note)
    return training.train(settings, name, note)


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


def _saved(name: str) -> Context:
    from dps_infer.contexts.folders import find

    return find(name, note=lambda text: say(NAME, f"note: {text}")).context


def _context(
    ranking: str | None,
    importance: str | None,
    saved: Context | None,
    own: tuple[CustomDistortion, ...],
) -> Context:
    """Return the context that is given.

    Raises:
        UsageError: none is given, or it names an unknown distortion.
    """
    from dps_infer.contexts.context import choose_context
    from dps_train.custom.custom_distortion import all_distortions

    if ranking is None and importance is None and saved is None:
        raise UsageError(
            "say what matters: --ranking 3,1,5,0,2,4 (least disruptive first), "
            "--importance color=0.1,blur=5 or --context-name NAME; `dps-train distortions` lists "
            "the distortions, `dps-train contexts list` the names"
        )
    names = tuple(distortion.name for distortion in all_distortions(own))
    return choose_context(names, ranking=ranking, importances=importance, context=saved)


def _echo(context: Context | None, triplets: Path | None, bapps: Path | None) -> str:
    if context is None:
        return f"judgements in {triplets or bapps}"
    if context.ranking is None:
        return f"importances {format_importances(context.importances)}"
    return f"ranking {format_ranking(context.ranking)}: {describe_ranking(context.ranking)}"


def _name(context: Context | None, variant: Variant, judgements: Path | None) -> str:
    """Return a name for a run that can be a folder's."""
    if context is None:
        assert judgements is not None
        name = judgements.resolve().stem
    else:
        name = context.label
    return name if variant is Variant.additive else f"{variant.value}-{name}"


def _start(variant: Variant, asked: Start | None, *, own: bool) -> Start:
    """Return what to start from; `own` says that parts of the user's own were asked for."""
    if variant is not Variant.additive:
        if asked is not None:
            raise UsageError(f"--from is for --variant additive, not {variant.value}")
        return Start.scratch
    if asked is Start.embedded and own:
        raise UsageError(
            "--from embedded starts from a metric that has its own network, layers, weights, "
            "comparison, normalisation and size: leave those options out, or say --from scratch"
        )
    return asked or (Start.scratch if own else Start.embedded)


def recorded(settings: Settings) -> dict[str, int | float | str]:
    """Return what a run keeps of its settings besides what its manifest says."""
    from dps_train.fit.settings import END_TO_END, LIN
    from dps_train.model.description import ADDITIVE

    kept: dict[str, int | float | str] = {"normalize": settings.normalize}
    if settings.variant == ADDITIVE:
        kept |= {"pairs": settings.pairs}
    if settings.variant in (ADDITIVE, LIN) and settings.epochs is not None:
        kept |= {"epochs": settings.epochs}
    if settings.variant in END_TO_END:
        kept |= {"steps": settings.steps, "precision": settings.precision}
    if settings.variant in (LIN, *END_TO_END):
        kept |= {"objective": settings.objective}
    return kept
