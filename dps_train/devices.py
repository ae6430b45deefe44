"""Where networks run."""

from __future__ import annotations

import torch

from dps_infer.errors import DeviceError


def pick_device(name: str) -> torch.device:
    """Return the device that ``auto``, ``cpu`` or ``cuda`` stands for.

    Raises:
        DeviceError: CUDA was asked for and PyTorch has none here.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "PyTorch finds no CUDA device here: use --device cpu, or install the driver and a "
            "CUDA build of PyTorch"
        )
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
