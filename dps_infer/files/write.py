"""Write files and folders that appear under their final names only when complete.

Until then they have a temporary name beside the final one, and are locked. A process that is killed
leaves its temporary file or folder behind, unlocked; the next one with the same output removes it.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from dps_infer.errors import OutputError
from dps_infer.files.lock import HAS_LOCKS, if_unlocked, try_lock

PART, OLD = ".part", ".old"
"""Suffixes of temporary names: of new content, and of a folder that is being replaced."""


def check_output(
    path: Path,
    *,
    force: bool = False,
    folder: bool = False,
    inputs: Iterable[str | os.PathLike[str] | None] = (),
) -> None:
    """Refuse an output that cannot be written, before any long work.

    Args:
        path: the output.
        force: accept an existing file, or an existing folder if `folder` is set.
        folder: the output is a folder, not a file.
        inputs: files and folders that the command reads. Not even `force` replaces them.

    Raises:
        OutputError: `path` exists and `force` is off, is or contains an input, is a folder instead
            of a file or the reverse, or its parent cannot be written.
    """
    try:
        _remove_leftovers(path, folder=folder)
        if path.exists():
            if not force:
                raise OutputError(f"{path} exists already: choose another name, or pass --force")
            if path.is_dir() != folder:
                other = "file" if folder else "folder"
                raise OutputError(f"cannot write {path}: a {other} of that name exists")
            _keep_inputs(path, inputs)
        parent = path.parent
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise OutputError(f"cannot write {path}: {parent} is not a folder")
        # Permissions are not enough: file systems can be read-only or refuse for other reasons.
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise cannot_write(path, error) from None


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


def write_all(stream: io.FileIO, data: bytes) -> None:
    """Write everything to an unbuffered file: on a disk that is nearly full, a part goes first."""
    left = memoryview(data)
    while left:
        left = left[stream.write(left) :]


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the error of an output that could not be written, in one line."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"cannot write {path}: {error.strerror}: free some space")
    return OutputError(f"cannot write {path}: {error.strerror or error}")


@contextmanager
def _atomic(path: Path, *, force: bool, folder: bool) -> Iterator[Path]:
    check_output(path, force=force, folder=folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, lock = _locked_folder(path, PART) if folder else _locked_file(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        yield temporary
        _grant_default_modes(temporary)
        if not force:
            _move_to_free_name(temporary, path)
        elif folder and path.exists():
            _exchange(temporary, path)
        else:
            os.replace(temporary, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        _remove(temporary)
        _close(lock)


def _move_to_free_name(temporary: Path, path: Path) -> None:
    """Rename, but fail if another process took the name in the meantime."""
    if temporary.is_dir():
        # Renaming a folder never replaces a file or a folder with content.
        os.rename(temporary, path)
        return
    try:
        # A rename would replace a file of the name; a link does not.
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems have no links. Taking the name first serves as well.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(temporary, path)


def _grant_default_modes(path: Path) -> None:
    """Give a private temporary file, or folder with its content, the default permissions."""
    umask = os.umask(0)
    os.umask(umask)
    path.chmod((0o777 if path.is_dir() else 0o666) & ~umask)
    if path.is_dir():
        for inside in path.rglob("*"):
            # Some libraries write files that only their owner can read.
            if not inside.is_symlink():
                inside.chmod((0o777 if inside.is_dir() else 0o666) & ~umask)


def _exchange(new: Path, path: Path) -> None:
    """Replace a folder by a new one and delete the old one, which stays if that fails.

    A folder cannot be replaced in one step. The old one is moved aside first, under a name that no
    command mistakes for a finished one.
    """
    aside, lock = _locked_folder(path, OLD)
    try:
        os.rename(path, aside / path.name)
        try:
            os.rename(new, path)
        except OSError:
            os.rename(aside / path.name, path)
            raise
    finally:
        _remove(aside)
        _close(lock)


def _keep_inputs(path: Path, inputs: Iterable[str | os.PathLike[str] | None]) -> None:
    """Refuse to replace an input, or a folder with an input inside."""
    resolved = path.resolve()
    for given in inputs:
        if given is None or not os.path.exists(given):
            continue
        if os.path.samefile(path, given):
            raise OutputError(
                f"cannot write {path}: it is an input of this command: choose another name"
            )
        if resolved in Path(given).resolve().parents and path.is_dir():
            raise OutputError(
                f"cannot write {path}: it contains {os.fspath(given)}, an input of this command: "
                "choose another name"
            )


def _remove_leftovers(path: Path, *, folder: bool) -> None:
    """Remove what killed processes with the same output left; bring back a folder moved aside."""
    if not path.parent.is_dir():
        return
    endings = {PART, OLD} if folder else {f"{PART}{path.suffix}"}
    start = _prefix(path, folder=folder)
    for name in os.listdir(path.parent):
        middle, dot, rest = name.removeprefix(start).partition(".")
        if not name.startswith(start) or dot + rest not in endings or not _RANDOM.match(middle):
            continue
        found = path.parent / name
        # Another process may be removing it as well, or it belongs to another user.
        with suppress(OSError), if_unlocked(found) as unlocked:
            if not unlocked or found.is_dir() != folder:
                continue
            if name.endswith(OLD) and not path.exists() and (found / path.name).is_dir():
                os.rename(found / path.name, path)
            _remove(found)


_RANDOM = re.compile(r"[a-z0-9_]{8}\Z")
"""What the standard library puts into temporary names."""


def _prefix(path: Path, *, folder: bool) -> str:
    return f".{(path.name if folder else path.stem)[:64]}-"


def _locked_file(path: Path) -> tuple[Path, int]:
    """Create a temporary file for an output.

    Returns:
        The file, and the descriptor that keeps it locked; -1 if the system has no locks.
    """
    while True:
        # The suffix is kept, because OpenCV chooses its encoder by it.
        descriptor, name = tempfile.mkstemp(
            prefix=_prefix(path, folder=False), suffix=f"{PART}{path.suffix}", dir=path.parent
        )
        if not HAS_LOCKS:
            os.close(descriptor)
            return Path(name), -1
        if _lock_new(descriptor, Path(name)):
            return Path(name), descriptor


def _locked_folder(path: Path, suffix: str) -> tuple[Path, int]:
    """Create a temporary folder for an output; see `_locked_file`."""
    while True:
        prefix = _prefix(path, folder=True)
        temporary = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=path.parent))
        if not HAS_LOCKS:
            return temporary, -1
        with suppress(FileNotFoundError):
            descriptor = os.open(temporary, os.O_RDONLY)
            if _lock_new(descriptor, temporary):
                return temporary, descriptor


def _lock_new(descriptor: int, temporary: Path) -> bool:
    """Lock a new file or folder; False if another process took it for a leftover."""
    if try_lock(descriptor) and temporary.exists():
        return True
    os.close(descriptor)
    return False


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _close(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)
