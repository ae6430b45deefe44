"""Which of the user's own distortions are trained on, and what they are measured on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dps_train.custom.find import Own, all_distortions
from dps_train.custom.recorded import shown_distortion
from dps_train.data.contact_sheet import COLUMNS, PAPER, distortion_sheet, labelled_row
from dps_train.data.sources import Image
from dps_train.distortions.paper import DISTORTIONS, Distortion
from dps_train.seeds import generator_for


def split_own(own: Sequence[Own], seed: int) -> tuple[tuple[Own, ...], tuple[Own, ...]]:
    """Return distortions to train on, and to measure on: of recorded ones, different scenes."""
    training, held_out = [], []
    for one in own:
        if one.recorded is None:
            training.append(one)
            held_out.append(one)
            continue
        parts = one.recorded.split(generator_for(f"scenes of {one.about.name}", seed))
        for part, taken in zip(parts, (training, held_out), strict=True):
            taken.append(dataclasses.replace(one, recorded=part))
    return tuple(training), tuple(held_out)


def with_scenes(images: Tensor, own: Sequence[Own]) -> tuple[Tensor, tuple[Distortion, ...]]:
    """Return images to measure on, and all distortions of them.

    Args:
        images: float RGB [M, 3, size, size] in [0, 1].
        own: of the user; scenes of recorded ones are appended to the images.
    """
    distortions: list[Distortion] = list(DISTORTIONS)
    for one in own:
        if one.recorded is None:
            distortions.append(one.about)
            continue
        shown = one.recorded.shown(images.shape[-1])
        distortions.append(shown_distortion(one.about, shown, first=len(images)))
        images = torch.cat([images, shown.before])
    return images, tuple(distortions)


def own_sheet(image: Image, own: Sequence[Own]) -> Image:
    """Draw a contact sheet of all distortions, of recorded ones with the first of their scenes.

    Args:
        image: uint8 RGB [H, W, 3].
        own: of the user.
    """
    sheets = [distortion_sheet(image, all_distortions(own))]
    for number, one in enumerate(own, len(DISTORTIONS)):
        if one.recorded is not None:
            scene = one.recorded.scenes[0]
            places = np.linspace(0, len(scene.after) - 1, min(COLUMNS, len(scene.after)))
            chosen = [round(place) for place in places.tolist()]
            sheets.append(
                labelled_row(
                    f"{number} {one.about.name}",
                    [scene.before, *(scene.after[i] for i in chosen)],
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
