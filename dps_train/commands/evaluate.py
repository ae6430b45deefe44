"""``dps-train evaluate``: what a metric is worth on other images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dps_infer.commands.shared.run import DebugOption, say
from dps_infer.errors import UsageError
from dps_infer.files.write import atomic_file, check_output
from dps_infer.model.view import View
from dps_infer.runtime.device import Device
from dps_train.commands.evaluate_ladders import evaluate_ladders
from dps_train.commands.evaluate_scores import evaluate_scores
from dps_train.commands.options import (
    NAME,
    SOURCES,
    CustomOption,
    DeviceOption,
    Direction,
    ForceOption,
    SeedOption,
    parse_rankings,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dps_infer.contexts.context import Context
    from dps_train.distortions.distortion import Distortion
    from dps_train.evaluate.target import Subject
    from dps_train.judgements.agreement import JudgementScores
    from dps_train.measure.evaluation import Measures

UNIVERSAL_RANKINGS = "20"

MOST_IMAGES = 500
"""Held-out images that are measured on; of more, so many are drawn. A mean over 500 images is
certain to about 0.005, and every image stands for 200 changes."""


def evaluate(
    subject: Annotated[
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
            help=f"Images to measure on: {SOURCES}. Of more than {MOST_IMAGES}, so many are drawn; "
            "with --ladders at most --photographs."
        ),
    ] = "sample",
    rankings: Annotated[
        str | None,
        typer.Option(
            help="Measure in this many random rankings of the distortions, or in `all`: 720 of the "
            "six, 5040 with one of your own. Default: the "
            f"metric's own context; {UNIVERSAL_RANKINGS} for `embedded` and a universal file, "
            "which have none. Only the additive head of a run, `embedded` and a universal file "
            "can be put in other contexts."
        ),
    ] = None,
    heads: Annotated[
        str | None,
        typer.Option(
            help="Heads of a run to measure side by side, joined by commas: its own (called by "
            "its variant, like `additive`), `uniform` (unadapted), `lin` (the paper's linear one, "
            "trained for each ranking on the run's backbone).  [default: its own]"
        ),
    ] = None,
    train_data: Annotated[
        str | None,
        typer.Option(help="Images to train `lin` on: `sample`, or every image of a folder."),
    ] = None,
    bapps: Annotated[
        Path | None,
        typer.Option(
            help="Measure the agreement with people on BAPPS's validation part as well: the "
            "folder that holds 2afc and jnd."
        ),
    ] = None,
    triplets: Annotated[
        Path | None,
        typer.Option(
            help="The same on judgements of your own: a CSV file with the columns "
            "reference,p0,p1,judge."
        ),
    ] = None,
    distortions: CustomOption = None,
    view: Annotated[
        View | None,
        typer.Option(
            help="How a context file looks at images: as a whole at its working size, in tiles "
            "at their own resolution, or both. Tiles are measured on images of twice its working "
            "size.  [default: whole; with --ladders and --scores the file's own]"
        ),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.csv|FOLDER",
            help="Instead of all that: agreement with scores that people gave to pairs at their "
            "own size; see docs/agreement.md. A CSV file with the columns "
            "reference,candidate,score[,kind,level], paths relative to it, or the folder of "
            "TID2013, KADID-10k, CSIQ, CID22 or PIPAL. May be given several times. With --rankings "
            "20 --heads uniform,lin,additive it prints what adapting costs.",
        ),
    ] = None,
    higher: Annotated[
        list[Direction] | None,
        typer.Option(
            help="With --scores: whether a higher score in the CSV files means better or worse; "
            "once for all of them, or once for each, in their order.  [default: better]"
        ),
    ] = None,
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
            "instead of torchvision's own download."
        ),
    ] = None,
    ladders: Annotated[
        bool,
        typer.Option(
            "--ladders",
            help="Instead of all that: climb ladders of real changes (JPEG, noise, a turn ...) on "
            "photographs at their own size, from barely visible to gross; see docs/ladders.md.",
        ),
    ] = False,
    contexts: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,...",
            help="With --ladders and --scores: the contexts to measure in, joined by commas: "
            "`general` (every kind counts alike), a number of random rankings, `own`, or names of "
            "saved contexts. It takes the place of --rankings.  [default: the metric's own; else "
            "general,20; with --scores general]",
        ),
    ] = None,
    ranking: Annotated[
        list[str] | None,
        typer.Option(
            help="With --ladders and --scores: a ranking of your own to measure in. May be given "
            "several times, and beside --contexts.",
        ),
    ] = None,
    photographs: Annotated[
        int, typer.Option(min=2, help="With --ladders: photographs to draw, at most.")
    ] = 10,
    megapixels: Annotated[
        str,
        typer.Option(
            metavar="SIZE,...",
            help="With --ladders: measure at these sizes, joined by commas: `own`, or numbers that "
            "the photographs are scaled to, like 0.15,1,4.",
        ),
    ] = "own",
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="With --ladders: write a page of plots, a curve for each photograph.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the measures to a JSON file as well.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """Measure a metric on other images, in its own context or in many.

    docs/measures.md says what each measure means, docs/ladders.md those of --ladders,
    docs/agreement.md those of --scores.

    Exit codes: 0 done, 1 something broke, 2 usage.
    """
    if scores:
        _refuse(
            {"--ladders": ladders, "--triplets": triplets, "--plots": plots},
            "does not go with --scores: leave it out",
        )
        evaluate_scores(
            subject,
            scores=scores,
            higher=higher or (),
            contexts=contexts,
            ranking=ranking or (),
            rankings=rankings,
            heads=heads,
            train_data=train_data,
            bapps=bapps,
            peers=peers,
            trunk=lpips_trunk,
            distortions=distortions or (),
            view=view,
            device=device,
            seed=seed,
            json_file=json_file,
            force=force,
        )
        return
    _refuse(
        {"--higher": higher, "--peers": peers, "--lpips-trunk": lpips_trunk},
        "is for --scores: give that as well",
    )
    if ladders:
        _refuse(
            {"--rankings": rankings},
            "is not for --ladders: write the number into --contexts, like general,20",
        )
        _refuse(
            {
                "--heads": heads,
                "--train-data": train_data,
                "--bapps": bapps,
                "--triplets": triplets,
                "--distortions": distortions,
            },
            "does not go with --ladders: leave it out",
        )
        evaluate_ladders(
            subject,
            data=data,
            contexts=contexts,
            rankings=ranking or (),
            photographs=photographs,
            megapixels=megapixels,
            view=view,
            device=device,
            seed=seed,
            json_file=json_file,
            plots=plots,
            force=force,
        )
        return
    _refuse(
        {"--contexts": contexts, "--ranking": ranking, "--plots": plots},
        "is for --ladders or --scores: give one of them as well",
    )
    if json_file is not None:
        check_output(json_file, force=force)
    import torch

    from dps_train.custom.custom_distortion import all_distortions, with_scenes
    from dps_train.custom.find import find_custom
    from dps_train.evaluate.heads import chosen_heads
    from dps_train.evaluate.target import load_subject

    own = find_custom(distortions or ())
    names = tuple(distortion.name for distortion in all_distortions(own))
    asked_rankings = None if rankings is None else parse_rankings(rankings, len(names))
    measured = load_subject(subject, view=view, device=device, names=names)
    generator = torch.Generator().manual_seed(seed)
    if measured.own is None and rankings is None:
        asked_rankings = int(UNIVERSAL_RANKINGS)
    measured_in = _contexts(measured, asked_rankings, generator, names)
    asked_heads = chosen_heads(heads, measured, train_data)
    if measured.own is None and (bapps is not None or triplets is not None):
        raise UsageError(
            f"--bapps and --triplets measure in one context, and {measured.name} has none of its "
            "own: name a run or a plain context file (dps-export --ranking color,blur makes one)"
        )
    images, shown = with_scenes(_held_out(data, measured.size, seed, generator), own)
    people = _people(measured, bapps, triplets, device)
    measures = _measure(
        measured,
        asked_heads,
        images,
        measured_in,
        shown,
        train_data=train_data,
        seed=seed,
        device=device,
    )
    if json_file is not None:
        report = _report(measures, measured.head, asked_heads, people, seed)
        with atomic_file(json_file, force=force) as temporary:
            temporary.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    _print({head: measures[head] for head in asked_heads}, measured, people)


def _refuse(options: Mapping[str, object], why: str) -> None:
    for option, value in options.items():
        if value:
            raise UsageError(f"{option} {why}")


def _contexts(
    subject: Subject, count: int | None, generator: torch.Generator, names: tuple[str, ...]
) -> list[Context]:
    """Return the contexts to measure in: so many rankings, or for None the metric's own."""
    from dps_train.contexts import random_rankings

    if count is None:
        if subject.own is None:
            raise UsageError(
                f"{subject.name} has no context of its own: give --rankings a number, or all"
            )
        return [subject.own]
    if subject.tied is not None:
        raise UsageError(
            f"--rankings: {subject.name} can be measured in its own context only, as "
            f"{subject.tied}: leave --rankings out"
        )
    return random_rankings(count, generator, names)


def _held_out(data: str, size: int, seed: int, generator: torch.Generator) -> Tensor:
    """Return images to measure on [M, 3, size, size], at most `MOST_IMAGES` of them."""
    import torch

    from dps_train.data.crops import resize_images
    from dps_train.data.sources import load_held_out
    from dps_train.seeds import generator_for

    images = load_held_out(data, generator).images
    if len(images) > MOST_IMAGES:
        say(NAME, f"measured on {MOST_IMAGES} of the {len(images)} images of {data}, drawn by seed")
        order = torch.randperm(len(images), generator=generator_for("held-out images", seed))
        images = tuple(images[row] for row in sorted(order[:MOST_IMAGES].tolist()))
    return resize_images(images, size)


def _people(
    subject: Subject, bapps: Path | None, triplets: Path | None, device: Device
) -> JudgementScores | None:
    """Measure the agreement with people, where that is asked for."""
    if bapps is None and triplets is None:
        return None
    from dps_train.devices import pick_device
    from dps_train.judgements.agreement import score_judgements
    from dps_train.judgements.image_distance import metric_distance
    from dps_train.model.metric import Metric

    if isinstance(subject.metric, Metric):
        distance = metric_distance(subject.metric, pick_device(device.value))
    else:
        distance = subject.metric.distance
    return score_judgements(
        distance, bapps=bapps, triplets=triplets, note=lambda text: say(NAME, text)
    )


def _measure(
    subject: Subject,
    heads: tuple[str, ...],
    images: Tensor,
    contexts: list[Context],
    distortions: tuple[Distortion, ...],
    *,
    train_data: str | None,
    seed: int,
    device: Device,
) -> dict[str, Measures]:
    """Measure the heads that are asked for, and the metric's own in any case."""
    from dps_train.data.sources import load_training
    from dps_train.devices import pick_device
    from dps_train.evaluate.heads import measure_file, measure_heads
    from dps_train.fit.settings import LIN
    from dps_train.model.metric import Metric
    from dps_train.seeds import generator_for

    if not isinstance(subject.metric, Metric):
        return {subject.head: measure_file(subject.metric, images, contexts, seed, distortions)}
    training = None
    if LIN in heads and subject.head != LIN and train_data is not None:
        training = load_training(train_data, generator_for("training images", seed))
    return measure_heads(
        subject.metric,
        tuple(dict.fromkeys((*heads, subject.head))),
        images,
        contexts,
        own=subject.head,
        training=training,
        seed=seed,
        device=pick_device(device.value),
        distortions=distortions,
    )


def _report(
    measures: Mapping[str, Measures],
    own: str,
    heads: tuple[str, ...],
    people: JudgementScores | None,
    seed: int,
) -> dict[str, Any]:
    """Return what --json writes: the measures of the metric's own head, and what else was asked."""
    judged = {} if people is None else asdict(people)
    return {
        **asdict(measures[own]),
        "seed": seed,
        "heads": {head: asdict(measures[head]) for head in heads},
        **{name: scores for name, scores in judged.items() if scores is not None},
    }


def _print(
    measures: Mapping[str, Measures], subject: Subject, people: JudgementScores | None
) -> None:
    from dps_train.evaluate.printing import print_heads, print_measures, print_people
    from dps_train.model.metric import Metric

    if not isinstance(subject.metric, Metric):
        say(
            NAME,
            "left out, since a context file does not tell them: the unadapted distance, and "
            "stability (half a grey level of noise is lost in its pixels of 8 bits)",
        )
    if tuple(measures) == (subject.head,):
        print_measures(measures[subject.head])
    else:
        print_heads(measures)
    if people is not None:
        print_people(people)
