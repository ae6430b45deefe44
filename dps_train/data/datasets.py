"""STL-10 and SVHN, as the paper uses them: torchvision's loaders, downloaded on first use.

Their files lie flat in one folder (`folder`), as torchvision lays them out. Their labels
are not used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.datasets import STL10, SVHN

from dps_infer.errors import DpsError

FOLDER_VARIABLE = "DPS_DATA"
"""Environment variable that names the folder that the files lie in."""


class LabelledSTL10(STL10):  # type: ignore[misc]
    """STL-10 without its 100,000 unlabelled images: nothing here reads their 2.6 GB.

    They come with the download, and may be deleted.
    """

    train_list = STL10.train_list[:2]


DATASETS: dict[str, Callable[..., Any]] = {"stl10": LabelledSTL10, "svhn": SVHN}
"""Their loaders, by the name that --data and --test-data take."""

SIZES = {"stl10": "2.6 GB", "svhn": "250 MB"}
"""Of the downloads."""


def folder() -> Path:
    """Return where downloads are kept: `FOLDER_VARIABLE`, or a folder in torch hub's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named).expanduser() if named else Path(torch.hub.get_dir()) / "datasets"


def load_dataset(name: str, split: str) -> NDArray[np.uint8]:
    """Return all images of a split, downloaded unless they are there already.

    Args:
        name: one of `DATASETS`.
        split: ``train`` or ``test``.

    Returns:
        uint8 RGB [N, H, W, 3]: 96x96 in STL-10 (5,000 and 8,000), 32x32 in SVHN (73,257 and
        26,032).

    Raises:
        DpsError: they are not there, or damaged, and cannot be downloaded.
    """
    root = folder()
    try:
        # The loader checks what is there by its checksums, and downloads only where they fail.
        images = DATASETS[name](root, split=split, download=True).data
    except (OSError, RuntimeError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DpsError(
            f"{name} is missing or damaged in {root} and cannot be downloaded ({reason}): "
            f"connect to the network ({SIZES[name]}), delete damaged files there, or name a "
            f"folder that has its files with {FOLDER_VARIABLE}"
        ) from None
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))
