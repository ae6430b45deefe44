"""The command line ``dps-train``: adapt a metric to a context, and look at distortions."""

from __future__ import annotations

import enum
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dps_infer.command import DebugOption, run, say
from dps_infer.devices import Device
from dps_infer.errors import UsageError
from dps_infer.files import atomic_file, check_output
from dps_infer.ranking import (
    describe_ranking,
    format_importances,
    format_ranking,
    parse_importances,
    parse_ranking,
)

if TYPE_CHECKING:
    from dps_train.contexts import Context

NAME = "dps-train"

EMBEDDED_PARTS = ("embedded", None, None, 64)
"""What --backbone, --layers, --weights and --size are where nothing is asked for."""


class Start(str, enum.Enum):
    """What a training starts from."""

    embedded = "embedded"
    scratch = "scratch"


PAIRS = {Start.embedded: 20_000, Start.scratch: 60_000}

app = typer.Typer(
    name=NAME,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


DataOption = Annotated[
    str,
    typer.Option(
        help="Images to train on: `sample` (photographs that come with scikit-image, and "
        "generated ones), or a folder of images, of which a fifth is held out."
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of everything random.")]
DeviceOption = Annotated[Device, typer.Option(help="Where the network runs.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]


@app.callback(invoke_without_command=True)
def train(
    context: typer.Context,
    ranking: Annotated[
        str | None,
        typer.Option(
            help="Distortions from the least to the most disruptive, by number or name: "
            "3,1,5,0,2,4 or color,translate,zoom,rotate,darken,blur. Two to six of them; "
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
    data: DataOption = "sample",
    test_data: Annotated[
        str | None,
        typer.Option(help="Images to measure on, instead of a held-out share of --data."),
    ] = None,
    start: Annotated[
        Start | None,
        typer.Option(
            "--from",
            help="Adapt the embedded metric to your images, or train a new head from scratch on a "
            "network's features. Default: embedded, but scratch where --backbone, --layers, "
            "--weights or --size ask for something that the embedded metric is not.",
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
        typer.Option(help="The network's nodes to compare, joined by commas; default: a preset."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights of the network (safetensors, torchvision's names), instead of "
            "torchvision's own download."
        ),
    ] = None,
    size: Annotated[
        str,
        typer.Option(help="Working size in pixels that images are resized to, or `native`."),
    ] = "64",
    pairs: Annotated[
        int | None,
        typer.Option(
            min=100,
            help="Training pairs in the distance bank.  [default: 60000 from scratch, else 20000]",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the bank.")] = 15,
    bank: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep the distance bank in: the next training that asks for the same "
            "bank takes it from there. Default: none is kept."
        ),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
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

    Trains on a bank of distorted images, measures on held-out ones, and writes a run
    folder that dps-export turns into one ONNX file.

    Exit codes: 0 done, 1 something broke, 2 usage.
    """
    if context.invoked_subcommand is not None:
        if ranking is not None or importance is not None:
            raise UsageError(
                f"--ranking and --importance train a metric: {context.invoked_subcommand} takes "
                "its own options after its name"
            )
        return
    from dps_train.runs import DEFAULT_FOLDER, free_name, save_run
    from dps_train.tables import print_heads, print_measures
    from dps_train.training import Settings
    from dps_train.training import train as train_metric

    wanted = _context(ranking, importance)
    say(NAME, _echo(wanted))
    working_size = _size(size)
    chosen = _start(start, own=(backbone, layers, weights, working_size) != EMBEDDED_PARTS)
    pairs = PAIRS[chosen] if pairs is None else pairs
    name = _name(wanted) if out is None else out.name
    folder = out if out is not None else free_name(DEFAULT_FOLDER, name)
    check_output(folder, force=force, folder=True)
    if bank is not None and bank.resolve() == folder.resolve():
        raise UsageError(f"{bank} cannot be both --bank and --out: name two folders")
    settings = Settings(
        context=wanted,
        data=data,
        test_data=test_data,
        start=chosen.value,
        backbone=backbone,
        layers=tuple(layers.split(",")) if layers else None,
        weights=weights,
        size=working_size,
        pairs=pairs,
        epochs=epochs,
        seed=seed,
        device=device.value,
        bank=bank,
        renew_bank=force,
    )
    trained = train_metric(settings, name, lambda text: say(NAME, text))
    if out is None:
        # Another training may have taken the name in the meantime.
        folder = free_name(DEFAULT_FOLDER, name)
    save_run(folder, trained, settings={"pairs": pairs, "epochs": epochs}, force=force)
    if as_json:
        report = asdict(trained.measures)
        if trained.before is not None:
            report["before"] = asdict(trained.before)
        print(json.dumps(report, indent=2, allow_nan=False))
    elif trained.before is not None:
        print_heads({"before": trained.before, "after": trained.measures})
    else:
        print_measures(trained.measures)
    say(NAME, f"run written to {folder}; freeze it with: dps-export {folder} -o ctx.onnx")


@app.command()
def distortions(
    image: Annotated[
        Path | None,
        typer.Argument(help="Image to show on the sheet; default: a photograph of a cat."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write a contact sheet of the image under each distortion at several strengths."
        ),
    ] = None,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """List the six distortions, and show them on an image.

    Without --sheet an IMAGE gives distortions.png in the current folder.
    """
    from dps_train.tables import print_distortions

    if sheet is None and image is not None:
        sheet = Path("distortions.png")
    if sheet is not None:
        from dps_train.data.sources import photograph, read_pixels
        from dps_train.sheet import check_sheet, distortion_sheet, save_sheet

        check_sheet(sheet, force=force)
        pixels = photograph("chelsea") if image is None else read_pixels(image)
        save_sheet(distortion_sheet(pixels), sheet, force=force)
        say(NAME, f"contact sheet written to {sheet}")
    print_distortions()


@app.command()
def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="Run folder, or `embedded` for the embedded metric; default: the newest run.",
        ),
    ] = None,
    data: Annotated[
        str, typer.Option(help="Images to measure on: every image of a folder, or `sample`.")
    ] = "sample",
    rankings: Annotated[
        str | None,
        typer.Option(
            help="Measure in this many random rankings of the six, or in `all` 720. Default: the "
            "run's own context; 20 for `embedded`, which has none."
        ),
    ] = None,
    heads: Annotated[
        str,
        typer.Option(
            help="Heads to measure side by side, joined by commas: `additive` (the run's own), "
            "`uniform` (unadapted), `lin` (the paper's linear one, trained for each ranking on "
            "the run's backbone)."
        ),
    ] = "additive",
    train_data: Annotated[
        str | None,
        typer.Option(help="Images to train `lin` on: `sample`, or every image of a folder."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the measures to a JSON file as well.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a trained metric on other images, in its own context or in many."""
    embedded = folder == Path(Start.embedded.value)
    count = _rankings(rankings or ("20" if embedded else "own"))
    asked = _heads(heads)
    if json_file is not None:
        check_output(json_file, force=force)
    import torch

    from dps_train.compared import ADDITIVE, LIN, measure_heads
    from dps_train.contexts import random_rankings, saved_context
    from dps_train.data.batches import TRAINING_SIZE, whole
    from dps_train.data.sources import load_held_out, load_training
    from dps_train.devices import pick_device
    from dps_train.runs import load_run, newest_run
    from dps_train.seeds import generator_for
    from dps_train.tables import print_heads, print_measures
    from dps_train.universal import load_universal

    if embedded and count is None:
        raise UsageError("the embedded metric has no context of its own: give --rankings a number")
    if LIN in asked and train_data is None:
        raise UsageError("--heads lin trains a head: say on what, --train-data FOLDER or sample")
    generator = torch.Generator().manual_seed(seed)
    if embedded:
        metric, own = load_universal(), []
    else:
        metric, manifest = load_run(folder if folder is not None else newest_run())
        own = [saved_context(manifest.metric)]
    contexts = own if count is None else random_rankings(count, generator)
    images = whole(load_held_out(data, generator).images, metric.preprocess.size or TRAINING_SIZE)
    training = (
        load_training(train_data, generator_for("training images", seed))
        if LIN in asked and train_data is not None
        else None
    )
    measured = measure_heads(
        metric,
        tuple(dict.fromkeys((*asked, ADDITIVE))),
        images,
        contexts,
        training=training,
        seed=seed,
        device=pick_device(device.value),
    )
    if json_file is not None:
        with atomic_file(json_file, force=force) as temporary:
            report = {
                **asdict(measured[ADDITIVE]),
                "seed": seed,
                "heads": {head: asdict(measured[head]) for head in asked},
            }
            temporary.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    if asked == (ADDITIVE,):
        print_measures(measured[ADDITIVE])
    else:
        print_heads({head: measured[head] for head in asked})


def main() -> NoReturn:
    """Run ``dps-train`` and leave with its exit code."""
    run(app, NAME)


def _context(ranking: str | None, importance: str | None) -> Context:
    from dps_train.contexts import importance_context, ranking_context
    from dps_train.distortions import NAMES

    if ranking is not None and importance is not None:
        raise UsageError("--ranking and --importance say the same thing in two ways: give one")
    if ranking is not None:
        return ranking_context(parse_ranking(ranking, NAMES))
    if importance is not None:
        return importance_context(parse_importances(importance, NAMES))
    raise UsageError(
        "say what matters: --ranking 3,1,5,0,2,4 (least disruptive first) or "
        "--importance color=0.1,blur=5; `dps-train distortions` lists the distortions"
    )


def _echo(context: Context) -> str:
    if context.given:
        return f"importances {format_importances(dict(context.importances))}"
    return f"ranking {format_ranking(context.ranking)}: {describe_ranking(context.ranking)}"


def _name(context: Context) -> str:
    """Return a name for a run that can be a folder's."""
    from dps_infer.choice import Choice, name_of

    ranking = None if context.given else context.ranking
    return name_of(Choice(dict(context.importances), ranking))


def _start(asked: Start | None, *, own: bool) -> Start:
    """Return what to start from; `own` says that parts of the user's own were asked for."""
    if asked is Start.embedded and own:
        raise UsageError(
            "--from embedded starts from a metric that has its own network, weights and size: "
            "leave --backbone, --layers, --weights and --size out, or say --from scratch"
        )
    return asked or (Start.scratch if own else Start.embedded)


def _size(text: str) -> int | None:
    if text == "native":
        return None
    if text.isascii() and text.isdecimal() and 32 <= int(text) <= 1024:
        return int(text)
    raise UsageError(f"--size is {text!r}: expected a number of pixels from 32 to 1024, or native")


def _rankings(text: str) -> int | None:
    """Return how many rankings to measure in; None for the run's own context."""
    if text == "own":
        return None
    if text == "all":
        return 720
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 720:
        return int(text)
    raise UsageError(f"--rankings is {text!r}: expected a number from 1 to 720, or all")


def _heads(text: str) -> tuple[str, ...]:
    """Return the heads to measure, each once, in the order they were named."""
    from dps_train.compared import HEADS

    asked = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for head in asked:
        if head not in HEADS:
            raise UsageError(f"--heads names {head!r}: expected some of {','.join(HEADS)}")
    return asked


if __name__ == "__main__":
    main()
