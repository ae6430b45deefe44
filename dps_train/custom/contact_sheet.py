"""A contact sheet of the six and of custom distortions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dps_infer.arrays import Pixels
from dps_train.custom.custom_distortion import CustomDistortion, all_distortions
from dps_train.data.contact_sheet import (
    COLUMNS,
    PAPER,
    distortion_sheet,
    labeled_row,
    reduced,
)
from dps_train.distortions.paper import DISTORTIONS


def custom_sheet(image: Pixels, custom: Sequence[CustomDistortion]) -> Pixels:
    """Draw an image uint8 RGB [H, W, 3] under each distortion, and a scene of each recorded one."""
    sheets = [distortion_sheet(image, all_distortions(custom))]
    for number, one in enumerate(custom, len(DISTORTIONS)):
        if one.recording is not None:
            scene = one.recording.scenes[0]
            places = np.linspace(0, len(scene.after) - 1, min(COLUMNS, len(scene.after)))
            chosen = [round(place) for place in places.tolist()]
            sheets.append(
                labeled_row(
                    f"{number} {one.name}: {one.distortion.unit}",
                    [reduced(one, 1) for one in (scene.before, *(scene.after[i] for i in chosen))],
                    ["original", *(f"{scene.strengths[i]:.3g}" for i in chosen)],
                )
            )
    width = max(sheet.shape[1] for sheet in sheets)
    return np.concatenate(
        [
            np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), constant_values=PAPER)
            for sheet in sheets
        ]
    )
