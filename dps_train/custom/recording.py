"""Recordings of a custom distortion: images before and after a change of known strength.

A recorded change cannot be repeated, so training and evaluation use the pairs as they are: for a
wanted strength, the pair of the closest strength. Training sees parts of them, both shrunk and at
their own resolution. If shrinking removes some of a change, its amount shrinks by the same
share; a distortion that disappears when whole images are shrunk is evaluated on their middles.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dps_infer.arrays import Pixels
from dps_train.custom.function import StrengthDistortion
from dps_train.data.crops import Window, crop_window, draw_window
from dps_train.data.sources import HELD_OUT_SHARE

NATIVE_SHARE = 0.5
"""Share of training crops that keep the resolution of the image, which tiles see."""

LOST = 0.5
"""If shrinking whole images leaves less of a change than this share, their middles are used."""


@dataclass(frozen=True)
class Scene:
    """An image before the change, and after it at rising strengths > 0.

    Images are uint8 RGB [H, W, 3], all of one size.
    """

    before: Pixels
    after: tuple[Pixels, ...]
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class Recording:
    """Scenes that show one distortion."""

    scenes: tuple[Scene, ...]

    def split(self, generator: torch.Generator) -> tuple[Recording, Recording]:
        """Return scenes to train on, and held-out ones."""
        order = torch.randperm(len(self.scenes), generator=generator).tolist()
        count = max(1, round(HELD_OUT_SHARE * len(order)))
        training, held_out = (
            Recording(tuple(self.scenes[number] for number in sorted(numbers)))
            for numbers in (order[count:], order[:count])
        )
        return training, held_out

    def whole(self, size: int) -> SizedScenes:
        """Return every scene once: shrunk, or its middle if shrinking removes the change."""
        sized = _sized(self.scenes, [_all_of(scene.before) for scene in self.scenes], size)
        if torch.cat(sized.kept).median() < LOST:
            windows = [_middle_of(scene.before, size) for scene in self.scenes]
            sized = _sized(self.scenes, windows, size)
        return dataclasses.replace(sized, kept=[torch.ones_like(kept) for kept in sized.kept])

    def crops(self, count: int, size: int, generator: torch.Generator) -> SizedScenes:
        """Return parts of randomly drawn scenes, half shrunk and half at their own resolution."""
        chosen = torch.randint(len(self.scenes), (count,), generator=generator).tolist()
        native = (torch.rand(count, generator=generator) < NATIVE_SHARE).tolist()
        scenes = [self.scenes[number] for number in chosen]
        windows = [
            draw_window(scene.before, generator, side=size if keeps_resolution else None)
            for scene, keeps_resolution in zip(scenes, native, strict=True)
        ]
        return _sized(scenes, windows, size)


@dataclass(frozen=True)
class SizedScenes:
    """Scenes, or parts of them, at one size.

    Attributes:
        before: float RGB [S, 3, size, size] in [0, 1].
        after: of each scene [A, 3, size, size].
        strengths: of each scene, rising [A].
        kept: share of each change that is left at this size [A].
    """

    before: Tensor
    after: list[Tensor]
    strengths: list[Tensor]
    kept: list[Tensor]


def _sized(scenes: Sequence[Scene], windows: Sequence[Window], size: int) -> SizedScenes:
    """Crop each scene to its window and resize it."""
    befores, afters, kept = [], [], []
    for scene, window in zip(scenes, windows, strict=True):
        before = crop_window(scene.before, window, size)
        after = torch.cat([crop_window(image, window, size) for image in scene.after])
        rows, columns = window.slices
        part = scene.before[rows, columns].astype(np.float32) / 255
        full = torch.tensor(
            [
                float(np.sqrt(np.mean(np.square(image[rows, columns] / np.float32(255) - part))))
                for image in scene.after
            ]
        )
        left = (after - before).square().mean(dim=(1, 2, 3)).sqrt()
        befores.append(before)
        afters.append(after)
        kept.append((left / full.clamp(min=1e-6)).clamp(max=1))
    strengths = [torch.tensor(scene.strengths) for scene in scenes]
    return SizedScenes(torch.cat(befores), afters, strengths, kept)


def _all_of(image: Pixels) -> Window:
    height, width = image.shape[:2]
    return Window(0, 0, height, width, mirrored=False)


def _middle_of(image: Pixels, side: int) -> Window:
    height, width = (min(side, length) for length in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return Window(top, left, height, width, mirrored=False)


@dataclass(frozen=True, kw_only=True)
class RecordedDistortion(StrengthDistortion):
    """A recorded distortion of a batch of images [N, ...], some of which are scenes.

    Parameters [N, 2] always belong to the whole batch: recorded strengths, and NaN for images
    that are not scenes.

    Attributes:
        scenes: the scenes in the batch.
        first: the row of the batch that holds the first scene; the others follow.
    """

    scenes: SizedScenes
    first: int

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw recorded strengths, close to uniformly from the range."""
        return self._nearest(super().sample(count, generator))

    def with_strength(self, strength: Tensor, direction: Tensor) -> Tensor:
        """Return the recorded strengths closest to the wanted ones."""
        return self._nearest(super().with_strength(strength, direction))

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return the changed scenes; other images, and those with NaN, stay as they are."""
        changed = images.clone()
        for row, number in self._chosen(parameters):
            changed[row] = self.scenes.after[row - self.first][number].to(changed)
        return changed

    def amount(self, parameters: Tensor) -> Tensor:
        """Return the amounts [N], without the share that shrinking removes."""
        amounts = super().amount(parameters)
        for row, number in self._chosen(parameters):
            amounts[row] *= self.scenes.kept[row - self.first][number]
        return amounts

    def _nearest(self, parameters: Tensor) -> Tensor:
        nearest = torch.full_like(parameters, torch.nan)
        wanted = torch.log1p(parameters[:, 0] / self.threshold)
        for row, strengths in enumerate(self.scenes.strengths, self.first):
            recorded = torch.log1p(strengths / self.threshold)
            nearest[row] = strengths[(recorded - wanted[row]).abs().argmin()]
        return nearest

    def _chosen(self, parameters: Tensor) -> Iterator[tuple[int, int]]:
        """Yield the row of each scene, and the number of its image of that strength."""
        for row, strengths in enumerate(self.scenes.strengths, self.first):
            same = (strengths == parameters[row, 0]).nonzero()[:, 0]
            if len(same):
                yield row, int(same[0])


def recorded_distortion(
    distortion: StrengthDistortion, scenes: SizedScenes, *, first: int = 0
) -> RecordedDistortion:
    """Return the distortion of a batch whose rows from `first` on are these scenes."""
    fields = {
        field.name: getattr(distortion, field.name) for field in dataclasses.fields(distortion)
    }
    return RecordedDistortion(**fields, scenes=scenes, first=first)
