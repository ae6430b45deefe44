"""The notebook runs in Jupyter's kernel, and shows what it prints."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from docs_outputs import assert_same

pytest.importorskip("nbclient", reason="needs the extra docs")
nbformat = pytest.importorskip("nbformat", reason="needs the extra docs")


# Jupyter's client leaves its sockets and loop to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_the_notebook_shows_what_it_prints():
    import notebook

    stored = nbformat.read(notebook.NOTEBOOK, as_version=4)
    texts, kinds = outputs(stored)
    assert any(texts)
    assert "image/jpeg" in kinds
    new_texts, new_kinds = outputs(notebook.run())
    assert new_kinds == kinds
    for text, new in zip(texts, new_texts, strict=True):
        assert_same(new, text)


def outputs(notebook) -> tuple[list[str], list[str]]:
    """What each cell prints, and the types of what they show."""
    cells = [cell.get("outputs", []) for cell in notebook.cells]
    found = [output for cell in cells for output in cell]
    # A kernel may send what a cell prints in one piece or in several.
    texts = ["".join(output.get("text", "") for output in cell) for cell in cells]
    kinds = [kind for output in found for kind in sorted(output.get("data", {}))]
    return texts, kinds
