"""The choice of how to look at images, alone in a file that costs nothing to import."""

from __future__ import annotations

import enum


class View(str, enum.Enum):
    """How a context file with views looks at a pair of images."""

    whole = "whole"
    """The whole image at the context's working size."""
    tiles = "tiles"
    """Tiles of the image at its own resolution."""
    both = "both"
    """Both together."""
