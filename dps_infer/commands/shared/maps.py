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
    from dps_infer.images.decode import ImageSource
    from dps_infer.images.ignored import Ignored

MapOption = Annotated[
    Path | None,
    typer.Option(
        "--map",
        metavar="FILE",
        help="Write a heat map of where the images differ, at their size. Dark is no difference, "
        "bright a large one, on the same scale for all images: a local distance d has the color "
        "at d / (d + 0.5) of the way from dark to bright. Boxes mark the regions that differ, and "
        "what is left out is hatched. For several candidates or contexts, "
        "name a folder for PNG files.",
    ),
]
OverlayOption = Annotated[
    bool, typer.Option("--overlay", help="Lay the heat map of --map over the candidate in gray.")
]
LegendOption = Annotated[
    bool,
    typer.Option("--legend", help="Put a color bar with numbers below the heat map of --map."),
]
MapPartOption = Annotated[
    str | None,
    typer.Option(
        "--map-part",
        metavar="NAME",
        help="Instead of the distance, show how much of the difference in each part of the image "
        "is of one kind, regardless of its importance: blur, for example, or other for changes "
        "that have no name.",
    ),
]


@dataclass(frozen=True)
class MapStyle:
    """The look of heat maps; see the options."""

    overlay: bool = False
    legend: bool = False
    part: str | None = None


Plan = dict[tuple[int, str], Path]
"""The file of each map, by the number of the candidate and the label of the context."""


def plan_maps(
    target: Path,
    candidates: Sequence[Path],
    labels: Sequence[str],
    *,
    force: bool,
    inputs: Sequence[Path] = (),
) -> Plan:
    """Choose the file of each map, and refuse early those that could not be written.

    Args:
        target: the value of ``--map``.
        candidates: in their order.
        labels: of the contexts.
        force: replace existing files.
        inputs: files that are never replaced.

    Returns:
        For several candidates ``<number>-<name>.png`` in the folder, for several contexts as well
        in subfolders ``<number>-<label>``; for one candidate in several contexts
        ``<number>-<label>.png``.

    Raises:
        UsageError: `target` is one file for several maps.
        OutputError: a file exists already, or cannot be written.
    """
    from dps_infer.show.heatmap import PICTURE_SUFFIXES, check_picture

    several = len(candidates) * len(labels) > 1
    if several and target.suffix.lower() in PICTURE_SUFFIXES and not target.is_dir():
        raise UsageError(
            f"--map {target} is one file for {len(candidates) * len(labels)} maps: name a folder"
        )
    plan: Plan = {}
    for number, candidate in enumerate(candidates):
        for place, label in enumerate(labels):
            of_candidate = _numbered(number, len(candidates), candidate.stem)
            of_context = _numbered(place, len(labels), label)
            if not (several or target.is_dir()):
                path = target
            elif len(labels) == 1:
                path = target / f"{of_candidate}.png"
            elif len(candidates) == 1:
                path = target / f"{of_context}.png"
            else:
                path = target / of_context / f"{of_candidate}.png"
            plan[number, label] = path
    for path in plan.values():
        check_picture(path, force=force, inputs=inputs)
    return plan


def write_maps(
    plan: Plan,
    style: MapStyle,
    reference: ImageSource,
    candidates: Sequence[ImageSource],
    results: Sequence[Mapping[str, Comparison]],
    metrics: Mapping[str, Metric],
    *,
    resize: bool,
    force: bool,
    ignored: Ignored | None = None,
) -> None:
    """Draw and write the maps of a plan; see `dps_infer.show.heatmap`."""
    from dps_infer.images.decode import load_picture, make_pair
    from dps_infer.show.heatmap import draw_map, save_picture

    first = load_picture(reference, label="reference")
    for number, candidate in enumerate(candidates):
        second = load_picture(candidate, label="candidate")
        pair = make_pair(first, second, resize=resize, ignored=ignored)
        image = pair.renderings[0][1]
        for label, metric in metrics.items():
            picture = draw_map(
                results[number][label],
                metric,
                image,
                part=style.part,
                overlay=style.overlay,
                legend=style.legend,
                ignored=pair.ignored,
            )
            save_picture(picture, plan[number, label], force=force)


def _numbered(number: int, count: int, name: str) -> str:
    """Make a file name from any text; the number makes it unique."""
    safe = re.sub(r"[^\w~.=-]+", "_", name, flags=re.ASCII)[:64]
    return f"{number + 1:0{len(str(count))}}-{safe}"
