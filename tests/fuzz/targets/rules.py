"""Rules (`dps.toml`): refused in one line that names the file, or every file has settings."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from dps_infer.errors import RulesError
from dps_infer.rules.book import RuleBook
from dps_infer.rules.file import read_rules

TEST_INPUTS = 400
NAMES = ("a.png", "charts/a.png", "../elsewhere/\udcff\n.png", "deep/er/[x].webp")


@cache
def _path() -> Path:
    return Path(tempfile.mkdtemp()) / "dps.toml"


@cache
def seeds() -> dict[str, bytes]:
    """Return rules with every key but those that name files."""
    return {
        "small": b'ranking = "color,blur"\nthreshold = 1\n[[files]]\nglob = "*.png"\n',
        "all": b'context-name = "general"\nthreshold = 0.1\ngate = "worst"\nresize = true\n'
        b'ignore = ["0,0,10%,5"]\n\n[[files]]\nglob = ["charts/**", "/[!a-c]*/?.png"]\n'
        b'importance = { color = 0.1, blur = 5 }\nthreshold = 2e-1\n[[files]]\nglob = "**"\n'
        b'importance = "blur=1"\nignore = []\n',
    }


def check(data: bytes, seed: str) -> str:
    """Read the rules, and resolve those of some names."""
    path = _path()
    path.write_bytes(data)
    try:
        book = RuleBook(read_rules(path))
    except RulesError as error:
        return _refused(error, path)
    for name in NAMES:
        settings = book.settings(path.parent / name)
        assert all(setting.source for setting in settings.values())
    return "right"


def _refused(error: RulesError, path: Path) -> str:
    message = str(error)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return "refused"
