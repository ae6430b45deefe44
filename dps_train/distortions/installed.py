"""Custom distortions that installed packages provide; kept free of PyTorch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "dps_train.distortions"
"""The entry point group: ``[project.entry-points."dps_train.distortions"]`` in a package's
pyproject.toml, with ``jpeg = "my_package.my_module:jpeg"``."""


def installed_distortions() -> dict[str, EntryPoint]:
    """Return the entry points of installed distortions, by name."""
    # Imported here because few command lines need it, and it takes a while.
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=GROUP)}


def mentioned_words(text: str) -> list[str]:
    """Return the words of a ranking or of importances that may be names of distortions."""
    return re.findall(r"[a-z][a-z0-9_-]*", text.lower())
