"""Align text in columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def align_columns(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """Return one line per row, with aligned columns.

    Args:
        rows: the cells, equally many in each row, without line breaks.
        right: the columns to align on the right.

    >>> align_columns([["name", "distance"], ["a.png", "0.5"]], right=[1])
    ['name   distance', 'a.png       0.5']
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
