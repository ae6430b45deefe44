"""Options that several commands share."""

from __future__ import annotations

import enum
import math
from typing import Annotated

import typer

from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device

NAME = "dps-train"


class Objective(str, enum.Enum):
    """What training on triplets makes small."""

    pairwise = "pairwise"
    judge = "judge"


class Logger(str, enum.Enum):
    """Where the course of a training is logged."""

    csv = "csv"
    tensorboard = "tensorboard"
    wandb = "wandb"


SOURCES = (
    "`sample` (photographs that come with scikit-image, and generated ones), `stl10`, `svhn` "
    "(downloaded on first use), or a folder of images"
)

DataOption = Annotated[
    str, typer.Option(help=f"Images to train on: {SOURCES}, of which a fifth is held out.")
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of everything random.")]
DeviceOption = Annotated[Device, typer.Option(help="Where the network runs.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
SizeOption = Annotated[
    str, typer.Option(help="Working size in pixels that images are resized to, or `native`.")
]
ChannelNormOption = Annotated[
    bool, typer.Option(help="Scale the features at each position to unit length first.")
]
ObjectiveOption = Annotated[
    Objective,
    typer.Option(
        help="What lin, tune and scratch make small: a logistic loss over pairs, or that of "
        "the paper's judge network."
    ),
]
StepsOption = Annotated[int, typer.Option(min=1, help="Steps of tune and scratch.")]


OwnOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE|FILE.py|PAIRS.csv|NAME",
        help="Distortions of your own, besides the six: a Python module or file that makes some "
        "(docs/custom-distortions.md), a CSV file before,after,strength of images, or the name of an "
        "installed one. May be given several times.",
    ),
]


MOST_RANKINGS = 5040
"""As many as there are of seven distortions."""


def parse_rankings(text: str, distortions: int = 6) -> int | None:
    """Return how many rankings to measure in; None for the run's own context.

    Args:
        text: `own`, `all` or a number.
        distortions: how many there are to be ranked.

    Raises:
        UsageError: none of these, or more than there are or than can be measured.
    """
    there_are = math.factorial(distortions)
    most = min(there_are, MOST_RANKINGS)
    if text == "own":
        return None
    if text == "all" and there_are <= MOST_RANKINGS:
        return there_are
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= most:
        return int(text)
    or_all = ", or all" if there_are <= MOST_RANKINGS else f"; all {there_are} are too many"
    raise UsageError(f"--rankings is {text!r}: expected a number from 1 to {most}{or_all}")


def check_comparison(text: str | None) -> None:
    """Refuse a text that names no comparison.

    Raises:
        UsageError: a part of it is none.
    """
    from dps_train.model.comparisons import COMPARISONS

    unknown = [part for part in (text or "spatial").split("+") if part not in COMPARISONS]
    if unknown:
        raise UsageError(
            f"--comparison names {unknown[0]!r}: expected {', '.join(COMPARISONS)}, or several "
            "joined by +"
        )


def parse_size(text: str) -> int | None:
    """Return the working size in pixels; None for the images' own.

    Raises:
        UsageError: neither `native` nor a number from 32 to 1024.
    """
    if text == "native":
        return None
    if text.isascii() and text.isdecimal() and 32 <= int(text) <= 1024:
        return int(text)
    raise UsageError(f"--size is {text!r}: expected a number of pixels from 32 to 1024, or native")
