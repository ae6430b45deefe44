"""One table for two readers: printed in a terminal, and as Markdown in the documents."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table as RichTable

Row = Sequence[str]

PIPED_WIDTH = 140
"""Columns when the output is no terminal: rich would take 80, and break long rows."""


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Attributes:
        columns: headings.
        rows: cells, as many in each row as there are columns.
        title: one line for the terminal; the documents have headings of their own.
    """

    columns: Row
    rows: Sequence[Row]
    title: str = ""

    def print(self) -> None:
        """Print the table on standard output."""
        table = RichTable(*self.columns, title=self.title or None, box=box.SIMPLE)
        for row in self.rows:
            table.add_row(*row)
        width = None if sys.stdout.isatty() else PIPED_WIDTH
        Console(highlight=False, markup=False, width=width).print(table)

    def markdown(self) -> str:
        """Return the table as Markdown, without a final newline."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(_line(cells) for cells in lines)


def _line(cells: Row) -> str:
    # A bare "|" ends a cell.
    text = " | ".join(cell.replace("|", "\\|") for cell in cells)
    return f"| {text} |".replace("|  |", "| |")
