"""The choice of the device that networks run on."""

from __future__ import annotations

import torch

from dps_infer.errors import DeviceError


def pick_device(name: str) -> torch.device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``.

    Raises:
        DeviceError: CUDA is requested, and PyTorch finds no such device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "PyTorch finds no CUDA device here: use --device cpu, or install the driver and a "
            "CUDA build of PyTorch"
        )
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)
