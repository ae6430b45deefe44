"""Writing files so that nobody ever finds a half-written one under its final name."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dps_infer.errors import OutputError


def check_output(path: Path, *, force: bool = False) -> None:
    """Refuse early, before any long work, an output that could not be written at the end.

    Args:
        path: the file or folder to be written.
        force: allow `path` to exist already, as the same kind of thing.

    Raises:
        OutputError: it exists and `force` is off, or its folder cannot be written.
    """
    if path.exists() and not force:
        raise OutputError(f"{path} exists already: choose another name, or pass --force")
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"cannot write {path}: {parent} is not a folder")
    try:
        # Permissions do not tell: file systems are read-only or refuse for their own reasons.
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"cannot write {path}: {parent.resolve()}: {reason}") from None


@contextmanager
def atomic_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    Raises:
        OutputError: `path` exists (without `force`), is a folder, or cannot be written.
    """
    check_output(path, force=force)
    if path.is_dir():
        raise OutputError(f"cannot write {path}: a folder of that name exists")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because OpenCV chooses its encoder by it.
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem}-", suffix=f".part{path.suffix}", dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    temporary = Path(name)
    try:
        yield temporary
        _grant_default_mode(temporary, 0o666)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` when the block succeeds.

    Raises:
        OutputError: `path` exists (without `force`), is no folder, or cannot be written.
    """
    check_output(path, force=force)
    if path.exists() and not path.is_dir():
        raise OutputError(f"cannot write {path}: a file of that name exists")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", suffix=".part", dir=path.parent))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield temporary
        _grant_default_mode(temporary, 0o777)
        if path.exists():
            # A folder cannot be replaced in one step: the old one steps aside first,
            # under a name that no command takes for a finished one.
            aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", suffix=".old", dir=path.parent))
            os.replace(path, aside / path.name)
            os.replace(temporary, path)
            shutil.rmtree(aside, ignore_errors=True)
        else:
            os.replace(temporary, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _grant_default_mode(path: Path, mode: int) -> None:
    """Give a private temporary the permissions an ordinarily created one would have."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)
