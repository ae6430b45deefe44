"""The errors that a user's input or machine can cause, with their exit codes.

The three commands print a `DpsError` in one line (a `DataError` in one line per problem) and exit
with its `exit_code`. Any other exception is a defect of the toolkit and is also printed in one
line. With ``--debug`` both show their traceback (`dps_infer.commands.shared.run`).
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_PROBLEMS = 50
"""Maximum number of problems printed at once; the others are counted."""


class DpsError(Exception):
    """An error with a one-line message: the expectation, the actual value, the remedy."""

    exit_code = 1

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines to print."""
        return (str(self),)


class UsageError(DpsError):
    """A wrong option value or combination of options."""

    exit_code = 2


class RankingError(UsageError):
    """A ranking or a set of importances that cannot be understood."""


class ImageError(DpsError):
    """An image that is missing, unreadable, refused by the decode policy or of another size."""


class ContextError(DpsError):
    """A file that is not a context file this version can trust and run."""


class TableError(DpsError):
    """A table of pairs or results that is unreadable, invalid or lacks columns."""


class ThresholdError(DpsError):
    """A threshold that cannot be estimated, read, or used in this context."""


class RulesError(DpsError):
    """A file of rules (``dps.toml``) that cannot be read, or is not valid."""


class OutputError(DpsError):
    """An output that exists already or cannot be written."""


class DeviceError(DpsError):
    """A requested execution provider or runtime that cannot be used on this machine."""


class DataError(DpsError):
    """Invalid data of the user, with all problems that were found.

    Args:
        problems: one line each: the place, the expectation, the actual value.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.lines))

    def __reduce__(self) -> tuple[type[DataError], tuple[tuple[str, ...]]]:
        """Pickle the problems, for errors that come from other processes."""
        return type(self), (self.problems,)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines to print: the first problems, and the number of the others."""
        first = self.problems[:MOST_PROBLEMS]
        more = len(self.problems) - len(first)
        return (*first, f"and {more} more problem{'s' * (more > 1)}") if more else first
