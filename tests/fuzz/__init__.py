"""Fuzzing: parsers of files from strangers, fed with damaged and made-up inputs.

``python -m tests.fuzz NAME --seconds N`` runs a target and prints its counts. A target is one file
in ``targets/``; `tests.fuzz.target` states what such a file defines.
"""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).parents[1]

# Their helpers make the seeds: infer_helpers, tiff_files.
for _folder in (_TESTS / "infer", _TESTS / "infer" / "images"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))
