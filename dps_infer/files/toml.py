"""Read TOML files made by people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from dps_infer.errors import DpsError
from dps_infer.files.read import MEBIBYTE, read_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path, *, expected: str, error: type[DpsError]) -> dict[str, Any]:
    """Read a TOML file of at most 1 MiB.

    Args:
        path: the file.
        expected: the expected content, for messages: "a saved context".
        error: the error to raise.

    Raises:
        DpsError: as `error`, naming the file: it cannot be read, or is no TOML.
    """
    data = read_bytes(path, expected=expected, limit=MEBIBYTE, error=error)
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as reason:
        raise error(f"{path}: is no TOML ({reason}), expected {expected}") from None
