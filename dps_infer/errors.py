"""Every error that a user's input or machine can cause, each with its exit code.

The three command lines print the one line of a `DpsError` (of a `DataError`, a line for
each problem) and leave with its `exit_code`. Anything else is a defect of the toolkit,
told in one line as well; both show their traceback with ``--debug``
(`dps_infer.commands.shared.run`).
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_PROBLEMS = 50
"""So many problems are told of at once; of the rest, how many there are."""


class DpsError(Exception):
    """Something broke. The message is one line: what was expected, what came, what to do."""

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """What to print, each on a line of its own."""
        return (str(self),)


class UsageError(DpsError):
    """What was asked for makes no sense: a wrong option value or combination."""

    exit_code = 2


class RankingError(UsageError):
    """A ranking or a set of importances that cannot be understood."""


class ImageError(DpsError):
    """An image that is missing, unreadable, refused by the decode policy or of another size."""


class ContextError(DpsError):
    """A file that is not a context file this version can trust and run."""


class TableError(DpsError):
    """A file of pairs or of results that cannot be read: no such table, or columns missing."""


class ThresholdError(DpsError):
    """A threshold that cannot be estimated, read, or used in this context."""


class OutputError(DpsError):
    """An output that exists already or cannot be written."""


class DeviceError(DpsError):
    """An execution provider or a runtime that was asked for and is not usable here."""


class DataError(DpsError):
    """Data of the user's own that are wrong, perhaps in many places.

    Args:
        problems: all that were found, one line each: where, what was expected, what came.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.lines))

    @property
    def lines(self) -> tuple[str, ...]:
        """See `DpsError`: the first problems, and how many more there are."""
        more = len(self.problems) - MOST_PROBLEMS
        told = self.problems[:MOST_PROBLEMS]
        return (*told, f"and {more} more problem{'s' * (more > 1)}") if more > 0 else told
