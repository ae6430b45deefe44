"""The choice of where to compute, alone in a file that costs nothing to import."""

from __future__ import annotations

import enum


class Device(str, enum.Enum):
    """Where to compute."""

    auto = "auto"
    """CUDA where onnxruntime really gets it, else the CPU."""
    cpu = "cpu"
    cuda = "cuda"
    """CUDA, or an error; never the CPU instead."""
