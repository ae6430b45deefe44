"""The look of all command lines: help with examples and groups, ``-h``, ``--quiet``, completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from dps_infer.commands.shared.run import be_quiet

UNGROUPED = "Commands"
PROGRAM = "PROGRAM"
"""Stands for the name of the running program in examples that several programs share."""


def make_app(**settings: Any) -> typer.Typer:
    """Return a Typer app whose help is plain text; see `typer.Typer` for the settings.

    Its commands are listed in groups, by their ``rich_help_panel``. Register them with
    ``cls=Command``, for the options that all commands share.
    """
    return typer.Typer(
        **{
            "cls": Group,
            "add_completion": False,
            "pretty_exceptions_enable": False,
            "rich_markup_mode": None,
            "context_settings": {"help_option_names": ["-h", "--help"]},
            **settings,
        }
    )


def add(
    app: typer.Typer,
    function: Callable[..., None],
    *,
    examples: Sequence[str],
    exit_codes: str,
    group: str = UNGROUPED,
    purpose: str | None = None,
    name: str | None = None,
) -> None:
    """Register a command.

    Args:
        app: made by `make_app`.
        function: the command.
        examples: command lines for its help.
        exit_codes: a sentence that lists them.
        group: the heading that it is listed under.
        purpose: what it is for, in the list; None takes its docstring.
        name: its name, if that is not the one of the function.
    """
    app.command(
        name,
        cls=Command,
        epilog=epilog(examples, exit_codes),
        short_help=purpose,
        rich_help_panel=group,
    )(function)


def epilog(examples: Sequence[str], exit_codes: str) -> str:
    """Return the end of a help: examples, each on its line, and the exit codes."""
    # The mark keeps the lines of a paragraph as they are.
    lines = ["\b", "Examples:", *(f"  {example}" for example in examples)]
    return "\n".join([*lines, "", exit_codes])


class Command(TyperCommand):
    """A command that also takes ``--quiet``."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params.append(_quiet_option())

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples and exit codes."""
        _write_epilog(self.epilog, ctx, formatter)


class Group(TyperGroup):
    """A group of commands that takes ``--quiet``, and lists its commands by their groups."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.params.append(_quiet_option())

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples and exit codes."""
        _write_epilog(self.epilog, ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands, a section for each group in the order of their registration."""
        groups: dict[str, list[tuple[str, Any]]] = {}
        for name in self.list_commands(ctx):
            command = self.get_command(ctx, name)
            if command is not None and not command.hidden:
                heading = getattr(command, "rich_help_panel", None)
                heading = heading if isinstance(heading, str) else UNGROUPED
                groups.setdefault(heading, []).append((name, command))
        # All sections have one indentation.
        width = max((len(name) for rows in groups.values() for name, _ in rows), default=0)
        limit = formatter.width - 6 - width
        for heading, commands in groups.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(name.ljust(width), c.get_short_help_str(limit)) for name, c in commands]
                )


def _write_epilog(text: str | None, ctx: Any, formatter: Any) -> None:
    """Write the end of a help: with a margin, and the program's name in shared examples."""
    if text:
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(text.replace(PROGRAM, str(ctx.find_root().info_name)))


def _quiet_option() -> TyperOption:
    def callback(_context: Any, _option: Any, wanted: bool) -> None:
        if wanted:
            be_quiet(True)

    return TyperOption(
        param_decls=["--quiet", "-q"],
        is_flag=True,
        default=False,
        expose_value=False,
        callback=callback,
        help="Print results and errors only: no notes and no progress.",
    )
