"""The content of the pages: blocks of commands and code, code spans, links and headings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", flags=re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", flags=re.MULTILINE)
_VARIABLE = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Command:
    """A command that a page tells its readers to run.

    Attributes:
        page: the page, relative to the project.
        line: the command as it is written, on one line.
        words: its words, without comments and variables.
    """

    page: str
    line: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes:
        language: as stated behind its first fence.
        content: what lies between the fences.
        start: where it starts on the page, with its fences.
        end: where it ends.
        adjacent: whether it follows another block with nothing between them.
    """

    language: str
    content: str
    start: int
    end: int
    adjacent: bool


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def all_blocks(path: Path) -> Iterator[Block]:
    """The code blocks of a page, in their order."""
    text = path.read_text(encoding="utf-8")
    end = -1
    for match in _BLOCK.finditer(text):
        adjacent = end >= 0 and not text[end : match.start()].strip()
        yield Block(match[2], match[3], match.start(), match.end(), adjacent)
        end = match.end()


def blocks(path: Path, language: str) -> list[str]:
    """The contents of a page's code blocks in one language."""
    return [block.content for block in all_blocks(path) if block.language == language]


def block_commands(path: Path, block: Block) -> Iterator[Command]:
    """The commands of an ``sh`` block; lines that end in a backslash are joined."""
    for line in block.content.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and _VARIABLE.fullmatch(words[0]):
            words = words[1:]
        if words:
            yield Command(page_name(path), " ".join(line.split()), tuple(words))


def commands(path: Path) -> Iterator[Command]:
    """The commands in the ``sh`` blocks of a page."""
    for block in all_blocks(path):
        if block.language == "sh":
            yield from block_commands(path, block)


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return _BLOCK.sub("", path.read_text(encoding="utf-8"))


def spans(path: Path) -> list[str]:
    """The code spans of a page, each on one line."""
    return [" ".join(span.split()) for span in _SPAN.findall(prose(path))]


def links(path: Path) -> list[str]:
    """The targets of a page's links and pictures that lie in this project."""
    targets = _LINK.findall(prose(path))
    return [target for target in targets if not target.startswith(("http:", "https:", "mailto:"))]


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = _HEADING.findall(prose(path))
    slugs = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {slug.replace(" ", "-") for slug in slugs}
