"""What a fuzz target defines, and how targets are found.

A target is a module in ``tests/fuzz/targets/``. It defines:

- ``seeds() -> dict[str, bytes]``: small sound inputs by name, made by code. Files in
  ``tests/fuzz/found/TARGET/`` (inputs that once failed) are added to them.
- ``check(data: bytes, seed: str) -> str``: feed one input to the parser and return the outcome in a
  few words, which are counted: "refused", "right". A `DpsError` with a one-line message counts as
  "refused" if `check` lets it out. Every other exception is a failure; raise `AssertionError` for a
  wrong result.
- ``TEST_INPUTS: int``: inputs in a run of the test suite, for a few seconds.
- ``mutate(data: bytes, seed: str, draw: random.Random) -> bytes`` (optional): a mutation that knows
  the format. Without it, bytes are mutated (`tests.fuzz.mutations.mutate`).
"""

from __future__ import annotations

import importlib
import pkgutil
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import targets
from tests.fuzz.mutations import mutate

FOUND = Path(__file__).parent / "found"


@dataclass(frozen=True)
class Target:
    """A fuzz target (see the module)."""

    name: str
    seeds: Callable[[], dict[str, bytes]]
    check: Callable[[bytes, str], str]
    mutate: Callable[[bytes, str, random.Random], bytes]
    test_inputs: int

    def all_seeds(self) -> dict[str, bytes]:
        """Return the seeds and the inputs that once failed."""
        found = sorted((FOUND / self.name).glob("*"))
        return {**self.seeds(), **{path.name: path.read_bytes() for path in found}}


def target_names() -> list[str]:
    """Return the names of all targets."""
    return sorted(module.name for module in pkgutil.iter_modules(targets.__path__))


def load_target(name: str) -> Target:
    """Import a target by name."""
    module = importlib.import_module(f"tests.fuzz.targets.{name}")
    own = getattr(module, "mutate", None)
    return Target(
        name=name,
        seeds=module.seeds,
        check=module.check,
        mutate=own or (lambda data, seed, draw: mutate(data, draw)),
        test_inputs=module.TEST_INPUTS,
    )
