"""What a file is reduced to, as a value; importing it is cheap."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

EMBEDDED = Path("embedded")
"""What the universal metric of the package is called in place of a run."""


class Precision(str, Enum):
    """Numbers that a file computes the network in."""

    fp32 = "fp32"
    fp16 = "fp16"
    int8 = "int8"

    @property
    def stated(self) -> str:
        """What a manifest calls them."""
        return {"fp32": "float32", "fp16": "float16"}.get(self.value, self.value)


@dataclass(frozen=True)
class Lean:
    """What a file is reduced to.

    Attributes:
        outputs: the names of the outputs to give; None gives all.
        precision: the numbers that the network computes in.
    """

    outputs: tuple[str, ...] | None = None
    precision: Precision = Precision.fp32


WHOLE = Lean()


def parse_outputs(text: str | None) -> tuple[str, ...] | None:
    """Return the names in a text, separated by commas, each once."""
    return None if text is None else tuple(dict.fromkeys(n.strip() for n in text.split(",")))
