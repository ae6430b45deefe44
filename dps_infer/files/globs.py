"""Globs of file names.

``*`` stands for any characters of a name, ``?`` for one, ``[a-z]`` for one of several, ``[!a-z]``
for one of the others, and ``**`` for any folders, or at the end for everything below. A glob
matches the end of a path, so that ``charts/*.png`` matches ``baselines/charts/a.png``; one that
begins with a slash matches from the root. Upper and lower case differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dps_infer.errors import UsageError


def compile_globs(globs: Iterable[str], *, rooted: bool = False) -> re.Pattern[str]:
    """Return an expression whose `fullmatch` tells whether any glob matches a path.

    Paths are relative to the root, with forward slashes. With `rooted`, all globs match from there.

    >>> bool(compile_globs(["charts/*.png"]).fullmatch("baselines/charts/a.png"))
    True
    >>> bool(compile_globs(["/charts/*.png"]).fullmatch("baselines/charts/a.png"))
    False

    Raises:
        UsageError: a glob is not valid.
    """
    return re.compile("|".join(f"(?:{_expression(glob, rooted)})" for glob in globs), re.DOTALL)


def _expression(glob: str, rooted: bool) -> str:
    *folders, last = glob.removeprefix("/").split("/")
    if not last:
        raise UsageError(f"the glob {glob!r} names no files: expected one like *.png or charts/**")
    parts = ["" if rooted or glob.startswith("/") else "(?:.*/)?"]
    for folder in folders:
        parts.append("(?:[^/]+/)*" if folder == "**" else _segment(folder, glob) + "/")
    parts.append(".+" if last == "**" else _segment(last, glob))
    expression = "".join(parts)
    try:
        re.compile(expression)
    except re.error as error:
        raise UsageError(f"the glob {glob!r} has an invalid [...]: {error.msg}") from None
    return expression


def _segment(text: str, glob: str) -> str:
    """Return the expression for one name in a path."""
    if text in ("", ".", "..") or "\\" in text:
        raise UsageError(
            f"the glob {glob!r} is not valid: expected names separated by single forward slashes"
        )
    if "**" in text:
        raise UsageError(f"the glob {glob!r} is not valid: ** stands alone between slashes")
    found = []
    for token in re.findall(r"\*|\?|\[!?\]?[^\]]*\]|.", text, flags=re.DOTALL):
        if token == "[":
            raise UsageError(f"the glob {glob!r} has no ] for its [")
        if token == "*":
            found.append("[^/]*")
        elif token == "?":
            found.append("[^/]")
        elif token.startswith("["):
            negated = token.startswith("[!")
            if token in ("[]", "[!]"):
                raise UsageError(f"the glob {glob!r} has an empty {token}")
            inside = re.sub(r"([\[\]\\^&~|])", r"\\\1", token[1 + negated : -1])
            found.append(f"[^/{inside}]" if negated else f"[{inside}]")
        else:
            found.append(re.escape(token))
    return "".join(found)
