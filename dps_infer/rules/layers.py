"""Settings from several places, of which later ones override earlier ones, key by key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONTEXT, THRESHOLD, GATE = "context", "threshold", "gate"
IGNORE, MASK, RESIZE = "ignore", "mask", "resize"


@dataclass(frozen=True)
class ContextChoice:
    """What matters, as `dps_infer.compare.open.open_metrics` takes it.

    Attributes:
        files: context files.
        rankings: as text.
        importances: as text.
        names: of saved contexts.
        project: the folder of the project's saved contexts; None takes the default.
    """

    files: tuple[Path, ...] = ()
    rankings: tuple[str, ...] = ()
    importances: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    project: Path | None = None

    def __bool__(self) -> bool:
        """Return whether it says anything."""
        return bool(self.files or self.rankings or self.importances or self.names)

    def words(self) -> str:
        """Return it in one line, like the options of a command line without their dashes."""
        values = {
            "context": self.files,
            "ranking": self.rankings,
            "importance": self.importances,
            "context-name": self.names,
        }
        return " ".join(f"{key} {value}" for key, found in values.items() for value in found)


@dataclass(frozen=True)
class Layer:
    """Settings of one place.

    Attributes:
        source: the place, for people.
        values: by key; keys that it does not set are missing.
    """

    source: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """A value that applies, and the place that it comes from."""

    value: Any
    source: str


DEFAULTS = Layer(
    "default",
    {
        CONTEXT: ContextChoice(),
        THRESHOLD: None,
        GATE: "whole",
        IGNORE: (),
        MASK: None,
        RESIZE: False,
    },
)


def combine(layers: Iterable[Layer]) -> dict[str, Setting]:
    """Return the settings that apply by key; of several layers with a key, the last one's."""
    found: dict[str, Setting] = {}
    for layer in layers:
        for key, value in layer.values.items():
            found[key] = Setting(value, layer.source)
    return found
