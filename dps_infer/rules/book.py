"""Which settings apply to a file: those of a ``dps.toml``, below the options of a command."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dps_infer.rules.file import RulesFile
from dps_infer.rules.layers import DEFAULTS, Layer, Setting, combine


class RuleBook:
    """The settings of every file.

    Args:
        file: the rules; None without any.
        options: layers that override them, such as the options of a command.
    """

    def __init__(self, file: RulesFile | None, options: Sequence[Layer] = ()) -> None:
        self.file = file
        self._options = options
        self._folders: dict[Path, str] = {}
        self._combined: dict[tuple[int, ...], Mapping[str, Setting]] = {}

    def tables_of(self, path: str | os.PathLike[str] | None) -> tuple[int, ...]:
        """Return the numbers, from 0, of the tables that apply to a file.

        Args:
            path: the reference, relative to the current folder; None for an image that is no file,
                to which no table applies.
        """
        if self.file is None or path is None or not self.file.tables:
            return ()
        name = self._name(path)
        tables = enumerate(self.file.tables)
        return tuple(number for number, table in tables if table.pattern.fullmatch(name))

    def combined(self, tables: tuple[int, ...]) -> Mapping[str, Setting]:
        """Return the settings by key where these tables apply."""
        if tables not in self._combined:
            layers = [DEFAULTS, *self._of_file(tables), *self._options]
            self._combined[tables] = combine(layers)
        return self._combined[tables]

    def settings(self, path: str | os.PathLike[str] | None) -> Mapping[str, Setting]:
        """Return the settings by key for a file; see `tables_of`."""
        return self.combined(self.tables_of(path))

    def _of_file(self, tables: tuple[int, ...]) -> list[Layer]:
        if self.file is None:
            return []
        return [self.file.top, *(self.file.tables[number].layer for number in tables)]

    def _name(self, path: str | os.PathLike[str]) -> str:
        """Return a path as globs see it: relative to the root, with forward slashes."""
        file = Path(path)
        # Many files lie in few folders. Of relative ones, the current folder may change.
        folder = file.parent if file.is_absolute() else Path.cwd() / file.parent
        if folder not in self._folders:
            self._folders[folder] = self._folder_name(folder)
        return f"{self._folders[folder]}{file.name}"

    def _folder_name(self, folder: Path) -> str:
        """Return a folder as the beginning of a name; see `_name`."""
        here = Path(os.path.abspath(folder))
        # `self.file` is there, or no table could match.
        root = self.file.path.parent if self.file else here
        try:
            name = Path(os.path.relpath(here, root)).as_posix()
        except ValueError:  # another drive
            name = here.as_posix()
        return "" if name == "." else f"{name}/"
