"""Names of run folders: the newest run, and a free name for the next; kept free of PyTorch."""

from __future__ import annotations

from pathlib import Path

from dps_infer.model.run_folder import MANIFEST, RunError

DEFAULT_FOLDER = Path("runs")


def newest_run(parent: Path = DEFAULT_FOLDER) -> Path:
    """Return the run folder that was finished last.

    Raises:
        RunError: there is none.
    """
    manifests = list(parent.glob(f"*/{MANIFEST}")) if parent.is_dir() else []
    # Folders whose names begin with a dot are still being written.
    finished = [path for path in manifests if not path.parent.name.startswith(".")]
    if not finished:
        raise RunError(f"{parent} holds no run: train one with dps-train, or name its folder")
    return max(finished, key=lambda path: path.stat().st_mtime_ns).parent


def free_name(parent: Path, name: str) -> Path:
    """Return `parent`/`name`, with -2, -3 ... appended if that exists."""
    folder = parent / name
    number = 1
    while folder.exists():
        number += 1
        folder = parent / f"{name}-{number}"
    return folder
