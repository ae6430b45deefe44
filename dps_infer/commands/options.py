"""Options that several commands share, and the contexts that they ask for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.command import say
from dps_infer.devices import Device
from dps_infer.errors import UsageError
from dps_infer.views import View

if TYPE_CHECKING:
    from dps_infer.context import Context
    from dps_infer.context_folders import Found

NAME = "dps-infer"

ABOVE = 3
"""Exit code: a distance is above the threshold."""

SOME_FAILED = 4
"""Exit code: some of many pairs have an error; all others are scored."""

EXIT_CODES = (
    "Exit codes: 0 done; 1 something broke (an image, a context file, a device); "
    "2 wrong usage; 3 the distance is above --threshold."
)


def _check_threshold(value: str | None) -> str | None:
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
        help="A context file (.onnx, made by dps-export) that says what matters. Without it, "
        "the universal metric of this package is told by --ranking, --importance or "
        "--context-name; so is a context file that is universal. Give it again for a column more.",
    ),
]
RankingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ranking",
        metavar="NAME,...",
        help="Distortions, names or numbers, from the least to the most disruptive: "
        "color,translate,zoom,rotate,darken,blur. A = ties two: color=translate,blur. Give it "
        "again for a column more.",
    ),
]
ImportancesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--importance",
        metavar="NAME=NUMBER,...",
        help="Instead of a ranking, how much each distortion counts: color=0.1,blur=5. What "
        "is not named does not count. Give it again for a column more.",
    ),
]
ContextNamesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--context-name",
        metavar="NAME",
        help="Instead of a ranking, a context that was saved under a name, or one of the "
        "gallery: print-inspection, map-rendering, camera-pipeline, ui-regression, "
        "video-coding. Give it again for a column more.",
    ),
]
ViewOption = Annotated[
    View | None,
    typer.Option(
        "--view",
        help="How to look at the images: as a whole at the working size, in tiles at their "
        "own resolution, or both.  [default: the context file's own]",
    ),
]
ThresholdOption = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER|auto|FILE",
        help="Leave with exit code 3 if the distance is above this number; auto takes it from "
        "the file that dps-infer calibrate wrote beside the context file, and FILE.json from "
        "that one.",
        callback=_check_threshold,
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


def open_contexts(
    files: list[Path] | None,
    rankings: list[str] | None,
    importances: list[str] | None,
    names: list[str] | None = None,
    *,
    device: Device = Device.auto,
    threads: int | None = None,
) -> dict[str, Context]:
    """Load what ``--context``, ``--ranking``, ``--importance`` and ``--context-name`` ask for.

    Several context files are a context each. Several rankings, importances or names are as
    many contexts of one universal file, which is opened once.

    Args:
        files: context files; without any, the package's universal one.
        rankings: for a universal file.
        importances: for a universal file, instead of rankings.
        names: of saved contexts, for a universal file, instead of both.
        device: where to compute.
        threads: CPU threads.

    Returns:
        The contexts by their labels, in the order they were given. Labels are different:
        the second of a name is called name-2.

    Raises:
        UsageError: nothing says what matters, or two things say it at once.
        DpsError: see `Context.load`.
    """
    told = {"--ranking": rankings, "--importance": importances, "--context-name": names}
    given = [option for option, values in told.items() if values]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} say the same thing in {len(given)} ways: give one")
    if not (files or given):
        raise UsageError(
            "say what matters: --ranking color,translate,zoom,rotate,darken,blur (the least "
            "disruptive first), --importance color=0.1,blur=5, --context-name print-inspection, "
            "or --context FILE"
        )
    if files and len(files) > 1 and given:
        raise UsageError(
            f"{given[0]} tells one universal file what matters: "
            f"expected one --context beside it, got {len(files)}"
        )
    from dps_infer import embedded
    from dps_infer.context import Context

    opened: dict[str, Context] = {}
    if given:
        file = files[0] if files else embedded.UNIVERSAL
        found = _find(names or [])
        for note in filter(None, (one.note for one in found)):
            say(NAME, f"note: {note}")
        first = Context.load(
            file,
            ranking=rankings[0] if rankings else None,
            importances=importances[0] if importances else None,
            saved=found[0].saved if found else None,
            device=device,
            threads=threads,
        )
        contexts = [first]
        contexts += [first.with_ranking(other) for other in (rankings or [])[1:]]
        contexts += [first.with_importances(other) for other in (importances or [])[1:]]
        contexts += [first.with_saved(other.saved) for other in found[1:]]
    else:
        contexts = [Context.load(file, device=device, threads=threads) for file in files or []]
    for context in contexts:
        label, number = context.label, 1
        while label in opened:
            number += 1
            label = f"{context.label}-{number}"
        opened[label] = context
    return opened


def _find(names: list[str]) -> list[Found]:
    """Find saved contexts; what that takes is loaded only where there are names."""
    if not names:
        return []
    from dps_infer.context_folders import find

    return [find(name) for name in names]
