"""STL-10 and SVHN, as the paper uses them: torchvision's loaders, downloaded on first use.

Their files lie flat in one folder (`folder`), as torchvision lays them out. Labels are not used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.datasets import STL10, SVHN

from dps_infer.arrays import Pixels
from dps_infer.errors import DpsError
from dps_train.data import names

FOLDER_VARIABLE = "DPS_DATA"
"""Environment variable with the folder of the files."""


class LabeledSTL10(STL10):  # type: ignore[misc]
    """STL-10 without its 100,000 unlabeled images: 2.6 GB, downloaded but deletable."""

    train_list = STL10.train_list[:2]


DATASETS: dict[str, Callable[..., Any]] = dict(
    zip(names.DATASETS, (LabeledSTL10, SVHN), strict=True)
)
"""Loaders by the name that --data and --test-data accept."""

SIZES = {"stl10": "2.6 GB", "svhn": "250 MB"}
"""Sizes of the downloads."""


def folder() -> Path:
    """Return the folder of downloads: `FOLDER_VARIABLE`, or one in torch hub's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else Path(torch.hub.get_dir()) / "datasets"


def load_dataset(name: str, split: str) -> Pixels:
    """Return all images of a split, ``train`` or ``test``; missing files are downloaded.

    Returns uint8 RGB [N, H, W, 3]: 96x96 in STL-10 (5,000 and 8,000), 32x32 in SVHN (73,257 and
    26,032).

    Raises:
        DpsError: the files are missing or damaged, and cannot be downloaded.
    """
    root = folder()
    try:
        # The loader verifies checksums, and downloads only if that fails.
        images = DATASETS[name](root, split=split, download=True).data
    except (OSError, RuntimeError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DpsError(
            f"{name} is missing or damaged in {root} and cannot be downloaded ({reason}): "
            f"connect to the network ({SIZES[name]}), delete damaged files there, or set "
            f"{FOLDER_VARIABLE} to a folder with its files"
        ) from None
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
