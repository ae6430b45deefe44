"""The commands that install missing optional packages."""

from __future__ import annotations


def install(*extras: str) -> str:
    """Return the command that installs the package with extras.

    The package is on no index: it is installed from a checkout, or from a wheel built from one.

    >>> install("train", "cpu")
    'pip install ".[train,cpu]" in a checkout of dps-toolkit, or its wheel in place of the dot'
    """
    return (
        f'pip install ".[{",".join(extras)}]" in a checkout of dps-toolkit, or its wheel in place '
        "of the dot"
    )


FORMATS = install("formats")
EXPORT = install("export")
TRAIN = install("train", "cpu")

_TRAINING = (
    "filelock",
    "lightning",
    "onnx_ir",
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
        return f"{EXPORT}; with [train,cpu] for all of training and export"
    return TRAIN if package in _TRAINING else None
