"""What a threshold applies to, kept separate so that importing it is cheap."""

from __future__ import annotations

from enum import Enum


class Gate(str, Enum):
    """The distance of the whole image, or of its worst region."""

    whole = "whole"
    worst = "worst"
