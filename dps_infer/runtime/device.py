"""The device to compute on; a file of its own, so that importing it is cheap."""

from __future__ import annotations

import enum


class Device(str, enum.Enum):
    """The device to compute on."""

    auto = "auto"
    """CUDA if onnxruntime can really use it, else the CPU."""
    cpu = "cpu"
    cuda = "cuda"
    """CUDA; an error if it cannot be used."""
