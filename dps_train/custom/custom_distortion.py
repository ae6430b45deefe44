"""Custom distortions as training and evaluation use them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dps_train.custom.function import StrengthDistortion
from dps_train.custom.recording import Recording, recorded_distortion
from dps_train.distortions.distortion import Distortion
from dps_train.distortions.paper import DISTORTIONS
from dps_train.seeds import generator_for


@dataclass(frozen=True)
class CustomDistortion:
    """A distortion that the user provides.

    Attributes:
        distortion: its description; it can be applied if there is no recording.
        recording: images before and after the change; None if a function applies it.
    """

    distortion: StrengthDistortion
    recording: Recording | None = None

    @property
    def name(self) -> str:
        """The name in rankings."""
        return self.distortion.name


def all_distortions(custom: Sequence[CustomDistortion]) -> tuple[Distortion, ...]:
    """Return the six, followed by the custom ones."""
    return (*DISTORTIONS, *(one.distortion for one in custom))


def split_custom(
    custom: Sequence[CustomDistortion], seed: int
) -> tuple[tuple[CustomDistortion, ...], tuple[CustomDistortion, ...]]:
    """Return the distortions to train with and to evaluate with: recordings are split by scene."""
    training, held_out = [], []
    for one in custom:
        if one.recording is None:
            training.append(one)
            held_out.append(one)
        else:
            parts = one.recording.split(generator_for(f"scenes of {one.name}", seed))
            training.append(dataclasses.replace(one, recording=parts[0]))
            held_out.append(dataclasses.replace(one, recording=parts[1]))
    return tuple(training), tuple(held_out)


def with_scenes(
    images: Tensor, custom: Sequence[CustomDistortion]
) -> tuple[Tensor, tuple[Distortion, ...]]:
    """Return images to evaluate on, and all distortions of them.

    Images are float RGB [M, 3, size, size] in [0, 1]; scenes of recordings are appended to them.
    """
    distortions: list[Distortion] = list(DISTORTIONS)
    for one in custom:
        if one.recording is None:
            distortions.append(one.distortion)
        else:
            scenes = one.recording.whole(images.shape[-1])
            distortions.append(recorded_distortion(one.distortion, scenes, first=len(images)))
            images = torch.cat([images, scenes.before])
    return images, tuple(distortions)
