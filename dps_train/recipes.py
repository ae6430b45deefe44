"""Recipes: plain values that determine a result, to compare a stored one with a wanted one."""

from __future__ import annotations

import json
from typing import Any

HASH_SHOWN = 12


def field_differences(stored: Any, wanted: Any, path: str = "") -> list[str]:
    """Name every field in which two recipes, as plain values, differ, with both values."""
    if isinstance(stored, dict) and isinstance(wanted, dict):
        return [
            difference
            for key in {**stored, **wanted}
            for difference in field_differences(
                stored.get(key), wanted.get(key), f"{path}.{key}" if path else key
            )
        ]
    if stored == wanted:
        return []
    name = json.dumps(path, ensure_ascii=False)[1:-1] or "it"
    return [f"{name} is {_shown(stored, path)} there and {_shown(wanted, path)} here"]


def _shown(value: Any, path: str) -> str:
    if path.endswith("sha256") and isinstance(value, str):
        return json.dumps(value[:HASH_SHOWN], ensure_ascii=False)[1:-1] + "..."
    return "absent" if value is None else json.dumps(value, ensure_ascii=False)
