"""Options for the rules of a project, and the options that override them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dps_infer.compare.regions.gate import Gate
from dps_infer.errors import UsageError

if TYPE_CHECKING:
    from dps_infer.rules.book import RuleBook

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The rules (dps.toml): contexts, thresholds and more, for some files or all. Options "
        "override them.  [default: dps.toml in the current folder, or the nearest one above it]",
    ),
]
NoConfigOption = Annotated[bool, typer.Option("--no-config", help="Read no dps.toml.")]


def read_book(
    *,
    config: Path | None,
    no_config: bool,
    context: Sequence[Path] | None,
    ranking: Sequence[str] | None,
    importance: Sequence[str] | None,
    context_name: Sequence[str] | None,
    threshold: str | None,
    gate: Gate | None,
    ignore: Sequence[str] | None,
    mask: Path | None,
    resize: bool | None,
) -> RuleBook:
    """Return the rules that apply: those of a file, below these options.

    Raises:
        RulesError: the file is not valid.
        UsageError: options contradict each other.
    """
    from dps_infer.bulk.thresholds import number_of
    from dps_infer.rules.book import RuleBook
    from dps_infer.rules.file import find_rules, read_rules
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

    if config is not None and no_config:
        raise UsageError("--config names rules and --no-config reads none: give one")
    path = None if no_config else config or find_rules()
    file = None if path is None else read_rules(path)
    limit: float | str | None = threshold
    if threshold is not None and (number := number_of(threshold)) is not None:
        limit = number
    contexts = {
        "--context": context,
        "--ranking": ranking,
        "--importance": importance,
        "--context-name": context_name,
    }
    choice = ContextChoice(
        tuple(context or ()),
        tuple(ranking or ()),
        tuple(importance or ()),
        tuple(context_name or ()),
    )
    sources = {
        CONTEXT: " and ".join(option for option, values in contexts.items() if values),
        RESIZE: "--no-resize" if resize is False else "--resize",
    }
    given: dict[str, Any] = {
        CONTEXT: choice or None,
        THRESHOLD: limit,
        GATE: None if gate is None else gate.value,
        IGNORE: tuple(ignore) if ignore else None,
        MASK: mask,
        RESIZE: resize,
    }
    options = [
        Layer(sources.get(key, f"--{key}"), {key: value})
        for key, value in given.items()
        if value is not None
    ]
    return RuleBook(file, options)
