"""The commands that install missing optional packages."""

from __future__ import annotations

FORMATS = 'pip install "dps-toolkit[formats]"'
EXPORT = 'pip install "dps-toolkit[export]"'
TRAIN = 'pip install "dps-toolkit[train,cpu]", or "dps-toolkit[train,gpu]" for an NVIDIA GPU'

_TRAINING = (
    "filelock",
    "lightning",
    "onnxscript",
    "safetensors",
    "scipy",
    "skimage",
    "torch",
    "torchvision",
)


def how_to_install(module: str | None) -> str | None:
    """Return the command that installs a module, or None if no extra of ours contains it.

    Args:
        module: its import name, for example ``onnx.helper``.
    """
    package = (module or "").partition(".")[0]
    if package == "onnx":
        return f"{EXPORT}; for all of training and export {TRAIN}"
    return TRAIN if package in _TRAINING else None
