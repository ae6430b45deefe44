"""Names of data sources in options; kept free of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dps_infer.errors import UsageError

SAMPLE: Final = "sample"
DATASETS: Final = ("stl10", "svhn")


def check_source(source: str) -> None:
    """Refuse a source that is neither a name nor a folder.

    Raises:
        UsageError: it is neither.
    """
    if source not in (SAMPLE, *DATASETS):
        check_folder(Path(source))


def check_folder(folder: Path) -> None:
    """Refuse a source that is not a folder.

    Raises:
        UsageError: it is not.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is not a folder: expected `{SAMPLE}`, {', '.join(DATASETS)} or a folder of "
            "images"
        )
