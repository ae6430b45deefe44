"""Run the notebook, as Jupyter would; as a script, replace its outputs.

python tests/examples/notebook.py
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "tutorials" / "first-comparison.ipynb"
LONGEST = 300
"""Seconds that a cell may take."""


def run() -> nbformat.NotebookNode:
    """Return the notebook with the outputs of a new run, in its own folder."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=LONGEST, resources=resources, record_timing=False).execute()
    # The version of Python is that of one machine.
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


if __name__ == "__main__":
    nbformat.write(run(), NOTEBOOK)
