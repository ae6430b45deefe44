"""Mutations that know JSON and CSV: they reach beyond the parser, where bytes do not."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.fuzz.mutations import mutate

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 0.5, -0.0, 1e308),
    *("", " ", "=1+1", "\x1b[2J", "a\nb", "\u202e", "\0", "x" * 3000, "../../etc/passwd", "NaN"),
    *([], {}, [[]], {"": None}, [0] * 50, float("nan"), float("inf")),
)
"""Values that programs handle badly."""


def mutate_json(data: bytes, draw: random.Random) -> bytes:
    """Change values of a JSON document; sometimes its bytes, or its nesting."""
    if draw.random() < 0.2:
        return mutate(data, draw)
    if draw.random() < 0.05:
        depth = draw.choice((10, 1000, 100_000))
        return b'{"a":' * depth + data + b"}" * depth
    try:
        value = json.loads(data)
    except ValueError:
        return mutate(data, draw)
    for _ in range(draw.choice((1, 1, 2, 3))):
        value = _changed(value, draw)
    return json.dumps(value).encode()


def mutate_table(data: bytes, draw: random.Random) -> bytes:
    """Change cells, separators, quotes, line ends or the encoding of a CSV file."""
    change = draw.randrange(8)
    lines = data.split(b"\n")
    number = draw.randrange(len(lines))
    if change == 0:
        return data.replace(b",", draw.choice((b";", b"\t", b"|", b"")))
    if change == 1:
        return data.replace(b"\n", draw.choice((b"\r", b"\r\n", b"\n\n", b"\0\n")))
    if change == 2:
        codec = draw.choice(("utf-16", "utf-32", "latin-1", "utf-8-sig"))
        return data.decode(errors="replace").encode(codec, errors="replace")
    if change == 3:
        lines[number] = lines[number].replace(b",", b',"', 1)
    elif change == 4:
        lines.insert(number, draw.choice(lines))
    elif change == 5:
        cells = lines[number].split(b",")
        cells[draw.randrange(len(cells))] = str(draw.choice(ODD)).encode(errors="replace")
        lines[number] = b",".join(cells)
    elif change == 6:
        lines[number] = draw.choice((b"", b"\xff\xfe", b"gr\xf6\xdfe,a,b", b"," * 2000))
    else:
        return mutate(data, draw)
    return b"\n".join(lines)


def _changed(value: Any, draw: random.Random) -> Any:
    """Return the value with one change somewhere inside."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        change = draw.random()
        rest = {name: inside for name, inside in value.items() if name != key}
        if change < 0.05:
            return rest
        if change < 0.1:
            return {**value, draw.choice(("", "more", "\x1b[1m", key + " ")): value[key]}
        return {**value, key: _changed(value[key], draw)}
    if isinstance(value, list) and value and draw.random() < 0.85:
        number = draw.randrange(len(value))
        change = draw.random()
        if change < 0.1:
            return value[:number] + value[number + 1 :]
        if change < 0.2:
            return value[:number] + value[number : number + 1] * 2 + value[number + 1 :]
        return [*value[:number], _changed(value[number], draw), *value[number + 1 :]]
    if isinstance(value, float) and draw.random() < 0.5:
        return value * draw.choice((-1, 0, 0.5, 2, 1e6, 1e-300))
    return draw.choice(ODD)
