"""The devices that can compute; kept apart so that importing them is cheap."""

from __future__ import annotations

import enum

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
"""onnxruntime's names of the execution providers."""


class Device(str, enum.Enum):
    """The device to compute on."""

    auto = "auto"
    """CUDA if onnxruntime can really use it, else the CPU."""
    cpu = "cpu"
    cuda = "cuda"
    """CUDA; an error if it cannot be used."""
