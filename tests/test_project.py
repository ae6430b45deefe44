"""Checks on the project itself: its metadata, its packages, and its community files."""

from __future__ import annotations

import doctest
import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dps_infer.extras import how_to_install

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
FOLDERS = {"dps_infer": "dps_infer", "dps_train": "dps_train", "dps_export": "export"}
CONSTRAINTS = [
    line
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


def normalised(requirement: str) -> str:
    """The bare name of a requirement, as package indexes compare it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def modules(package: str) -> list[str]:
    folder = ROOT / FOLDERS[package]
    paths = sorted(path.relative_to(folder) for path in folder.rglob("*.py"))
    names = [".".join((package, *path.with_suffix("").parts)) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def test_installed_version_is_the_declared_one():
    assert importlib.metadata.version("dps-toolkit") == PROJECT["project"]["version"]


def test_changelog_starts_with_unreleased_or_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[(.+?)\]", changelog, flags=re.MULTILINE)
    assert headings[0] in ("Unreleased", PROJECT["project"]["version"])


@pytest.mark.parametrize("package", FOLDERS)
def test_packages_are_typed_and_imported_from_their_folder(package: str):
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin) == ROOT / FOLDERS[package] / "__init__.py"
    assert (ROOT / FOLDERS[package] / "py.typed").is_file()


def test_every_package_folder_is_declared():
    found = {
        ".".join((package, *init.parent.relative_to(ROOT / folder).parts))
        for package, folder in FOLDERS.items()
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == found


@pytest.mark.parametrize("script", ["dps-train", "dps-export", "dps-infer"])
def test_console_script_is_there(script: str):
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name=script)
    assert entry.value == PROJECT["project"]["scripts"][script]
    assert callable(entry.load())


def test_extras_never_bring_both_runtimes():
    extras = PROJECT["project"]["optional-dependencies"]
    runtimes = {
        extra: {normalised(line) for line in lines} & {"onnxruntime", "onnxruntime-gpu"}
        for extra, lines in extras.items()
    }
    assert {extra: found for extra, found in runtimes.items() if found} == {
        "cpu": {"onnxruntime"},
        "gpu": {"onnxruntime-gpu"},
    }


def test_what_training_needs_is_known_where_it_is_missing():
    modules = {"onnx-ir": "onnx_ir", "scikit-image": "skimage"}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = {normalised(line) for line in extras["train"]}
    for name in wanted:
        assert how_to_install(modules.get(name, name)), name
    assert {normalised(line) for line in extras["export"]} == {"onnx"}


def test_base_installation_is_light():
    base = {normalised(line) for line in PROJECT["project"]["dependencies"]}
    light = {
        "msgspec",
        "numpy",
        "opencv-python-headless",
        "platformdirs",
        "rich",
        "simplejpeg",
        "tomli",
        "typer",
    }
    assert base == light


def test_constraints_are_exact_versions_and_nothing_else():
    exact = re.compile(r'[a-z0-9-]+==[0-9][0-9a-z.]*(; python_version >= "3\.\d+")?')
    assert [line for line in CONSTRAINTS if not exact.fullmatch(line)] == []
    names = [normalised(line) for line in CONSTRAINTS]
    assert names == sorted(set(names))


def test_constraints_cover_what_make_installs():
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"]]
    wanted += [line for extra in ("cpu", "train", "dev", "docs") for line in extras[extra]]
    wanted = [line for line in wanted if "python_version <" not in line]
    assert {normalised(line) for line in wanted} <= {normalised(line) for line in CONSTRAINTS}


def test_no_lock_file_is_tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert [name for name in tracked if re.search(r"(\.lock|lock\.(json|ya?ml|toml))$", name)] == []


# By hand rather than by `pytest --doctest-modules`, which would import the folder `export/` under
# that name, beside `dps_export`.
@pytest.mark.parametrize("module", [name for package in FOLDERS for name in modules(package)])
def test_examples_in_docstrings(module: str):
    result = doctest.testmod(importlib.import_module(module))
    assert result.failed == 0
