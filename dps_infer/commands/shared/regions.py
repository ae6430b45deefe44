"""Options for parts of images that are left out, and for what a threshold applies to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dps_infer.compare.regions.gate import Gate

if TYPE_CHECKING:
    from dps_infer.images.ignored import Ignored

IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="X,Y,W,H",
        help="Leave a box out: left edge, upper edge, width and height, in pixels of the "
        "reference or in percent of its size (0,90%,100%,10%). Nothing in it can influence a "
        "result. Repeat it for several boxes.",
    ),
]
MaskOption = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="Leave out what is black in this image of the size of the reference; white counts.",
    ),
]
_GATE_HELP = (
    "What --threshold applies to: the distance of the whole image, or that of its worst region, in "
    "which a small defect of a large image cannot hide. Implies finding regions."
)
GateOption = Annotated[Gate, typer.Option("--gate", help=_GATE_HELP)]
GateOrRuleOption = Annotated[
    Gate | None, typer.Option("--gate", help=f"{_GATE_HELP}  [default: whole]")
]


def read_ignored(boxes: Sequence[str] | None, mask: Path | None) -> Ignored | None:
    """Return what ``--ignore`` and ``--mask`` leave out; None without them.

    Raises:
        UsageError: a box is not valid.
        ImageError: the mask cannot be used.
    """
    if not boxes and mask is None:
        return None
    # Most calls leave nothing out.
    from dps_infer.images.ignored import Ignored

    return Ignored(boxes or (), mask)
