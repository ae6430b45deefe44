"""Options that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from dps_infer.model.view import View
from dps_infer.runtime.device import Device

ABOVE = 3
"""Exit code: a distance is above the threshold."""

SOME_FAILED = 4
"""Exit code: some of many pairs have an error; all others are scored."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 something broke (an image, a context file, a device); "
    "2 wrong usage; 3 a distance is above the threshold that --threshold states."
)


def check_threshold(value: str | None) -> str | None:
    """Refuse what is no number, no ``auto`` and no name of a threshold file."""
    if value is None or value == "auto" or value.lower().endswith(".json"):
        return value
    try:
        number = float(value)
    except ValueError:
        raise typer.BadParameter(
            f"expected a number, auto, or a threshold file (.json), got {value!r}"
        ) from None
    if not (math.isfinite(number) and number >= 0):
        raise typer.BadParameter(f"expected a finite number >= 0, got {value}")
    return value


ContextsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--context",
        metavar="FILE",
        help="A context file (.onnx, made by dps-export), which knows what matters. Without it, "
        "this package's own universal metric measures, and --ranking, --importance or "
        "--context-name says what matters, as it must for any universal file. Give it several "
        "times for several contexts.",
    ),
]
RankingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ranking",
        metavar="NAME,...",
        help="What matters: kinds of change (distortions) from the least to the most disruptive, "
        "as in color,translate,zoom,rotate,darken,blur. An equals sign ties two: "
        "color=translate,blur. Numbers stand for names: 0 rotate, 1 translate, 2 darken, 3 "
        "color, 4 blur, 5 zoom. Give it several times for several contexts.",
    ),
]
ImportancesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--importance",
        metavar="NAME=NUMBER,...",
        help="Instead of --ranking, a number for how much each kind of change counts: "
        "color=0.1,blur=5. One that is not named does not count. Give it several times for "
        "several contexts.",
    ),
]
ContextNamesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--context-name",
        metavar="NAME",
        help="Instead of --ranking, a context by its name: one that dps-train contexts save "
        "wrote, or one of this package: print-inspection, map-rendering, camera-pipeline, "
        "ui-regression, video-coding. Give it several times for several contexts.",
    ),
]
ViewOption = Annotated[
    View | None,
    typer.Option(
        "--view",
        help="How to look at the images: each as a whole, shrunk to a small size (whole); in "
        "small tiles at full resolution, which show fine changes (tiles); or both.  [default: "
        "what the context file states]",
    ),
]
ThresholdOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER|auto|FILE",
        help="The largest distance to accept: with a larger one, the exit code is 3. A number; "
        "or a FILE (.json) that dps-infer calibrate wrote; or auto for the one that it wrote "
        "beside the context file.",
        callback=check_threshold,
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        help="Where to compute: the GPU if it works and else the CPU (auto), the CPU, or the "
        "GPU and nothing else (cuda)."
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads to use.  [default: as many as this process may use]"),
]
ResizeOption = Annotated[
    bool,
    typer.Option(
        "--resize",
        help="Resize the second image to the size of the first. Without it, images of "
        "different sizes are refused.",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object, with every digit, instead of words."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
