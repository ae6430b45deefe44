"""Packages that the light package may load, and the moment when it loads them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from infer_helpers import encode, python

import dps_infer

PACKAGE = Path(dps_infer.__file__).parent
FORBIDDEN = {"torch", "torchvision", "dps_train", "dps_export", "export", "onnx", "lightning"}
HEAVY = {"numpy", "cv2", "onnxruntime", "msgspec"}


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_no_file_imports_what_the_light_package_may_not(path):
    assert not imported(path) & FORBIDDEN
    if path.name != "engine.py":
        assert "onnxruntime" not in imported(path)


def modules_after(code: str, *arguments: str) -> set[str]:
    """The top-level modules loaded when a program ends, with an exit or without."""
    program = (
        f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n"
        "print('\\n' + ' '.join(sys.modules), file=sys.stderr)"
    )
    result = python("-c", program, *arguments)
    assert result.returncode == 0, result.stderr
    return {name.split(".")[0] for name in result.stderr.splitlines()[-1].split()}


@pytest.mark.parametrize("kind", ["plain", "universal"])
def test_a_compare_loads_no_torch_and_no_tables(
    tmp_path, photo, context_path, universal_path, kind
):
    context = {
        "plain": ("--context", str(context_path)),
        "universal": ("--context", str(universal_path), "--ranking", "color,blur"),
    }
    image = tmp_path / "a.png"
    image.write_bytes(encode(".png", photo))
    loaded = modules_after(
        "from dps_infer.cli import main; main()",
        *("compare", str(image), str(image), *context[kind], "--json"),
    )
    assert loaded >= HEAVY
    assert not loaded & (FORBIDDEN | {"rich", "scipy", "pandas", "PIL"})


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["compare", "--help"], []])
def test_help_and_version_come_before_heavy_imports(arguments):
    loaded = modules_after("from dps_infer.cli import main; main()", *arguments)
    assert not loaded & (FORBIDDEN | HEAVY | {"rich"})


def test_the_package_alone_loads_nothing():
    assert not modules_after("import dps_infer") & (FORBIDDEN | HEAVY)


def test_public_names_are_there():
    for name in dps_infer.__all__:
        assert getattr(dps_infer, name) is not None
    assert set(dps_infer.__all__) <= set(dir(dps_infer))
    with pytest.raises(AttributeError, match="no_such_name"):
        dps_infer.no_such_name  # noqa: B018
