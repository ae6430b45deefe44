"""Options and exit codes that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dps_infer.runtime.device import Device

ABOVE = 3
"""Exit code: a distance is above the threshold."""

SOME_FAILED = 4
"""Exit code: some of many pairs have an error; all others are scored."""

ENDED = "130 interrupted; 143 ended by SIGTERM."
"""The exit codes at the end of every list of them."""

EXIT_CODES = f"Exit codes: 0 done; 1 something broke; 2 wrong usage; {ENDED}"

ContextsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--context",
        metavar="FILE",
        help="A context file (.onnx, made by dps-export), which states what matters. Without it, "
        "the universal metric of this package is used. For a universal file, --ranking, "
        "--importance or --context-name states what matters. Repeat it for several contexts.",
    ),
]
RankingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ranking",
        metavar="NAME,...",
        help="What matters: kinds of change from the least to the most disruptive, as in "
        "color,translate,zoom,rotate,darken,blur. An equals sign ties two: color=translate,blur. "
        "A star stands for all kinds that are not named: noise,*,content; without it, they count "
        "as the middle. The kinds: 0 rotate, 1 translate, 2 darken, 3 color, 4 blur, 5 zoom, "
        "6 noise, 7 contrast, 8 saturation, 9 tint, 10 compression, 11 warp, 12 content, "
        "13 mirror, and other. Repeat it for several contexts.",
    ),
]
ImportancesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--importance",
        metavar="NAME=NUMBER,...",
        help="Instead of --ranking, the weight of each kind of change: color=0.1,blur=5. Kinds "
        "that are left out do not count; size counts all kinds alike. Repeat it for several "
        "contexts.",
    ),
]


def complete_names(incomplete: str) -> list[str]:
    """Return the names of saved contexts that begin with this text, for the shell."""
    from dps_infer.contexts.folders import find_all

    found, _ = find_all()
    return [name for one in found if (name := str(one.context.name)).startswith(incomplete)]


ContextNamesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--context-name",
        metavar="NAME",
        help="Instead of --ranking, a context by its name: one saved by dps-infer contexts save, "
        "or one of this package: general, print-inspection, map-rendering, camera-pipeline, "
        "ui-regression, video-coding. Repeat it for several contexts.",
        autocompletion=complete_names,
    ),
]

ThresholdOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER|auto|FILE",
        help="The largest distance to accept; if a distance is larger, the exit code is 3. A "
        "number, a FILE (.json) written by dps-infer calibrate, or auto for the file that it wrote "
        "beside the context file.",
    ),
]
DeviceOption = Annotated[
    Device,
    typer.Option(
        help="Where to compute: on the GPU if it works, else on the CPU (auto); on the CPU; or "
        "only on the GPU (cuda)."
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, help="CPU threads.  [default: all that this process may use]"),
]
ResizeOption = Annotated[
    bool,
    typer.Option(
        "--resize",
        help="Resize the second image to the size of the first. Without it, images of "
        "different sizes are refused.",
    ),
]
ResizeOrRuleOption = Annotated[
    bool | None,
    typer.Option(
        "--resize/--no-resize",
        help="Resize the second image to the size of the first. Without it, images of "
        "different sizes are refused.  [default: no-resize]",
        show_default=False,
    ),
]
EscapeOption = Annotated[
    bool,
    typer.Option(
        "--escape-formulas",
        help="In a CSV file, put an apostrophe before texts that a spreadsheet would run as a "
        "formula: those that begin with =, +, -, @, a tab or a line break, and are no numbers. "
        "Paths and names come from others; without this they are written as they are.",
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print JSON at full precision instead of text."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
