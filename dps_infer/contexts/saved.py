"""Saved contexts: small TOML files that people read, edit and pass on.

    format = 1
    name = "print-inspection"
    why = "The sheet never lies the same way twice; a color cast is a defect."
    from = "what our inspectors reject"
    ranking = "translate=rotate,zoom,darken,blur,color"

A table `importances`, a number per name, may stand in place of `ranking`; names that it leaves
out count 0. A table `figures` holds numbers about the context, by any name. `distortions` lists
the names that the context may use, if they are not `KINDS`. The file has the name
of the context: ``print-inspection.toml``. `dps_infer.contexts.folders` finds the files.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from dps_infer.contexts.context import Context, importance_context, ranking_context
from dps_infer.contexts.ranking import KINDS, OTHER, format_ranking
from dps_infer.errors import ContextError, RankingError, UsageError
from dps_infer.files.toml import read_toml
from dps_infer.files.write import atomic_file, check_output

FORMAT_VERSION = 1
"""The one format of saved contexts that this version reads and writes."""

SUFFIX = ".toml"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def saved_context(
    name: str,
    why: str,
    origin: str,
    *,
    ranking: str | None = None,
    importances: Mapping[str, float] | None = None,
    figures: Mapping[str, float] | None = None,
    distortions: Sequence[str] = KINDS,
) -> Context:
    """Return a context that can be saved.

    Args:
        name: see `check_name`.
        why: the reasons, for people.
        origin: where it came from, for people; ``from`` in the file.
        ranking: as text.
        importances: in place of a ranking; missing ones are 0.
        figures: finite numbers about the context.
        distortions: the names that it may use, in the order of their numbers.

    Raises:
        UsageError: a bad name, no reasons, not exactly one of ranking and importances, or one
            that is not valid.
    """
    if (ranking is None) == (importances is None):
        got = "none" if ranking is None else "both"
        raise UsageError(f"context {name}: expected a ranking or importances, got {got}: give one")
    if OTHER in distortions or len(set(distortions)) < len(distortions):
        raise UsageError(
            f"context {name}: its distortions are {', '.join(distortions)}: "
            f"expected each once, and no {OTHER}"
        )
    try:
        if ranking is not None:
            context = ranking_context(ranking, distortions)
        else:
            context = importance_context(importances or {}, distortions)
    except RankingError as error:
        raise RankingError(f"context {name}: {error}") from None
    return check_saved(
        replace(context, name=name, why=why.strip(), origin=origin.strip(), figures=figures or {})
    )


def check_saved(context: Context) -> Context:
    """Return a context if a file can hold it.

    Raises:
        UsageError: a bad name, no reasons, no origin, or a figure that is not finite.
    """
    name = check_name(context.name or "")
    for label, text in (("why", context.why), ("from", context.origin)):
        if not text.strip():
            raise UsageError(f"context {name}: its {label!r} is empty: say it in words")
    for figure, value in context.figures.items():
        if not math.isfinite(value):
            raise UsageError(
                f"context {name}: its figure {figure!r} is {value}: expected a finite number"
            )
    return context


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


def read_saved(path: Path) -> Context:
    """Read a saved context.

    Raises:
        ContextError: the file cannot be read, is no TOML, of another format version, or not
            valid: a missing or surplus field, a wrong type, no context or two, an unknown
            name, a number out of range, or a name that differs from the file's.
    """
    label = "a saved context (.toml)"
    raw = read_toml(path, expected=label, error=ContextError)
    version = raw.get("format")
    # The version is checked first: a newer format may well have fields that are unknown here.
    if type(version) is not int or version < 1:
        raise ContextError(f"{path}: states no format version: expected format = {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise ContextError(
            f"{path}: has format {version}, this version reads {FORMAT_VERSION}: "
            "upgrade dps-toolkit"
        )
    try:
        file = msgspec.convert(raw, _File)
        context = saved_context(
            file.name,
            file.why,
            file.origin,
            ranking=file.ranking,
            importances=file.importances,
            figures=file.figures,
            distortions=file.distortions,
        )
    except (msgspec.ValidationError, OverflowError, UsageError) as error:
        raise ContextError(f"{path}: is not a valid saved context ({error}): edit it") from None
    if context.name != path.stem:
        raise ContextError(
            f"{path}: holds the context {context.name!r}: call the file {context.name}{SUFFIX}, "
            f"or the context {path.stem}"
        )
    return context


def write_saved(
    context: Context, folder: Path, *, force: bool = False, inputs: Sequence[Path] = ()
) -> Path:
    """Write a context into a folder, whole or not at all; files in `inputs` are not replaced.

    Returns:
        The file, named after the context.

    Raises:
        OutputError: it exists (without `force`) or cannot be written.
        UsageError: a file cannot hold it (`check_saved`), or its texts are not Unicode.
    """
    check_saved(context)
    path = folder / f"{context.name}{SUFFIX}"
    try:
        data = format_saved(context).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError(f"context {context.name}: is no Unicode text ({error.reason})") from None
    check_output(path, force=force, inputs=inputs)
    with atomic_file(path, force=force) as temporary:
        temporary.write_bytes(data)
    return path


def format_saved(context: Context) -> str:
    """Return a context as TOML that `read_saved` reads."""
    fields: dict[str, str | Sequence[str]] = {
        "name": context.name or "",
        "why": context.why,
        "from": context.origin,
    }
    if context.ranking is not None:
        fields["ranking"] = format_ranking(context.ranking)
    if context.distortions != KINDS:
        fields["distortions"] = context.distortions
    lines = [f"format = {FORMAT_VERSION}"]
    for key, value in fields.items():
        text = _text(value) if isinstance(value, str) else f"[{', '.join(map(_text, value))}]"
        lines.append(f"{key} = {text}")
    importances = context.importances if context.ranking is None else {}
    for title, numbers in (("importances", importances), ("figures", context.figures)):
        if numbers:
            lines += ["", f"[{title}]"]
            lines += [f"{_key(name)} = {float(value)!r}" for name, value in numbers.items()]
    return "\n".join(lines) + "\n"


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"origin": "from"}):
    """The fields of a file."""

    format: int
    name: str
    why: str
    origin: str
    ranking: str | None = None
    importances: dict[str, float] | None = None
    distortions: tuple[str, ...] = KINDS
    figures: dict[str, float] = {}


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _text(name)


def _text(value: str) -> str:
    # A JSON string is a valid TOML string, except for DEL, which JSON does not escape.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
