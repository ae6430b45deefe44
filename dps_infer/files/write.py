"""Write files and folders that appear under their final names only when complete."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from dps_infer.errors import OutputError


def check_output(path: Path, *, force: bool = False, folder: bool = False) -> None:
    """Refuse an output that cannot be written, before any long work.

    Args:
        path: the output.
        force: accept an existing file, or an existing folder if `folder` is set.
        folder: the output is a folder, not a file.

    Raises:
        OutputError: `path` exists and `force` is off, is a folder instead of a file or the reverse,
            or its parent cannot be written.
    """
    try:
        if path.exists():
            if not force:
                raise OutputError(f"{path} exists already: choose another name, or pass --force")
            if path.is_dir() != folder:
                other = "file" if folder else "folder"
                raise OutputError(f"cannot write {path}: a {other} of that name exists")
        parent = path.parent
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise OutputError(f"cannot write {path}: {parent} is not a folder")
        # Permissions are not enough: file systems can be read-only or refuse for other reasons.
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise _cannot_write(path, error) from None


def atomic_file(path: Path, *, force: bool = False) -> AbstractContextManager[Path]:
    """Give a temporary path beside `path`; rename it to `path` when the block succeeds.

    Raises:
        OutputError: `path` exists (without `force`), is a folder, or cannot be written.
    """
    return _atomic(path, force=force, folder=False)


def atomic_folder(path: Path, *, force: bool = False) -> AbstractContextManager[Path]:
    """Give a temporary folder beside `path`; rename it to `path` when the block succeeds.

    Raises:
        OutputError: `path` exists (without `force`), is a file, or cannot be written.
    """
    return _atomic(path, force=force, folder=True)


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def _atomic(path: Path, *, force: bool, folder: bool) -> Iterator[Path]:
    check_output(path, force=force, folder=folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_folder(path, ".part") if folder else _temporary_file(path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield temporary
        _grant_default_mode(temporary, 0o777 if folder else 0o666)
        if not force:
            # Both fail if somebody else took the name in the meantime; a file's rename would not.
            (os.rename if folder else os.link)(temporary, path)
        elif folder and path.exists():
            _exchange(temporary, path)
        else:
            os.replace(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        if folder:
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def _grant_default_mode(path: Path, mode: int) -> None:
    """Give a private temporary file or folder the permissions of an ordinary one."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)


def _exchange(new: Path, path: Path) -> None:
    """Replace a folder by a new one and delete the old one, which stays if that fails.

    A folder cannot be replaced in one step. The old one is moved aside first, under a name that no
    command mistakes for a finished one.
    """
    aside = _temporary_folder(path, ".old")
    try:
        os.rename(path, aside / path.name)
        try:
            os.rename(new, path)
        except OSError:
            os.rename(aside / path.name, path)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _temporary_file(path: Path) -> Path:
    # The suffix is kept, because OpenCV chooses its encoder by it.
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem[:64]}-", suffix=f".part{path.suffix}", dir=path.parent
    )
    os.close(handle)
    return Path(name)


def _temporary_folder(path: Path, suffix: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".{path.name[:64]}-", suffix=suffix, dir=path.parent))


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}")
