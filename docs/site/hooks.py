"""Pages and links of the site that MkDocs does not find in docs/ by itself.

The documents outside of docs/ become pages, and their links, which are right on GitHub and in a
checkout, are rewritten to where their targets are on the site. Files of the project that a page
links to, such as examples, are copied to it.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = "docs/"
PAGES = {
    "README.md": "overview.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CHANGELOG.md": "project/changelog.md",
    "clients/js/README.md": "clients/javascript.md",
}
"""The documents outside of docs/, and where they are on the site."""

SCHEMAS = "json/index.md"
NOTEBOOK, NOTEBOOK_PAGE = "examples/tutorials/first-comparison.ipynb", "tutorials/notebook.md"
_SOURCES = {target: source for source, target in PAGES.items()}
# A fenced block, which stays as it is; or the target of a link or picture.
_LINK = re.compile(r"^ *```.*?^ *```$|(?<=\]\()[^)\s]+(?=\))", flags=re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents outside of docs/, and a page that lists the JSON Schemas."""
    for source, target in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, target, content=text))
    names = sorted(path.name for path in (ROOT / DOCS / "json").glob("*.json"))
    listed = "\n".join(f"- [{name}]({name})" for name in names)
    text = f"# JSON Schemas\n\nOf everything that `--json` prints, and of `dps.toml`.\n\n{listed}\n"
    files.append(File.generated(config, SCHEMAS, content=text))
    files.append(File.generated(config, NOTEBOOK_PAGE, content=_notebook_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page that lead out of docs/, or come from there."""
    here = page.file.src_uri
    origin = _SOURCES.get(here, DOCS + here)

    def rewrite(match: re.Match[str]) -> str:
        found = match[0]
        if found.lstrip().startswith("```") or re.match(r"\w+:|#", found):
            return found
        path, _, anchor = found.partition("#")
        linked = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        target = _target(linked, config, files)
        relative = posixpath.relpath(target, posixpath.dirname(here) or ".")
        return relative + (f"#{anchor}" if anchor else "")

    return _LINK.sub(rewrite, markdown)


def _notebook_page() -> str:
    """Return the notebook as a page: its texts, its code, and the stored outputs."""
    parts = []
    for cell in json.loads((ROOT / NOTEBOOK).read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            if "text" in output:
                parts.append(f"```text\n{''.join(output['text']).rstrip()}\n```")
            picture = "".join(output.get("data", {}).get("image/jpeg", [])).replace("\n", "")
            if picture:
                parts.append(f"![output](data:image/jpeg;base64,{picture})")
    return "\n\n".join(parts) + "\n"


def _target(linked: str, config: MkDocsConfig, files: Files) -> str:
    """Return where a file of the project is on the site, and put it there if it is not yet."""
    if linked in PAGES:
        return PAGES[linked]
    if linked == NOTEBOOK:
        return NOTEBOOK_PAGE
    if linked.startswith(DOCS):
        target = linked.removeprefix(DOCS)
        return f"{target}/index.md" if (ROOT / linked).is_dir() else target
    source = ROOT / linked
    # What does not exist is left to MkDocs, which warns of it.
    if source.is_file() and files.get_file_from_path(linked) is None:
        files.append(File.generated(config, linked, abs_src_path=os.fspath(source)))
    return linked
