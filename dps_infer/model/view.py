"""The views of a pair of images; a file of their own, so that importing it is cheap."""

from __future__ import annotations

import enum


class View(str, enum.Enum):
    """A view of a pair of images, in context files that have views."""

    whole = "whole"
    """The whole image at the context's working size."""
    tiles = "tiles"
    """Tiles of the image at its own resolution."""
    both = "both"
    """The two others combined."""
