"""The folders of saved contexts, searched by name.

They are searched in this order, so that the file nearest to the images wins:

- *project*: the folder ``contexts`` of the current folder.
- *user*: ``$DPS_CONTEXTS``, or else ``contexts`` in the platform's folder for the settings of a
  program: ``~/.config/dps-toolkit`` on Linux.
- *gallery*: the contexts that come with the package.
"""

from __future__ import annotations

import difflib
import enum
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from dps_infer.contexts.context import Context
from dps_infer.contexts.saved import SUFFIX, check_name, read_saved
from dps_infer.errors import ContextError, UsageError

VARIABLE = "DPS_CONTEXTS"
"""The environment variable that names the user's folder."""

PROJECT = Path("contexts")
GALLERY = Path(__file__).with_name("gallery")


class Place(str, enum.Enum):
    """The folder that a context was found in."""

    project = "project"
    user = "user"
    gallery = "gallery"


@dataclass(frozen=True)
class Found:
    """A saved context and its file.

    Attributes:
        context: the context.
        path: its file.
        place: the folder of the file.
        hides: files of the same name in folders that are searched later.
    """

    context: Context
    path: Path
    place: Place
    hides: tuple[Path, ...]

    @property
    def note(self) -> str | None:
        """A line about other files of this name, which the user may have meant; None if unique."""
        if not self.hides:
            return None
        others = " and ".join(map(str, self.hides))
        return f"context {self.context.name} is that of {self.path}, which hides {others}"


def user_folder() -> Path:
    """Return the user's own folder of contexts; it may not exist."""
    own = os.environ.get(VARIABLE)
    if own:
        return Path(own)
    folder = platformdirs.user_config_path("dps-toolkit", appauthor=False, roaming=True)
    return folder / "contexts"


def folders(project: Path = PROJECT) -> dict[Place, Path]:
    """Return the folders of contexts in the order that they are searched."""
    return {Place.project: project, Place.user: user_folder(), Place.gallery: GALLERY}


def locate(name: str, *, project: Path = PROJECT) -> list[tuple[Place, Path]]:
    """Return the files of a name, the one that wins first, without reading them.

    Args:
        name: the context's name.
        project: the folder of the project's contexts.

    Raises:
        UsageError: no context has this name, or the name is not valid.
    """
    check_name(name)
    files = _files(project)
    if name not in files:
        known = sorted(files)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(f"no saved context {name!r}{hint}: expected one of {', '.join(known)}")
    return files[name]


def find(
    name: str, *, project: Path = PROJECT, note: Callable[[str], None] = lambda text: None
) -> Found:
    """Find a saved context by its name.

    Args:
        name: the context's name.
        project: the folder of the project's contexts.
        note: called with one line if the context hides another of its name.

    Raises:
        UsageError: no context has this name, or the name is not valid.
        ContextError: its file is not valid; others of the name are not tried.
    """
    found = _found(locate(name, project=project))
    if found.note is not None:
        note(found.note)
    return found


def find_all() -> tuple[list[Found], list[str]]:
    """Find every saved context, by name.

    Returns:
        The contexts, and a line for each file that is not valid.
    """
    found, problems = [], []
    for _, files in sorted(_files().items()):
        try:
            found.append(_found(files))
        except ContextError as error:
            problems.append(str(error))
    return found, problems


def _files(project: Path = PROJECT) -> dict[str, list[tuple[Place, Path]]]:
    """Return the files of each name, the one that wins first."""
    files: dict[str, list[tuple[Place, Path]]] = {}
    seen: set[Path] = set()
    for place, folder in folders(project).items():
        # The user's folder may well be the current project's.
        if folder.resolve() in seen:
            continue
        seen.add(folder.resolve())
        for path in sorted(folder.glob(f"[!.]*{SUFFIX}")):
            files.setdefault(path.stem, []).append((place, path))
    return files


def _found(files: list[tuple[Place, Path]]) -> Found:
    (place, path), *others = files
    return Found(read_saved(path), path, place, tuple(other for _, other in others))
