"""``dps-train study``: the paper's experiment, for as many rankings as one likes."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands.shared.run import DebugOption, say
from dps_infer.errors import DpsError, UsageError
from dps_infer.runtime.device import Device
from dps_train.commands.options import (
    NAME,
    SOURCES,
    ChannelNormOption,
    DeviceOption,
    Direction,
    Logger,
    Objective,
    ObjectiveOption,
    SeedOption,
    SizeOption,
    StepsOption,
    check_comparison,
    parse_rankings,
    parse_size,
)
from dps_train.commands.train import PAIRS, Variant

NEEDED = ("jinja2", "matplotlib", "pyarrow")
"""Packages that write the table and the report."""


def study(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder of the study. One that was stopped goes on where it was: start it again "
            "with the same options."
        ),
    ],
    rankings: Annotated[
        str,
        typer.Option(help="How many random rankings of the six distortions, or `all` 720."),
    ] = "20",
    variants: Annotated[
        str,
        typer.Option(
            help="What is trained in each ranking, joined by commas: baseline (nothing: the "
            "unadapted metric), lin, tune, scratch, additive; dps-train --help says what they are."
        ),
    ] = "baseline,lin,additive",
    comparisons: Annotated[
        str | None,
        typer.Option(
            help="How features are compared, joined by commas: the paper's are "
            "spatial,mean,sort,spatial+mean,spatial+sort. Default: each variant's own, which is "
            "spatial, and more for additive."
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
        typer.Option(min=1, help="How often all of it is done, each time from another seed."),
    ] = 1,
    data: Annotated[
        str,
        typer.Option(
            help=f"Images to train on: {SOURCES}, of which a fifth is held out unless "
            "--test-data is given."
        ),
    ] = "sample",
    test_data: Annotated[
        str | None,
        typer.Option(help="Images to measure on, maybe of another domain."),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NETWORK=]FILE",
            help="Weights of a network (safetensors, torchvision's names), instead of "
            "torchvision's own download. Once for each network; with one network, its name may "
            "be left out.",
        ),
    ] = None,
    channel_norm: ChannelNormOption = True,
    size: SizeOption = "64",
    objective: ObjectiveOption = Objective.pairwise,
    pairs: Annotated[
        int | None,
        typer.Option(
            min=100,
            help="Training pairs of additive.  [default: 60000, or 20000 where it adapts the "
            "embedded metric]",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Passes of additive and lin over their pairs.  [default: 15, 10]"),
    ] = None,
    steps: StepsOption = 600,
    bapps: Annotated[
        Path | None,
        typer.Option(
            help="Score every metric on human judgements too: the folder of BAPPS that holds "
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
    higher: Annotated[
        list[Direction] | None,
        typer.Option(
            help="With --scores: whether a higher score in the CSV files means better or worse; "
            "once for all of them, or once for each, in their order.  [default: better]"
        ),
    ] = None,
    ladders: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Climb ladders of real changes with every metric too, on photographs in this "
            "folder; see docs/ladders.md.",
        ),
    ] = None,
    photographs: Annotated[
        int, typer.Option(min=2, help="With --ladders: photographs to draw, at most.")
    ] = 10,
    logger: Annotated[
        Logger | None,
        typer.Option(help="Log the course of tune and scratch.  [default: nowhere]"),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.auto,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON instead of a table.")
    ] = False,
    debug: DebugOption = False,
) -> None:
    """Train metrics in many rankings, and find out what adapting is worth.

    A metric is trained and measured for each ranking, variant, comparison, network and
    repetition. The folder gets table.csv and table.parquet with one row each, and
    report.html. Ctrl-C stops; the same command goes on from there.

    Exit codes: 0 done, 1 something broke, 2 usage, 130 interrupted.
    """
    _check_packages()
    names = _listed("--variants", variants, [variant.value for variant in Variant])
    networks = _listed("--backbones", backbones)
    compared = _listed("--comparisons", comparisons) if comparisons is not None else (None,)
    for comparison in compared:
        check_comparison(comparison)
    count = parse_rankings(rankings)
    if count is None:
        raise UsageError("--rankings is 'own': expected a number from 1 to 720, or all")
    from dps_train.agreement.scores.read import read_all
    from dps_train.evaluate.ladders.photographs import load_photographs
    from dps_train.fit.settings import END_TO_END, Settings
    from dps_train.study.others import Others
    from dps_train.study.plan import Study
    from dps_train.study.report import write_report
    from dps_train.study.runner import run_study
    from dps_train.study.summary import print_summaries, summarise

    others = Others(
        scores=read_all(scores or (), [one is Direction.better for one in higher or ()]),
        photographs=load_photographs(ladders, photographs, seed=seed) if ladders else (),
    )
    if logger is not None and not set(names) & set(END_TO_END):
        raise UsageError(f"--logger is for --variants {' and '.join(END_TO_END)}: name one of them")
    planned = Study(
        rankings=count,
        variants=names,
        comparisons=compared,
        backbones=networks,
        weights=_weights(weights or [], networks),
        repetitions=repetitions,
        pairs={start.value: number if pairs is None else pairs for start, number in PAIRS.items()},
        bapps=bapps,
        others=others,
        common=Settings(
            data=data,
            test_data=test_data,
            channel_norm=channel_norm,
            size=parse_size(size),
            objective=objective.value,
            epochs=epochs,
            steps=steps,
            seed=seed,
            device=device.value,
            logger=None if logger is None else logger.value,
        ),
    )
    try:
        rows = run_study(planned, out)
    except KeyboardInterrupt:
        say(NAME, f"stopped: the same command goes on with {out}")
        raise
    page = write_report(out, planned, rows)
    summaries = summarise(rows)
    if as_json:
        typer.echo(json.dumps([asdict(summary) for summary in summaries], indent=2))
    else:
        print_summaries(summaries)
    say(NAME, f"table and report written to {out}; look at {page}")


def _check_packages() -> None:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise DpsError(
            f"a study needs {' and '.join(missing)} for its table and report: "
            'pip install "dps-toolkit[parquet,plot]"'
        )


def _listed(option: str, text: str, known: Collection[str] | None = None) -> tuple[str, ...]:
    """Return what is named, each once, in its order."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for name in names:
        if not name or (known is not None and name not in known):
            expected = f"some of {','.join(known)}" if known else "names joined by commas"
            raise UsageError(f"{option} names {name!r}: expected {expected}")
    return names


def _weights(given: Sequence[str], networks: Sequence[str]) -> dict[str, Path]:
    """Return the file of weights of each network that has one."""
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
