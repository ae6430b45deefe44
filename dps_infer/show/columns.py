"""Tables for people: columns of text, aligned."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """Return rows of equal length as lines with aligned columns.

    Args:
        rows: their cells, each one printable line.
        right: the columns that are aligned on the right.

    >>> aligned([["name", "distance"], ["a.png", "0.5"]], right=[1])
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
