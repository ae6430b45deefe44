"""``dps-train study``: the paper's experiment, for any number of rankings."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, cast

import typer

from dps_infer.commands.shared.run import DebugOption
from dps_infer.errors import DpsError, UsageError
from dps_infer.extras import install
from dps_infer.runtime.device import Device
from dps_train.commands.options import (
    ChannelNormOption,
    DataOption,
    DeviceOption,
    Direction,
    EpochsOption,
    HigherOption,
    LoggerOption,
    ObjectiveOption,
    PhotographsOption,
    SeedOption,
    SizeOption,
    StepsOption,
    TestDataOption,
    note,
    parse_rankings,
    parse_size,
)
from dps_train.fit.settings import END_TO_END, VARIANTS, Settings, Variant, check_comparison

NEEDED = ("jinja2", "matplotlib", "pyarrow")
"""Packages that write the table and the report."""


def study(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the study. To continue one that was stopped, start it again with the "
            "same options."
        ),
    ],
    rankings: Annotated[
        str,
        typer.Option(help="How many random rankings of the six distortions, or `all` 720."),
    ] = "20",
    variants: Annotated[
        str,
        typer.Option(
            help="Variants to train for each ranking, joined by commas: baseline (the unadapted "
            "metric), lin, tune, scratch, additive; dps-train --help describes them."
        ),
    ] = "baseline,lin,additive",
    comparisons: Annotated[
        str | None,
        typer.Option(
            help="Comparisons of features, joined by commas; the paper's are "
            "spatial,mean,sort,spatial+mean,spatial+sort. Default: that of each variant: spatial, "
            "and more for additive."
        ),
    ] = None,
    backbones: Annotated[
        str,
        typer.Option(
            help="Loss networks, joined by commas: `embedded`, or torchvision models such as "
            "squeezenet1_1,alexnet,vgg16."
        ),
    ] = "embedded",
    repetitions: Annotated[
        int,
        typer.Option(min=1, help="Repetitions of the whole study, each with another seed."),
    ] = 1,
    data: DataOption = "sample",
    test_data: TestDataOption = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NETWORK=]FILE",
            help="Weights of a network (safetensors, torchvision's names), instead of "
            "torchvision's download. Once for each network; with one network, its name may be "
            "left out.",
        ),
    ] = None,
    channel_norm: ChannelNormOption = True,
    size: SizeOption = "64",
    objective: ObjectiveOption = "pairwise",
    pairs: Annotated[
        int | None,
        typer.Option(
            min=100,
            help="Training pairs of additive.  [default: 60000, or 20000 if it adapts the "
            "embedded metric]",
        ),
    ] = None,
    epochs: EpochsOption = None,
    steps: StepsOption = 600,
    bapps: Annotated[
        Path | None,
        typer.Option(
            help="Also score every metric on people's judgements: the folder of BAPPS that holds "
            "2afc and jnd."
        ),
    ] = None,
    scores: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE.csv|FOLDER",
            help="Measure the agreement of every metric with people's scores too, as "
            "`dps-train evaluate --scores` reads them. May be given several times.",
        ),
    ] = None,
    higher: HigherOption = None,
    ladders: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Measure every metric on ladders of real changes too, on photographs in this "
            "folder; see docs/ladders.md.",
        ),
    ] = None,
    photographs: PhotographsOption = 10,
    logger: LoggerOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON instead of a table.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Train metrics for many rankings, and measure the effect of adapting.

    Trains and measures a metric for each ranking, variant, comparison, network and repetition.
    Writes table.csv and table.parquet, with one row per metric, and report.html to the folder.
    Ctrl-C stops a study; the same command continues it.
    """
    _check_packages()
    asked = _split("--variants", variants, VARIANTS)
    networks = _split("--backbones", backbones)
    asked_comparisons = (None,) if comparisons is None else _split("--comparisons", comparisons)
    for comparison in asked_comparisons:
        check_comparison(comparison)
    count = parse_rankings(rankings)
    if count is None:
        raise UsageError("--rankings is 'own': expected a number from 1 to 720, or all")
    if logger is not None and not set(asked) & set(END_TO_END):
        raise UsageError(f"--logger is for --variants {' and '.join(END_TO_END)}: name one of them")
    common = Settings(
        data=data,
        test_data=test_data,
        channel_norm=channel_norm,
        size=parse_size(size),
        objective=objective,
        pairs=pairs,
        epochs=epochs,
        steps=steps,
        seed=seed,
        device=device.value,
        logger=logger,
    )
    files = _weights(weights or [], networks)
    from dps_train.agreement.scores.read import read_all
    from dps_train.evaluate.ladders.photographs import load_photographs
    from dps_train.study.extra_images import ExtraImages
    from dps_train.study.plan import Study
    from dps_train.study.report import write_report
    from dps_train.study.run_study import run_study
    from dps_train.study.summary import print_summaries, summarize

    extra = ExtraImages(
        scores=read_all(scores or (), [one is Direction.better for one in higher or ()]),
        photographs=load_photographs(ladders, photographs, seed=seed) if ladders else (),
    )
    planned = Study(
        rankings=count,
        variants=cast(tuple[Variant, ...], asked),
        comparisons=asked_comparisons,
        backbones=networks,
        weights=files,
        repetitions=repetitions,
        bapps=bapps,
        common=common,
        extra=extra,
    )
    try:
        rows = run_study(planned, out)
    except KeyboardInterrupt:
        note(f"stopped: the same command continues {out}")
        raise
    page = write_report(out, planned, rows)
    summaries = summarize(rows)
    if as_json:
        typer.echo(json.dumps(summaries, indent=2))
    else:
        print_summaries(summaries)
    note(f"table and report written to {out}; look at {page}")


def _check_packages() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise DpsError(
            f"a study needs {' and '.join(missing)} for its table and report: "
            f"{install('parquet', 'plot')}"
        )


def _split(option: str, text: str, known: Collection[str] | None = None) -> tuple[str, ...]:
    """Return the names in a text, without duplicates, in their order."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if not name or (known is not None and name not in known):
            expected = f"some of {','.join(known)}" if known else "names joined by commas"
            raise UsageError(f"{option} names {name!r}: expected {expected}")
    return names


def _weights(given: Sequence[str], networks: Sequence[str]) -> dict[str, Path]:
    """Return the files of weights by network."""
    files: dict[str, Path] = {}
    for text in given:
        network, equals, file = text.partition("=")
        if not (equals and network in networks):
            if len(networks) > 1:
                raise UsageError(
                    f"--weights is {text!r}: expected NETWORK=FILE, the network one of "
                    f"{', '.join(networks)}"
                )
            network, file = networks[0], text
        if network in files:
            raise UsageError(f"--weights names a file for {network} twice: name one")
        files[network] = Path(file)
    return files
