"""``dps-infer config``: the settings that apply to a file, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dps_infer.commands.shared import options, run
from dps_infer.commands.shared.regions import GateOrRuleOption, IgnoreOption, MaskOption
from dps_infer.commands.shared.rules import ConfigOption, NoConfigOption, read_book

if TYPE_CHECKING:
    from dps_infer.rules.layers import Setting


def config(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            help="The reference, which may not exist yet.  [default: no file, so that only the "
            "settings of all files apply]",
        ),
    ] = None,
    rules: ConfigOption = None,
    no_config: NoConfigOption = False,
    context: options.ContextsOption = None,
    ranking: options.RankingsOption = None,
    importance: options.ImportancesOption = None,
    context_name: options.ContextNamesOption = None,
    threshold: options.ThresholdOption = None,
    gate: GateOrRuleOption = None,
    ignore: IgnoreOption = None,
    mask: MaskOption = None,
    resize: options.ResizeOrRuleOption = None,
    as_json: options.JsonOption = False,
    debug: run.DebugOption = False,
) -> None:
    """Show which settings apply to a file, and why: from dps.toml, an option, or by default.

    Without FILE, the tables of dps.toml are listed as well. Everything that it names is checked.
    """
    book = read_book(
        config=rules,
        no_config=no_config,
        context=context,
        ranking=ranking,
        importance=importance,
        context_name=context_name,
        threshold=threshold,
        gate=gate,
        ignore=ignore,
        mask=mask,
        resize=resize,
    )
    path = None if book.file is None else book.file.path
    settings = book.settings(file)
    tables = [] if book.file is None else book.file.tables
    applied = book.tables_of(file)
    if as_json:
        run.print_json(
            {
                "rules": None if path is None else str(path),
                "file": None if file is None else str(file),
                "settings": {
                    key: {"value": _value(setting.value), "source": setting.source}
                    for key, setting in settings.items()
                },
                "tables": [
                    {"glob": list(table.globs), "applies": number in applied}
                    for number, table in enumerate(tables)
                ],
            }
        )
        return
    lines = [f"rules: {'none' if path is None else _here(path)}", *_lines(settings)]
    if file is None:
        lines += (
            f"{table.layer.source}: {', '.join(_words(table.layer.values))}" for table in tables
        )
    run.print_lines(lines)


def _here(path: Path) -> Path:
    """Return a path relative to the current folder, if it is in there."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _lines(settings: Mapping[str, Setting]) -> list[str]:
    from dps_infer.show.columns import align_columns

    rows = [[key, _text(one.value), one.source] for key, one in settings.items()]
    return align_columns([["setting", "value", "from"], *rows])


def _words(values: Mapping[str, Any]) -> Iterable[str]:
    return (f"{key} {_text(value)}" for key, value in values.items())


def _text(value: Any) -> str:
    """Return a value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    value = _value(value)
    if isinstance(value, list):
        value = " ".join(value)
    return "none" if value in (None, "") else str(value)


def _value(value: Any) -> Any:
    """Return a value for JSON."""
    from dps_infer.rules.layers import ContextChoice

    if isinstance(value, ContextChoice):
        return value.words() or None
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
