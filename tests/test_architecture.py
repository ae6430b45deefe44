"""The shape of the code: small folders, imports that flow one way, and a map that is true.

ARCHITECTURE.md states which folder may import which; `architecture_helpers` reads its tables.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest

# pytest imports test files by path (importlib mode), so that their folder is no import path.
sys.path.insert(0, str(Path(__file__).parent))

from architecture_helpers import (
    FILES,
    IMPORTS,
    PAGE,
    ROOT,
    actual_arrows,
    circles,
    stated_arrows,
    stated_paths,
)
from docs_helpers import spans

MOST_FILES = 12
MOST_FILES_IN = {"dps_train": 10}

HEAVY = {"torch", "torchvision", "lightning", "onnx", "dps_train", "dps_export"}
"""Packages that dps_infer may not import."""


@pytest.mark.parametrize(
    "folder", sorted({path.parent.relative_to(ROOT).as_posix() for path in FILES.values()})
)
def test_folders_are_small(folder: str):
    files = [path.name for path in (ROOT / folder).glob("*.py")]
    assert len(files) <= MOST_FILES_IN.get(folder, MOST_FILES), sorted(files)


# --- Imports ----------------------------------------------------------------------------


def test_no_circle_of_imports():
    assert circles(IMPORTS) == []


def test_circles_are_found():
    graph = {"a": {"b"}, "b": {"c", "numpy"}, "c": {"b"}, "d": {"a"}}
    assert circles(graph) == [["b", "c"]]


@pytest.mark.parametrize("module", [name for name in FILES if name.split(".")[0] == "dps_infer"])
def test_the_light_package_stays_light(module: str):
    """Nothing that it imports is, or imports, a heavy package."""
    seen, waiting = {module}, [module]
    while waiting:
        for name in IMPORTS[waiting.pop()]:
            assert name.split(".")[0] not in HEAVY, f"{module} imports {name}"
            if name in FILES and name not in seen:
                seen.add(name)
                waiting.append(name)


def importers(package: str) -> list[str]:
    """The modules that import a package of others."""
    return [m for m, names in IMPORTS.items() if package in {n.split(".")[0] for n in names}]


def test_onnxruntime_is_imported_in_one_file_and_by_the_conversion():
    # The other one converts models, and runs none.
    assert importers("onnxruntime") == ["dps_infer.runtime.engine", "dps_export.lean.precision"]


def test_typer_is_imported_by_command_lines_only():
    users = importers("typer")
    assert "dps_infer.commands.compare" in users
    outside = [m for m in users if "commands" not in m.split(".") and FILES[m].name != "cli.py"]
    assert outside == []


def test_imports_are_those_of_the_page():
    """If the imports are right and the page is not: python tests/architecture_helpers.py."""
    actual, stated = actual_arrows(), stated_arrows()
    assert len(stated) > 60
    surplus = [line for arrow in sorted(actual.keys() - stated) for line in actual[arrow]]
    assert surplus == [], "not in ARCHITECTURE.md"
    assert sorted(stated - actual.keys()) == [], "in ARCHITECTURE.md, but nothing imports it"


def test_folders_import_in_one_direction():
    graph: dict[str, set[str]] = defaultdict(set)
    for source, target in actual_arrows():
        graph[source].add(target)
        graph[target] |= set()
    assert circles(graph) == []


# --- The map is true --------------------------------------------------------------------


def test_every_path_exists():
    tops = {path.name for path in ROOT.iterdir()}
    paths = [span for span in spans(PAGE) if re.fullmatch(r"[\w.-]+/[\w./-]*", span)]
    named = [path for path in paths if path.split("/")[0] in tops]
    assert len(named) > 60
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_files_to_start_with_exist():
    rows = re.findall(r"^\| `(\S+/)` \|[^|]*\|([^|]*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(rows) > 30
    for folder, files in rows:
        for name in re.findall(r"`([^`]+)`", files):
            assert (ROOT / folder / name).exists(), f"{folder}{name}"


def test_every_folder_is_on_the_map():
    listed = set(re.findall(r"^\| `(\S+/)` \|", PAGE.read_text("utf-8"), re.MULTILINE))
    folders = {f"{path.parent.relative_to(ROOT).as_posix()}/" for path in FILES.values()}
    assert folders - listed == set()


def test_what_the_walks_name_is_defined_there():
    """``path/file.py`: `name`` names a function or class of that file."""
    named = stated_paths(r"`([\w/]+\.py)`: `(\w+)`")
    assert len(named) > 25
    missing = [f"{path}: {name}" for path, name in named if name not in top_level_names(path)]
    assert missing == []


def top_level_names(path: str) -> set[str]:
    """The functions and classes that a file defines, outside of others."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {getattr(node, "name", "") for node in tree.body}
