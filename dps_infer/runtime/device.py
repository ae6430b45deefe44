"""The devices that can compute; kept apart so that importing them is cheap."""

from __future__ import annotations

import enum

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
"""onnxruntime's names of the execution providers."""


class Device(str, enum.Enum):
    """Where to compute."""

    auto = "auto"
    """CUDA where onnxruntime really gets it, else the CPU."""
    cpu = "cpu"
    cuda = "cuda"
    """CUDA, or an error; never the CPU instead."""
