"""The imports of our modules, read from their source, and the tables of them in ARCHITECTURE.md.

``python tests/architecture_helpers.py`` prints the tables as the code would have them now.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "ARCHITECTURE.md"
PACKAGES = {"dps_infer": "dps_infer", "dps_train": "dps_train", "dps_export": "export"}
"""The folder of each package."""

ALL, NOTHING = "all of it", "nothing"
"""Words of the tables."""

Graph = Mapping[str, set[str]]
Arrow = tuple[str, str]


def module_files() -> dict[str, Path]:
    """Our modules and their files; a package is named without ``__init__``."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join((package, *parts)).removesuffix(".__init__")] = path
    return found


FILES = module_files()


def imported_names(path: Path) -> Iterator[str]:
    """The modules that a file imports anywhere: in functions and for type checking too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            assert node.module
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in FILES else node.module


IMPORTS: Graph = {module: set(imported_names(path)) for module, path in FILES.items()}
"""The imports of each module: ours by their full names, others as written."""


def circles(graph: Graph) -> list[list[str]]:
    """The groups of nodes that reach each other (Tarjan's strongly connected components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node] & graph.keys()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            start = stack.index(node)
            group = stack[start:]
            del stack[start:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in graph:
        if node not in index:
            visit(node)
    return found


def place(module: str) -> str:
    """Where a module lies, as the tables see it.

    A folder directly in a package, with its subfolders: ``dps_infer/commands``. For a module
    directly in dps_infer or dps_train its file; all of export is one place.
    """
    path = FILES[module].relative_to(ROOT)
    if path.parts[0] == "export":
        return "export"
    return "/".join(path.parts[:2])


def base_files() -> set[str]:
    """The files that everything above them may import, by the page."""
    listed = re.search(r"The base modules \((.*?)\)", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert listed, "ARCHITECTURE.md lists no base modules"
    return set(re.findall(r"`([^`]+)`", listed[1]))


def actual_arrows() -> dict[Arrow, list[str]]:
    """The imports between places, with the modules that make them; base modules left out."""
    found: dict[Arrow, list[str]] = defaultdict(list)
    base = base_files()
    for module, names in IMPORTS.items():
        for name in sorted(names & FILES.keys()):
            arrow = (place(module), place(name))
            if len(set(arrow)) == 2 and place(name) not in base:
                found[arrow].append(f"{module} imports {name}")
    return found


def stated_arrows() -> set[Arrow]:
    """The imports that the page states; see `tables` for its form."""
    section = PAGE.read_text("utf-8").split("## Who may import whom\n")[1].split("\n## ")[0]
    arrows = set()
    columns: list[str] = []
    for line in re.findall(r"^\|(.*)\|$", section, flags=re.MULTILINE):
        cells = [cell.strip() for cell in line.split("|")]
        if cells[0].startswith("in "):
            columns = [re.sub(r".*`(\w+)/`.*", r"\1", cell) for cell in cells]
        elif not cells[0].startswith("-"):
            source = _full(columns[0], cells[0])
            for package, cell in zip(columns[1:], cells[1:], strict=True):
                names = [] if cell == NOTHING else cell.split(", ")
                arrows |= {(source, _full(package, name)) for name in names}
    return arrows


def _full(package: str, name: str) -> str:
    name = name.strip("`")
    return package if name == ALL else f"{package}/{name}"


def tables() -> str:
    """The tables of all imports between places: a row each, lower ones first."""
    base = base_files()
    imports: dict[str, set[str]] = {
        place(module): set() for module in FILES if place(module) not in base
    }
    for source, target in actual_arrows():
        imports[source].add(target)
    order = _order(imports)
    parts = []
    for folder, others in (
        ("dps_infer", ["dps_infer"]),
        ("dps_train", ["dps_train", "dps_infer"]),
        ("export", ["dps_train", "dps_infer"]),
    ):
        titles = [f"in `{folder}/`", *(f"imports from `{other}/`" for other in others)]
        rows = [titles, ["---"] * len(titles)]
        for name in (name for name in order if _in(name, folder)):
            if name.endswith("__init__.py") and not imports[name]:
                continue
            used = [target for target in order if target in imports[name]]
            cells = (", ".join(_short(t) for t in used if _in(t, other)) for other in others)
            rows.append([_short(name), *(cell or NOTHING for cell in cells)])
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    return "\n\n".join(parts)


def _in(name: str, package: str) -> bool:
    return name.split("/")[0] == package


def _short(name: str) -> str:
    short = name.partition("/")[2] or ALL
    return f"`{short}`" if "." in short else short


def _order(imports: Graph) -> list[str]:
    """Places in an order in which each comes after all that it imports, if there is one."""
    order: list[str] = []
    left = sorted(imports)
    while left:
        ready = [name for name in left if imports[name] <= {*order, name}] or left[:1]
        order += ready
        left = [name for name in left if name not in ready]
    return order


def stated_paths(pattern: str) -> Iterable[tuple[str, ...]]:
    """All matches of a pattern in the page, whose line breaks count as blanks."""
    return re.findall(pattern, " ".join(PAGE.read_text("utf-8").split()))


if __name__ == "__main__":
    print(tables())
