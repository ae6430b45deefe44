"""``-`` in place of a path: an image from standard input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dps_infer.errors import ImageError, UsageError

if TYPE_CHECKING:
    from dps_infer.images.decode import ImageSource

STANDARD_INPUT = Path("-")


def image_sources(paths: Sequence[Path]) -> list[ImageSource]:
    """Return the images that a command line names; ``-`` is read to its end.

    Raises:
        UsageError: ``-`` is given more than once, or standard input is a terminal.
        ImageError: standard input is empty, too big, or cannot be read.
    """
    count = sum(path == STANDARD_INPUT for path in paths)
    if count == 0:
        return list(paths)
    if count > 1:
        raise UsageError("- is standard input, which can be read once: give it for one image")
    if sys.stdin.isatty():
        raise UsageError("- is standard input, which is a terminal: pipe an image into it")
    from dps_infer.images.decode import MAX_FILE_BYTES
    from dps_infer.images.in_memory import read_open_file

    try:
        data = read_open_file(sys.stdin.buffer, limit=MAX_FILE_BYTES)
    except ImageError as error:
        raise ImageError(f"standard input: {error}") from None
    return [data if path == STANDARD_INPUT else path for path in paths]
