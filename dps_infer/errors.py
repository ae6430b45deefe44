"""Every error that a user's input or machine can cause, each with its exit code.

The three command lines print the one line of a `DpsError` and leave with its
`exit_code`. Anything else is a defect of the toolkit, told in one line as well; both
show their traceback with ``--debug`` (`dps_infer.command`).
"""

from __future__ import annotations


class DpsError(Exception):
    """Something broke. The message is one line: what was expected, what came, what to do."""

    exit_code = 1


class UsageError(DpsError):
    """What was asked for makes no sense: a wrong option value or combination."""

    exit_code = 2


class RankingError(UsageError):
    """A ranking or a set of importances that cannot be understood."""


class ImageError(DpsError):
    """An image that is missing, unreadable, refused by the decode policy or of another size."""


class ContextError(DpsError):
    """A file that is not a context file this version can trust and run."""


class OutputError(DpsError):
    """An output that exists already or cannot be written."""


class DeviceError(DpsError):
    """An execution provider or a runtime that was asked for and is not usable here."""
