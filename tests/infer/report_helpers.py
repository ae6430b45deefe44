"""Results with images beside them, and the data that a report holds."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from infer_helpers import encode

from dps_infer import Metric
from dps_infer.bulk.results import PAIR_COLUMNS, open_results, row
from dps_infer.errors import DpsError

HOSTILE = "<img src=x onerror=alert(1)>.png"


def make_images(folder: Path, count: int) -> list[tuple[str, str]]:
    """Write pairs of which number k differs the more, the larger k is; pair 0 is identical."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[0:30, 0:40]
    picture = np.stack([rows * 4, columns * 3, rows + columns], axis=2).astype(np.uint8)
    (folder / "reference.png").write_bytes(encode(".png", picture))
    pairs = []
    for number in range(count):
        changed = picture.copy()
        changed[:10] += np.uint8(number * 100 // count)
        name = HOSTILE if number == 1 else f"candidate-{number}.png"
        (folder / name).write_bytes(encode(".png", changed))
        pairs.append(("reference.png", name))
    return pairs


def write_results(
    path: Path,
    pairs: list[tuple[str, str]],
    contexts: Mapping[str, Metric],
    *,
    extra: Mapping[str, str | Sequence[str]] | None = None,
) -> Path:
    """Measure pairs whose images lie beside `path`, and write their results.

    Further columns have one text for all pairs, or one for each.
    """
    extra = extra or {}
    columns = {**PAIR_COLUMNS, **dict.fromkeys(extra, PAIR_COLUMNS["reference"])}
    with open_results(path, contexts, input_columns=columns) as write:
        for number, (reference, candidate) in enumerate(pairs):
            own = {
                name: text if isinstance(text, str) else text[number]
                for name, text in extra.items()
            }
            given = {"reference": reference, "candidate": candidate, **own}
            try:
                comparisons = {
                    label: context.compare(path.parent / reference, path.parent / candidate)
                    for label, context in contexts.items()
                }
                write({**given, **row(comparisons, contexts)})
            except DpsError as error:
                write({**given, **row({}, contexts, error=str(error))})
    return path


def data_of(page: bytes) -> dict[str, Any]:
    """The data of a page, read as a browser finds them."""
    found = re.findall(
        rb'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL
    )
    assert len(found) == 1
    return json.loads(found[0])


def policy_of(page: bytes) -> str:
    found = re.search(rb'Content-Security-Policy" content="([^"]*)"', page)
    assert found
    return html.unescape(found[1].decode())
