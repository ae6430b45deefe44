"""``dps-train distortions``: list the distortions, and show them on an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dps_infer.commands.shared.run import DebugOption
from dps_train.commands.options import CustomOption, ForceOption, note


def distortions(
    image: Annotated[
        Path | None,
        typer.Argument(
            metavar="IMAGE", help="Image to show on the sheet; default: a photograph of a cat."
        ),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write a contact sheet: the image at its own size under each distortion, at "
            "several strengths with their unit."
        ),
    ] = None,
    distortions: CustomOption = None,
    force: ForceOption = False,
    debug: DebugOption = False,
) -> None:
    """List the six distortions and custom ones, and show them on an image.

    Without --sheet, an IMAGE writes distortions.png to the current folder.
    """
    from dps_train.custom.custom_distortion import all_distortions
    from dps_train.custom.find import find_custom
    from dps_train.evaluate.printing import print_distortions

    if sheet is None and image is not None:
        sheet = Path("distortions.png")
    custom = find_custom(distortions or (), with_installed=True)
    if sheet is not None:
        from dps_train.custom.contact_sheet import custom_sheet
        from dps_train.data.contact_sheet import check_sheet, save_sheet, shown_share
        from dps_train.data.sources import photograph, read_pixels

        check_sheet(sheet, force=force, inputs=[image])
        pixels = photograph("chelsea") if image is None else read_pixels(image)
        save_sheet(custom_sheet(pixels, custom), sheet, force=force)
        share = shown_share(pixels, len(all_distortions(custom)))
        size = "" if share == 1 else f", the image at {share:.0%} of its size"
        note(f"contact sheet written to {sheet}{size}")
    print_distortions(all_distortions(custom))
