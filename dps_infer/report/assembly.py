"""Assemble the page: template, style and scripts from ``page/``, and the data as inline JSON.

The page loads nothing and runs only its own scripts: the content security policy in its head
lists them by their hashes. Data enters it in two ways only, both here: the title, escaped as HTML,
and the inline JSON, which escapes ``<`` and all characters that are not ASCII.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("page")
SCRIPTS = (
    "base.js",
    "columns.js",
    "model.js",
    "overview.js",
    "table.js",
    "facts.js",
    "zoom.js",
    "views.js",
    "viewer.js",
    "print.js",
    "main.js",
)


def assemble(title: str, data: Any) -> bytes:
    """Return the page: HTML, UTF-8, the same bytes for the same content.

    Args:
        title: its heading.
        data: the object that its scripts know as `report`.
    """
    style = _file("page.css")
    script = "\n".join(_file(name) for name in SCRIPTS)
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    filling = {
        "policy": html.escape(policy),
        "title": html.escape(title),
        "style": style,
        "script": script,
        "data": inline_json(data),
    }
    # In one pass, so that no inserted text is mistaken for a placeholder.
    page = re.sub(r"\{\{(\w+)\}\}", lambda place: filling[place[1]], _file("page.html"))
    # Names of files may hold bytes that are not UTF-8.
    return page.encode("utf-8", errors="xmlcharrefreplace")


def inline_json(data: Any) -> str:
    r"""Return data as ASCII JSON that cannot close the element around it.

    >>> print(inline_json("</script>"))
    "\u003c/script>"
    """
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def _file(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the hash by which a content security policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
