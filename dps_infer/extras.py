"""What to install where a package is missing that only some of the work needs."""

from __future__ import annotations

EXPORT = 'pip install "dps-toolkit[export]"'
TRAIN = 'pip install "dps-toolkit[train,cpu]", or "dps-toolkit[train,gpu]" for an NVIDIA GPU'

_TRAINING = (
    "lightning",
    "onnxscript",
    "safetensors",
    "scipy",
    "skimage",
    "torch",
    "torchvision",
)


def how_to_install(module: str | None) -> str | None:
    """Return the command that brings a module; None for one that no extra of ours brings.

    Args:
        module: as it is imported, ``onnx.helper`` for one.
    """
    package = (module or "").partition(".")[0]
    if package == "onnx":
        return f"{EXPORT}; for all of training and export {TRAIN}"
    return TRAIN if package in _TRAINING else None
