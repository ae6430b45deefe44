"""Contexts as things to keep: small TOML files, to be read, edited and passed on.

    format = 1
    name = "print-inspection"
    why = "The sheet never lies the same way twice; a colour cast is a defect."
    from = "what our inspectors reject"
    ranking = "translate=rotate,zoom,darken,blur,color"

Instead of `ranking` there may be a table `importances`, a number by name, where what is
missing does not count. A table `figures` holds numbers about the context, by any name, and
`distortions` lists what the context may name where that is not `DISTORTIONS`. The file is
called like the context: ``print-inspection.toml``. Where files are found is told in
`dps_infer.contexts.folders`.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from dps_infer.contexts.ranking import (
    OTHER,
    Ranking,
    check_importances,
    check_ranking,
    format_ranking,
    parse_ranking,
    ranking_importances,
)
from dps_infer.errors import ContextError, RankingError, UsageError
from dps_infer.files.read import MEBIBYTE, read_bytes
from dps_infer.files.write import atomic_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FORMAT_VERSION = 1
"""The one format of saved contexts that this version reads and writes."""

SUFFIX = ".toml"

DISTORTIONS = ("rotate", "translate", "darken", "color", "blur", "zoom")
"""Those of the universal file that comes with the package, in the order of their numbers."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class SavedContext:
    """A context with a name and its reasons: a ranking, or else importances.

    Attributes:
        name: lower-case letters, digits, - and _.
        why: the reasons, for people.
        origin: where it came from, for people; ``from`` in the file.
        ranking: tied groups from the least to the most disruptive.
        importances: one for each of `distortions` and `other`.
        figures: finite numbers about the context, by name.
        distortions: what the context may name, in the order of their numbers.
    """

    name: str
    why: str
    origin: str
    ranking: Ranking | None = None
    importances: Mapping[str, float] | None = None
    figures: Mapping[str, float] = field(default_factory=dict)
    distortions: tuple[str, ...] = DISTORTIONS

    def __post_init__(self) -> None:
        """Refuse what no file could hold.

        Raises:
            UsageError: a bad name, no reasons, not exactly one of ranking and importances,
                or one that is not valid.
        """
        check_name(self.name)
        for label, text in (("why", self.why), ("from", self.origin)):
            if not text.strip():
                raise UsageError(f"context {self.name}: its {label!r} is empty: say it in words")
        if (self.ranking is None) == (self.importances is None):
            got = "none" if self.ranking is None else "both"
            raise UsageError(
                f"context {self.name}: expected a ranking or importances, got {got}: give one"
            )
        if OTHER in self.distortions or len(set(self.distortions)) < len(self.distortions):
            raise UsageError(
                f"context {self.name}: its distortions are {', '.join(self.distortions)}: "
                f"expected each once, and no {OTHER}"
            )
        for name, value in self.figures.items():
            if not math.isfinite(value):
                raise UsageError(
                    f"context {self.name}: its figure {name!r} is {value}: expected a finite number"
                )
        self.importances_of(self.distortions)

    def importances_of(self, names: Sequence[str]) -> dict[str, float]:
        """Return how much each distortion of a metric counts.

        Args:
            names: the metric's distortions. Those that a ranking leaves out get what
                `ranking_importances` gives them, those that importances leave out get 0.

        Returns:
            One importance >= 0 for each of `names` and `other`, in this order.

        Raises:
            RankingError: the context names a distortion that the metric does not have, or
                is not valid.
        """
        try:
            if self.ranking is not None:
                return ranking_importances(check_ranking(self.ranking, names), names)
            given = (self.importances or {}).items()
            # What does not count may well be unknown to the metric.
            return check_importances({name: value for name, value in given if value}, names)
        except RankingError as error:
            raise RankingError(f"context {self.name}: {error}") from None


def check_name(name: str) -> str:
    """Return a name if a context can have it.

    Raises:
        UsageError: it cannot be the name of a file and of a column everywhere.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a context: expected lower-case letters, digits, - and _, "
            "like print-inspection"
        )
    return name


def read_saved(path: Path) -> SavedContext:
    """Read a saved context.

    Raises:
        ContextError: the file cannot be read, is no TOML, of another format version, or not
            valid: a missing or surplus field, a wrong type, no context or two, a name that is
            unknown, a number out of range, or not called like its file.
    """
    label = "a saved context (.toml)"
    data = read_bytes(path, expected=label, limit=MEBIBYTE, error=ContextError)
    try:
        raw: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ContextError(f"{path}: is no TOML ({error}), expected {label}") from None
    version = raw.get("format")
    # The version comes first: a newer format may well have fields that are unknown here.
    if type(version) is not int or version < 1:
        raise ContextError(f"{path}: states no format version: expected format = {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise ContextError(
            f"{path}: has format {version}, this version reads {FORMAT_VERSION}: "
            "upgrade dps-toolkit"
        )
    try:
        saved = _saved(msgspec.convert(raw, _File))
    except (msgspec.ValidationError, OverflowError, UsageError) as error:
        raise ContextError(f"{path}: is not a valid saved context ({error}): edit it") from None
    if saved.name != path.stem:
        raise ContextError(
            f"{path}: holds the context {saved.name!r}: call the file {saved.name}{SUFFIX}, or "
            f"the context {path.stem}"
        )
    return saved


def write_saved(saved: SavedContext, folder: Path, *, force: bool = False) -> Path:
    """Write a saved context into a folder, whole or not at all.

    Returns:
        The file, called like the context.

    Raises:
        OutputError: it exists (without `force`) or cannot be written.
        UsageError: its texts hold bytes that are no text.
    """
    path = folder / f"{saved.name}{SUFFIX}"
    try:
        data = format_saved(saved).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"context {saved.name}: is no Unicode text ({error.reason})") from None
    with atomic_file(path, force=force) as temporary:
        temporary.write_bytes(data)
    return path


def format_saved(saved: SavedContext) -> str:
    """Return a saved context as TOML, as `read_saved` reads it."""
    fields: dict[str, str | Sequence[str]] = {
        "name": saved.name,
        "why": saved.why,
        "from": saved.origin,
    }
    if saved.ranking is not None:
        fields["ranking"] = format_ranking(saved.ranking)
    if saved.distortions != DISTORTIONS:
        fields["distortions"] = saved.distortions
    lines = [f"format = {FORMAT_VERSION}"]
    for key, value in fields.items():
        text = _text(value) if isinstance(value, str) else f"[{', '.join(map(_text, value))}]"
        lines.append(f"{key} = {text}")
    for title, numbers in (("importances", saved.importances), ("figures", saved.figures)):
        if numbers:
            lines += ["", f"[{title}]"]
            lines += [f"{_key(name)} = {float(value)!r}" for name, value in numbers.items()]
    return "\n".join(lines) + "\n"


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"origin": "from"}):
    """What a file holds."""

    format: int
    name: str
    why: str
    origin: str
    ranking: str | None = None
    importances: dict[str, float] | None = None
    distortions: tuple[str, ...] = DISTORTIONS
    figures: dict[str, float] = {}


def _saved(file: _File) -> SavedContext:
    ranking = None if file.ranking is None else parse_ranking(file.ranking, file.distortions)
    importances = file.importances
    if importances is not None:
        importances = check_importances(importances, file.distortions)
    return SavedContext(
        name=file.name,
        why=file.why.strip(),
        origin=file.origin.strip(),
        ranking=ranking,
        importances=importances,
        figures=file.figures,
        distortions=file.distortions,
    )


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    # A JSON string is a TOML one, but for the one control character that JSON leaves alone.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
