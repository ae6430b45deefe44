"""Options for heat maps, and the files that they ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.errors import UsageError

if TYPE_CHECKING:
    from dps_infer.compare.metric import Metric
    from dps_infer.compare.pairs import Comparison

MapOption = Annotated[
    Path | None,
    typer.Option(
        "--map",
        metavar="FILE",
        help="Write a heat map: where the distance comes from, at the size of the images. Dark "
        "is nothing, bright is much, on a scale that is the same for all images: a local "
        "distance d has the colour at d / (d + 0.5) of the way from dark to bright. For several "
        "candidates or contexts, name a folder for PNG files.",
    ),
]
OverlayOption = Annotated[
    bool, typer.Option("--overlay", help="Lay the heat map of --map over the candidate, in grey.")
]
LegendOption = Annotated[
    bool,
    typer.Option("--legend", help="Put a colour bar with numbers below the heat map of --map."),
]
MapPartOption = Annotated[
    str | None,
    typer.Option(
        "--map-part",
        metavar="NAME",
        help="Instead of the distance, let the heat map show how much of one kind of change each "
        "tile has, whatever it counts: blur, say, or other for what no kind explains. 1 is a "
        "strong change, the reference strength of its kind.",
    ),
]


@dataclass(frozen=True)
class MapStyle:
    """How heat maps look; see the options."""

    overlay: bool = False
    legend: bool = False
    part: str | None = None


Plan = dict[tuple[int, str], Path]
"""Where the map of each candidate (by its number) and context (by its label) goes."""


def plan_maps(
    file: Path | None,
    style: MapStyle,
    candidates: Sequence[Path],
    labels: Sequence[str],
    *,
    force: bool,
) -> Plan:
    """Decide which map goes where, and refuse early what could not be written.

    Args:
        file: of ``--map``; None for no maps.
        style: how they look.
        candidates: in their order.
        labels: of the contexts.
        force: replace files that exist.

    Returns:
        For several candidates ``<number>-<name>.png`` in the folder, in subfolders
        ``<number>-<label>`` for several contexts as well; for one candidate in several
        contexts ``<number>-<label>.png``.

    Raises:
        UsageError: options about maps without ``--map``, or one file for several maps.
        OutputError: a file exists already, or cannot be written.
    """
    if file is None:
        if style != MapStyle():
            raise UsageError("--overlay, --legend and --map-part need --map FILE to write to")
        return {}
    from dps_infer.show.heatmap import PICTURE_SUFFIXES, check_picture

    several = len(candidates) * len(labels) > 1
    folder = several or file.is_dir()
    if several and file.suffix.lower() in PICTURE_SUFFIXES and not file.is_dir():
        raise UsageError(
            f"--map {file} is one file for {len(candidates) * len(labels)} maps: name a folder"
        )
    plan: Plan = {}
    for number, candidate in enumerate(candidates):
        for place, label in enumerate(labels):
            if not folder:
                plan[number, label] = file
                continue
            of_candidate = _numbered(number, len(candidates), candidate.stem)
            of_context = _numbered(place, len(labels), label)
            if len(labels) == 1:
                plan[number, label] = file / f"{of_candidate}.png"
            elif len(candidates) == 1:
                plan[number, label] = file / f"{of_context}.png"
            else:
                plan[number, label] = file / of_context / f"{of_candidate}.png"
    for path in plan.values():
        check_picture(path, force=force)
    return plan


def write_maps(
    plan: Plan,
    style: MapStyle,
    reference: Path,
    candidates: Sequence[Path],
    results: Sequence[Mapping[str, Comparison]],
    metrics: Mapping[str, Metric],
    *,
    resize: bool,
    force: bool,
) -> None:
    """Draw and write the maps that were planned; see `plan_maps` and `dps_infer.show.heatmap`."""
    from dps_infer.images.decode import load_picture, make_pair
    from dps_infer.show.heatmap import draw_map, save_picture

    first = load_picture(reference, label="reference")
    for number, candidate in enumerate(candidates):
        second = load_picture(candidate, label="candidate")
        ((_, image), *_) = make_pair(first, second, resize=resize).renderings
        for label, metric in metrics.items():
            picture = draw_map(
                results[number][label],
                metric,
                image,
                part=style.part,
                overlay=style.overlay,
                legend=style.legend,
            )
            save_picture(picture, plan[number, label], force=force)


def _numbered(number: int, count: int, name: str) -> str:
    """Make a file name of any text; the number keeps equal ones apart."""
    safe = re.sub(r"[^\w~.=-]+", "_", name, flags=re.ASCII)[:64]
    return f"{number + 1:0{len(str(count))}}-{safe}"
