"""Fuzz a target guided by the code that it reaches: ``python -m tests.fuzz.coverage TARGET``.

Needs the extra ``fuzz`` (atheris, on Linux). Options for libFuzzer follow the target, for example
``-max_total_time=60``. It stops at the first failure and writes the input to the working folder.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dps_infer"]):
    from dps_infer.errors import DpsError
    from tests.fuzz.target import load_target


def main() -> None:
    """Run libFuzzer on a target's `check`, from its seeds."""
    program, name, *options = sys.argv
    with atheris.instrument_imports(include=["dps_infer"]):
        target = load_target(name)
        for seed in target.all_seeds().values():
            # Imports what is imported when first needed.
            with contextlib.suppress(DpsError):
                target.check(seed, "libFuzzer")

    def test_one(data: bytes) -> None:
        try:
            target.check(data, "libFuzzer")
        except DpsError as error:
            if "\n" in str(error):
                raise

    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(target.all_seeds().values()):
            (Path(folder) / str(number)).write_bytes(data)
        atheris.Setup([program, folder, *options], test_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
