"""Sources of training and held-out images.

`sample` needs only scikit-image: its bundled photographs and dead leaves. Whole photographs are
held out, so that nothing is evaluated on a crop of a training photograph. A folder is split by
image, and so is the training part of a dataset (`dps_train.data.datasets`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dps_infer.arrays import Pixels
from dps_infer.errors import ImageError, UsageError
from dps_infer.extras import install
from dps_infer.images.decode import DEFAULT_POLICY, composite, load_picture
from dps_train.data.datasets import DATASETS, load_dataset
from dps_train.data.dead_leaves import dead_leaves
from dps_train.data.names import SAMPLE, check_folder

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"}

TRAINING_PHOTOGRAPHS = (
    "astronaut",
    "coffee",
    "motorcycle",
    "hubble_deep_field",
    "retina",
    "camera",
    "grass",
    "brick",
)
HELD_OUT_PHOTOGRAPHS = ("chelsea", "rocket")
TRAINING_LEAVES = 24
HELD_OUT_LEAVES = 4
HELD_OUT_CROPS = 32

HELD_OUT_SHARE = 0.2
FEWEST_IMAGES = 5


@dataclass(frozen=True)
class Images:
    """A named list of images uint8 RGB [H, W, 3], of any sizes."""

    source: str
    images: tuple[Pixels, ...]

    def sha256(self) -> str:
        """Return a hash over all pixels and sizes, in order."""
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(str(image.shape).encode())
            digest.update(np.ascontiguousarray(image).data)
        return digest.hexdigest()


def load_split(source: str, generator: torch.Generator) -> tuple[Images, Images]:
    """Return training images and held-out images.

    Args:
        source: ``sample``, a dataset's name, or a folder.
        generator: draws the dead leaves, the held-out crops and the split.

    Raises:
        UsageError: the source is none of these, or a folder with too few images.
        ImageError: an image in the folder cannot be read.
        DpsError: the dataset is missing and cannot be downloaded.
    """
    if source == SAMPLE:
        return _sample(generator)
    images = _source_images(source, "train")
    count = len(images.images)
    if count < FEWEST_IMAGES:
        raise UsageError(
            f"{source} holds {count} image{'s' * (count != 1)}: training and holding some out "
            f"takes at least {FEWEST_IMAGES}; name a folder with more, or --data sample"
        )
    order = torch.randperm(count, generator=generator).tolist()
    held_out = set(order[: max(1, round(HELD_OUT_SHARE * count))])
    return (
        Images(images.source, tuple(x for i, x in enumerate(images.images) if i not in held_out)),
        Images(images.source, tuple(x for i, x in enumerate(images.images) if i in held_out)),
    )


def load_training(source: str, generator: torch.Generator) -> Images:
    """Return training images without holding any out.

    All of a folder, the training part of a dataset, or the sample's; raises as `load_split`.
    """
    return _sample(generator)[0] if source == SAMPLE else _nonempty(source, "train")


def load_held_out(source: str, generator: torch.Generator) -> Images:
    """Return images to evaluate on.

    All of a folder, the test part of a dataset, or the held-out sample; raises as `load_split`.
    """
    return _sample(generator)[1] if source == SAMPLE else _nonempty(source, "test")


def load_folder(folder: Path) -> Images:
    """Read every image in a folder and its subfolders, in the order of their paths.

    Raises:
        UsageError: there is no such folder.
        ImageError: a file with the suffix of an image cannot be read.
    """
    check_folder(folder)
    return Images(folder.resolve().name, tuple(read_pixels(path) for path in folder_images(folder)))


def folder_images(folder: Path) -> list[Path]:
    """Return every image file in a folder and its subfolders, sorted."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())


def read_pixels(path: Path) -> Pixels:
    """Read an image, alpha over the default background; ImageError if the policy refuses it."""
    picture = load_picture(path, label=str(path))
    return composite(picture, DEFAULT_POLICY.background)


def photograph(name: str) -> Pixels:
    """Return one of scikit-image's bundled photographs: uint8 RGB [H, W, 3].

    Raises:
        ImageError: scikit-image is missing or does not bundle it.
    """
    try:
        from skimage import data

        pixels = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    except (ImportError, AttributeError, OSError) as error:
        raise ImageError(
            f"scikit-image's photograph {name} is not available ({error}): "
            f"{install('train')}; or give --data a folder of images"
        ) from None
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return np.ascontiguousarray(pixels[..., :3])


def _source_images(source: str, split: str) -> Images:
    if source in DATASETS:
        # Iterating gives views: the pixels stay in one array.
        return Images(source, tuple(load_dataset(source, split)))
    return load_folder(Path(source))


def _nonempty(source: str, split: str) -> Images:
    images = _source_images(source, split)
    if not images.images:
        raise UsageError(f"{source} holds no image: expected files like .jpg or .png in it")
    return images


def _sample(generator: torch.Generator) -> tuple[Images, Images]:
    leaves = [dead_leaves(256, generator) for _ in range(TRAINING_LEAVES + HELD_OUT_LEAVES)]
    training = [photograph(name) for name in TRAINING_PHOTOGRAPHS] + leaves[:TRAINING_LEAVES]
    held_out = [photograph(name) for name in HELD_OUT_PHOTOGRAPHS] + leaves[TRAINING_LEAVES:]
    crops = [_crop(held_out[index % len(held_out)], generator) for index in range(HELD_OUT_CROPS)]
    return Images("sample", tuple(training)), Images("sample", tuple(crops))


def _crop(image: Pixels, generator: torch.Generator) -> Pixels:
    """Cut out a random square of at least half the shorter side."""
    height, width = image.shape[:2]
    draw = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    side = int(min(height, width) * (0.5 + 0.5 * draw[0]))
    top, left = int(draw[1] * (height - side + 1)), int(draw[2] * (width - side + 1))
    return image[top : top + side, left : left + side]
