"""Files of judgements: refused with lines that name rows, or every judgement is a share."""

from __future__ import annotations

import random
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from infer_helpers import encode

from dps_infer.errors import DataError
from tests.fuzz.structure import mutate_table

TEST_INPUTS = 100


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp())


@cache
def seeds() -> dict[str, bytes]:
    """Return a file of one's own, and one as the judging page writes it."""
    # PyTorch takes seconds to import, which must not count as the time of the first input.
    import dps_train.judgements.read_triplets  # noqa: F401

    photo = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    for number in range(3):
        (_folder() / f"{number}.png").write_bytes(encode(".png", np.roll(photo, number, axis=1)))
    rows = [b"0.png,1.png,2.png,0", b"1.png,0.png,2.png,0.25", b"2.png,0.png,1.png,1"]
    return {
        "own": b"\n".join([b"judge,reference,p0,p1", *(b"0.5," + row[:17] for row in rows)]),
        "page": b"\n".join([b"reference,p0,p1,judge", *rows, b""]),
    }


def check(data: bytes, seed: str) -> str:
    """Read the judgements, and the answers of a page."""
    from dps_train.judge.answers import AnswerFile
    from dps_train.judgements.read_triplets import read_triplets

    path = _folder() / "judged.csv"
    path.write_bytes(data)
    if seed == "page":
        AnswerFile(path).read()
    try:
        triplets = read_triplets(path)
    except DataError as error:
        return _refused(error, path)
    assert len(triplets) > 0
    assert all(0 <= judge <= 1 for judge in triplets.judge)
    return "right"


def _refused(error: DataError, path: Path) -> str:
    assert all(str(path) in problem for problem in error.problems)
    return "refused"


def mutate(data: bytes, seed: str, draw: random.Random) -> bytes:
    """Change cells and separators."""
    return mutate_table(data, draw)
