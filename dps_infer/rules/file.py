"""Find and read ``dps.toml``: settings of all files at its top, and tables for some of them.

    context-name = "ui-regression"
    threshold = 0.05

    [[files]]
    glob = "charts/**"
    threshold = 0.2

Paths in it are relative to its folder. Everything that it names is checked when it is read; context
files are opened only for images that they apply to.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from dps_infer.bulk.thresholds import AUTO, number_of
from dps_infer.compare.regions.gate import Gate
from dps_infer.contexts.context import importance_context, ranking_context
from dps_infer.contexts.folders import PROJECT, find
from dps_infer.contexts.ranking import format_importances
from dps_infer.errors import DpsError, RulesError
from dps_infer.files.globs import compile_globs
from dps_infer.files.toml import read_toml
from dps_infer.images.ignored import Ignored
from dps_infer.rules.layers import (
    CONTEXT,
    GATE,
    IGNORE,
    MASK,
    RESIZE,
    THRESHOLD,
    ContextChoice,
    Layer,
)
from dps_infer.rules.settings import FilesTable, RulesStruct, Settings

FILE = "dps.toml"


@dataclass(frozen=True)
class Table:
    """A table of ``[[files]]``.

    Attributes:
        globs: the names of its files, as written.
        pattern: matches a path relative to the root.
        layer: the settings.
    """

    globs: tuple[str, ...]
    pattern: re.Pattern[str]
    layer: Layer


@dataclass(frozen=True)
class RulesFile:
    """The content of a ``dps.toml``.

    Attributes:
        path: the file; its folder is the root of the project.
        top: settings of all files.
        tables: settings of some files, in the order of the file.
    """

    path: Path
    top: Layer
    tables: tuple[Table, ...]


def find_rules(start: Path | None = None) -> Path | None:
    """Return the nearest ``dps.toml`` in a folder or above it; None if there is none.

    Args:
        start: the folder; None takes the current one.
    """
    here = Path.cwd() if start is None else start.absolute()
    found = (folder / FILE for folder in (here, *here.parents))
    return next((path for path in found if path.is_file()), None)


def read_rules(path: Path) -> RulesFile:
    """Read and check a ``dps.toml``.

    Raises:
        RulesError: it cannot be read, has an unknown key, a wrong type, or a glob that is not
            valid, or names a context, threshold or mask that does not exist; in one line with the
            file, the table and the key.
    """
    path = path.absolute()
    raw = read_toml(path, expected=f"rules ({FILE})", error=RulesError)
    try:
        content = msgspec.convert(raw, RulesStruct)
    except (msgspec.ValidationError, OverflowError) as error:
        raise RulesError(f"{path}: {_explain(str(error))}") from None
    tables = []
    for number, table in enumerate(content.files, start=1):
        globs = (table.glob,) if isinstance(table.glob, str) else tuple(table.glob)
        where = f"[[files]] {number}"
        with _naming(path, where, "glob"):
            pattern = compile_globs(globs)
        layer = Layer(f"{where} ({', '.join(globs)})", _values(table, path, where))
        tables.append(Table(globs, pattern, layer))
    top = Layer(f"top of {path.name}", _values(content, path))
    return RulesFile(path, top, tuple(tables))


def _values(settings: Settings, path: Path, *where: str) -> dict[str, Any]:
    """Return the settings of one place by key, after checks."""
    folder = path.parent
    found: dict[str, Any] = {}
    context = _context(settings, path, *where)
    if context:
        found[CONTEXT] = context
    threshold = settings.threshold
    if isinstance(threshold, (float, str)):
        with _naming(path, *where, THRESHOLD):
            number = number_of(threshold)
            if number is not None:
                found[THRESHOLD] = number
            elif threshold == AUTO:
                found[THRESHOLD] = AUTO
            else:
                found[THRESHOLD] = str(_existing(folder / str(threshold)))
    if isinstance(settings.gate, Gate):
        found[GATE] = settings.gate.value
    if isinstance(settings.ignore, list):
        with _naming(path, *where, IGNORE):
            Ignored(settings.ignore)
        found[IGNORE] = tuple(settings.ignore)
    if isinstance(settings.mask, str):
        with _naming(path, *where, MASK):
            found[MASK] = _existing(folder / settings.mask)
    if isinstance(settings.resize, bool):
        found[RESIZE] = settings.resize
    return found


def _context(settings: Settings, path: Path, *where: str) -> ContextChoice:
    folder = path.parent
    file, ranking, name = settings.context, settings.ranking, settings.context_name
    importance = settings.importance
    given = {"ranking": ranking, "importance": importance, "context-name": name}
    several = [key for key, value in given.items() if value is not UNSET]
    if len(several) > 1:
        raise RulesError(
            f"{path}: {', '.join([*where, ' and '.join(several)])}: say the same thing in "
            f"{len(several)} ways: give one"
        )
    choice: dict[str, Any] = {"project": folder / PROJECT}
    if isinstance(file, str):
        with _naming(path, *where, "context"):
            choice["files"] = (_existing(folder / file),)
    if isinstance(ranking, str):
        choice["rankings"] = (ranking,)
    if isinstance(importance, dict):
        importance = format_importances(importance)
    if isinstance(importance, str):
        choice["importances"] = (importance,)
    # The kinds that a context file of one's own knows are in the file.
    if several and file is UNSET:
        with _naming(path, *where, several[0]):
            if isinstance(ranking, str):
                ranking_context(ranking)
            elif isinstance(importance, str):
                importance_context(importance)
    if isinstance(name, str):
        with _naming(path, *where, "context-name"):
            find(name, project=folder / PROJECT)
        choice["names"] = (name,)
    return ContextChoice(**choice)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise RulesError(f"{path}: no such file")
    return path


@contextmanager
def _naming(path: Path, *where: str) -> Iterator[None]:
    """Name the file, the table and the key in errors."""
    try:
        yield
    except DpsError as error:
        raise RulesError(f"{path}: {', '.join(where)}: {error}") from None


def _explain(message: str) -> str:
    """Return a message of msgspec with the place first, as in a TOML file."""
    text, _, place = message.partition(" - at `$")
    place = place.strip("`.")
    table = re.match(r"files\[(\d+)\]\.?", place)
    where = [f"[[files]] {int(table[1]) + 1}"] if table else []
    where += [place[table.end() if table else 0 :]]
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", text, flags=re.DOTALL)
    if unknown:
        known = FilesTable if table else RulesStruct
        close = difflib.get_close_matches(unknown[1], known.__struct_encode_fields__, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        text = f"unknown key {unknown[1]!r}{hint}"
    missing = re.fullmatch(r"Object missing required field `(.*)`", text)
    if missing:
        text = f"the key {missing[1]!r} is missing"
    return ": ".join([*filter(None, [", ".join(filter(None, where))]), text])
