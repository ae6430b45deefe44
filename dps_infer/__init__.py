"""Measure how different two images are, in a context that says what matters.

    from dps_infer import Context

    context = Context.universal(ranking="color,translate,zoom,rotate,darken,blur")
    print(context.compare("reference.png", "distorted.png").distance)

`Context.load` takes a context file of your own instead.

A distance is >= 0, 0 for identical images, symmetric, and larger for what the
context calls more different. Images are paths, encoded bytes, or uint8 RGB arrays
[height, width, 3]; how files are decoded is stated in `dps_infer.images`.

Everything here is loaded on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dps_infer.context import Comparison as Comparison
    from dps_infer.context import Context as Context
    from dps_infer.errors import ContextError as ContextError
    from dps_infer.errors import DeviceError as DeviceError
    from dps_infer.errors import DpsError as DpsError
    from dps_infer.errors import ImageError as ImageError
    from dps_infer.images import DecodePolicy as DecodePolicy
    from dps_infer.manifest import Manifest as Manifest
    from dps_infer.views import View as View

    __version__: str

_HOMES = {
    "Comparison": "dps_infer.context",
    "Context": "dps_infer.context",
    "ContextError": "dps_infer.errors",
    "DeviceError": "dps_infer.errors",
    "DpsError": "dps_infer.errors",
    "ImageError": "dps_infer.errors",
    "DecodePolicy": "dps_infer.images",
    "Manifest": "dps_infer.manifest",
    "View": "dps_infer.views",
}

__all__ = [
    "Comparison",
    "Context",
    "ContextError",
    "DecodePolicy",
    "DeviceError",
    "DpsError",
    "ImageError",
    "Manifest",
    "View",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    value: Any
    if name == "__version__":
        value = _installed_version()
    elif name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})


def _installed_version() -> str:
    # importlib.metadata takes a few hundredths of a second, which only --version should pay.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dps-toolkit")
    except PackageNotFoundError:
        return "0+unknown"
