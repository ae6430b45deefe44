"""Tables of pairs: refused in one line, or every row is read, and copied to every format."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import random
import tempfile
from functools import cache
from pathlib import Path

from dps_infer.bulk.pairs import read_pairs, scan_pairs
from dps_infer.errors import DpsError
from dps_infer.files.tables import Format, open_table, read_lines
from tests.fuzz import mutations
from tests.fuzz.structure import ODD, mutate_json, mutate_table

TEST_INPUTS = 200
_FORMATS = [
    one for one in Format if one is not Format.parquet or importlib.util.find_spec("pyarrow")
]


@cache
def seeds() -> dict[str, bytes]:
    """Return a table in every format; the first word is the suffix."""
    rows = [
        {"reference": "a.png", "candidate": "b.png", "n": 1, "x": 0.5, "t": "größe", "ok": True},
        {"reference": "a.png", "candidate": "c.png", "n": 2**60 + 1, "x": None, "t": "=1+1"},
        {"reference": "d.png", "candidate": "e.png", "n": -3, "x": 1e300, "t": '",\n', "ok": False},
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    found = {
        "csv": text.getvalue().encode(),
        "csv windows": text.getvalue().replace("\n", "\r\n").encode("utf-8-sig"),
        "jsonl": b"\n".join(json.dumps(row).encode() for row in rows),
    }
    if Format.parquet in _FORMATS:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.Table.from_pylist(rows)
        when = pyarrow.array([0, 10**15, None], pyarrow.timestamp("us"))
        sink = io.BytesIO()
        pyarrow.parquet.write_table(table.append_column("when", when), sink)
        found["parquet"] = sink.getvalue()
    return found


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp())


def check(data: bytes, seed: str) -> str:
    """Scan the table, and copy every row to every format."""
    path = _folder() / f"a.{seed.split()[0]}"
    path.write_bytes(data)
    scan = scan_pairs(path)
    pairs = list(read_pairs(path))
    assert len(pairs) == scan.rows
    for pair in pairs:
        if isinstance(pair.source, DpsError):
            assert "\n" not in str(pair.source)
            assert str(pair.source)
    # Whatever passed the scan can be written: nobody scores for hours in vain.
    for suffix in _FORMATS:
        copy = _folder() / f"copy{suffix.value}"
        with open_table(copy, scan.columns, force=True) as write:
            for pair in pairs:
                write(pair.values)
        assert sum(1 for _ in read_lines(copy)) == scan.rows
    return "right"


def mutate(data: bytes, seed: str, draw: random.Random) -> bytes:
    """Change cells and separators, or values of objects."""
    if seed.startswith("csv"):
        return mutate_table(data, draw)
    if seed == "jsonl":
        lines = data.split(b"\n")
        number = draw.randrange(len(lines))
        lines[number] = draw.choice(
            (mutate_json(lines[number], draw), str(draw.choice(ODD)).encode(errors="replace"))
        )
        return b"\n".join(lines)
    return mutations.mutate(data, draw)
