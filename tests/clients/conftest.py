"""The JavaScript client, built, and a browser; tests skip where Node or its packages are absent."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from client_helpers import run

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "clients" / "js"
NODE, NPM = shutil.which("node"), shutil.which("npm")


@pytest.fixture(scope="session")
def client() -> Path:
    """The folder of the client, with its scripts and its page built."""
    if NODE is None or NPM is None:
        pytest.skip("needs node and npm")
    for package in ("typescript", "onnxruntime-node", "onnxruntime-web", "pngjs"):
        if not (CLIENT / "node_modules" / package / "package.json").is_file():
            pytest.skip(f"needs {package}: npm install in clients/js")
    built = run(CLIENT, NPM, "run", "page")
    assert built.returncode == 0, built.stdout + built.stderr
    return CLIENT
