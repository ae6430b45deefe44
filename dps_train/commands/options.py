"""Options that several commands share, and the conversion of their text."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands.shared.run import say
from dps_infer.errors import UsageError
from dps_infer.runtime.device import Device
from dps_train.fit.settings import Logger, Objective

NAME = "dps-train"


class Direction(str, enum.Enum):
    """The meaning of a higher score of people; Typer accepts no lists of literals."""

    better = "better"
    worse = "worse"


SOURCES = (
    "`sample` (photographs that come with scikit-image, and generated images), `stl10`, `svhn` "
    "(downloaded on first use), or a folder of images"
)

DataOption = Annotated[
    str,
    typer.Option(
        help=f"Images to train on: {SOURCES}. A fifth is held out, unless --test-data is given."
    ),
]
TestDataOption = Annotated[
    str | None,
    typer.Option(help="Images to measure on, instead of held-out ones; maybe of another domain."),
]
SeedOption = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of everything random.")]
DeviceOption = Annotated[Device, typer.Option(help="Where the network runs.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
SizeOption = Annotated[
    str, typer.Option(help="Working size in pixels that images are resized to, or `native`.")
]
ChannelNormOption = Annotated[
    bool, typer.Option(help="Scale the features at each position to unit length first.")
]
ObjectiveOption = Annotated[
    Objective,
    typer.Option(
        help="Loss of lin, tune and scratch: a logistic loss over pairs, or that of the paper's "
        "judge network."
    ),
]
EpochsOption = Annotated[
    int | None,
    typer.Option(min=1, help="Passes of additive and lin over their pairs.  [default: 15, 10]"),
]
StepsOption = Annotated[int, typer.Option(min=1, help="Training steps of tune and scratch.")]
LoggerOption = Annotated[
    Logger | None,
    typer.Option(
        help="Log the training of tune and scratch: beside the run in NAME.log, or in the study's "
        "folder.  [default: no log]"
    ),
]
HigherOption = Annotated[
    list[Direction] | None,
    typer.Option(
        help="With --scores: whether a higher score in the CSV files means better or worse; once "
        "for all files, or once for each, in their order.  [default: better]"
    ),
]
PhotographsOption = Annotated[
    int, typer.Option(min=2, help="With --ladders: maximum number of photographs.")
]
CustomOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE|FILE.py|PAIRS.csv|NAME",
        help="Custom distortions, besides the six: a Python module or file that defines some "
        "(docs/custom-distortions.md), a CSV file before,after,strength of images, or the name of "
        "an installed one. May be given several times.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The options of ``dps-train evaluate``; each of its measurements uses some of them.

    Attributes:
        path: a run, ``embedded`` or a context file; None takes the newest run.
        data: the images: a folder, or a data set's name.
        rankings: number of random rankings, or ``all``; None takes the metric's own context.
        heads: heads to measure, joined by commas; None takes the metric's own.
        train_data: images to train ``lin`` on.
        bapps: folder of people's judgements to score.
        triplets: CSV file of people's judgements to score.
        distortions: custom distortions; see `dps_train.custom.find.find_custom`.
        scores: CSV files, or folders of published sets.
        higher: directions of the CSV files; see `dps_train.agreement.scores.read.read_all`.
        peers: other metrics; see `dps_train.agreement.peers.peer_measures`.
        lpips_trunk: weights of LPIPS's network.
        contexts: see `dps_train.evaluate.pair_contexts.pair_contexts`; None takes the metric's
            own context, or a default for a metric without one.
        ranking: further contexts.
        photographs: maximum number of photographs.
        megapixels: sizes of photographs joined by commas, each a number or ``own``.
        plots: the page of plots; None writes none.
        json_file: the file of figures; None writes none.
        seed: of everything random.
        device: where networks run.
        force: replace existing outputs.
    """

    path: Path | None
    data: str
    rankings: str | None
    heads: str | None
    train_data: str | None
    bapps: Path | None
    triplets: Path | None
    distortions: Sequence[str]
    scores: Sequence[Path]
    higher: Sequence[Direction]
    peers: str | None
    lpips_trunk: Path | None
    contexts: str | None
    ranking: Sequence[str]
    photographs: int
    megapixels: str
    plots: Path | None
    json_file: Path | None
    seed: int
    device: Device
    force: bool

    @property
    def inputs(self) -> tuple[str | Path | None, ...]:
        """The files and folders that may be read; no output replaces one."""
        named = (self.path, self.data, self.train_data, self.bapps, self.triplets)
        return (*named, self.lpips_trunk, *self.scores)


MOST_RANKINGS = 5040
"""Rankings that a metric is measured in, at most: all of seven distortions."""


def note(text: str) -> None:
    """Print one line for people on stderr."""
    say(NAME, text)


def parse_rankings(text: str, distortions: int = 6) -> int | None:
    """Return the number of rankings to measure in; None for the run's own context.

    Args:
        text: `own`, `all` or a number.
        distortions: number of distortions to rank.

    Raises:
        UsageError: the text is none of these, or the number is too large.
    """
    possible = math.factorial(distortions)
    most = min(possible, MOST_RANKINGS)
    if text == "own":
        return None
    if text == "all" and possible <= MOST_RANKINGS:
        return possible
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= most:
        return int(text)
    or_all = ", or all" if possible <= MOST_RANKINGS else f"; all {possible} are too many"
    raise UsageError(f"--rankings is {text!r}: expected a number from 1 to {most}{or_all}")


def parse_size(text: str) -> int | None:
    """Return the working size in pixels; None for the images' own.

    Raises:
        UsageError: the text is neither `native` nor a number from 32 to 1024.
    """
    if text == "native":
        return None
    if text.isascii() and text.isdecimal() and 32 <= int(text) <= 1024:
        return int(text)
    raise UsageError(f"--size is {text!r}: expected a number of pixels from 32 to 1024, or native")
