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


def check_output(path: Path, *, force: bool = False, folder: bool = False) -> None:
    """Refuse early, before any long work, an output that could not be written at the end.

    Args:
        path: to be written.
        force: allow `path` to exist already, as the same kind of thing.
        folder: `path` is to be a folder, not a file.

    Raises:
        OutputError: it exists and `force` is off, it is the other kind of thing, or its
            folder cannot be written.
    """
    try:
        if path.exists():
            if not force:
                raise OutputError(f"{path} exists already: choose another name, or pass --force")
            if path.is_dir() != folder:
                there = "file" if folder else "folder"
                raise OutputError(f"cannot write {path}: a {there} of that name exists")
        parent = path.parent
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise OutputError(f"cannot write {path}: {parent} is not a folder")
        # Permissions do not tell: file systems are read-only or refuse for their own reasons.
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise _cannot_write(path, error) from None


@contextmanager
def atomic_file(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block succeeds.

    Raises:
        OutputError: `path` exists (without `force`), is a folder, or cannot be written.
    """
    check_output(path, force=force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix is kept because OpenCV chooses its encoder by it.
        handle, name = tempfile.mkstemp(
            prefix=f".{path.stem[:64]}-", suffix=f".part{path.suffix}", dir=path.parent
        )
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _grant_default_mode(temporary, 0o666)
        if force:
            os.replace(temporary, path)
        else:
            # Unlike a rename, a link fails if somebody else wrote the name in the meantime.
            os.link(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` when the block succeeds.

    Raises:
        OutputError: `path` exists (without `force`), is no folder, or cannot be written.
    """
    check_output(path, force=force, folder=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary_folder(path, ".part")
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield temporary
        _grant_default_mode(temporary, 0o777)
        if force and path.exists():
            _exchange(temporary, path)
        else:
            # Fails if somebody else filled a folder of the name in the meantime.
            os.rename(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
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


def _exchange(new: Path, path: Path) -> None:
    """Put a folder in the place of another one, which is deleted, or stays if that fails.

    A folder cannot be replaced in one step: the old one steps aside first, under a name
    that no command takes for a finished one.
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


def _temporary_folder(path: Path, suffix: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=f".{path.name[:64]}-", suffix=suffix, dir=path.parent))


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}")
