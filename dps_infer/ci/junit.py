"""Outcomes as JUnit XML, in the elements and attributes that Jenkins and Surefire agree on."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dps_infer.ci.outcome import Outcome, State
from dps_infer.files.write import atomic_file

_ELEMENTS = {State.failed: "failure", State.error: "error"}
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML document may contain, in whatever form."""


def write_junit(
    outcomes: Sequence[Outcome], path: Path, *, suite: str, seconds: float, force: bool = False
) -> None:
    """Write outcomes as one test suite, with a test case per pair.

    Pairs are run in batches, so each is given an equal share of the time.

    Args:
        outcomes: in the order of the test cases.
        path: the file.
        suite: the name of the suite.
        seconds: the time of the run.
        force: replace an existing file.

    Raises:
        OutputError: it exists (without `force`) or cannot be written.
    """
    counts = Counter(outcome.state for outcome in outcomes)
    numbers = {
        "tests": str(len(outcomes)),
        "failures": str(counts[State.failed]),
        "errors": str(counts[State.error]),
        "time": f"{seconds:.3f}",
    }
    root = ET.Element("testsuites", numbers)
    parent = ET.SubElement(root, "testsuite", {"name": suite, **numbers, "skipped": "0"})
    share = f"{seconds / max(1, len(outcomes)):.3f}"
    for outcome in outcomes:
        attributes = {"name": outcome.name, "classname": suite, "time": share}
        case = ET.SubElement(parent, "testcase", _clean(attributes))
        if outcome.state in _ELEMENTS:
            reason = {"message": outcome.message, "type": outcome.state.value}
            child = ET.SubElement(case, _ELEMENTS[outcome.state], _clean(reason))
            child.text = _text("\n".join([outcome.file, *(outcome.details or [outcome.message])]))
    ET.indent(root)
    with atomic_file(path, force=force) as temporary:
        ET.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def _clean(attributes: dict[str, str]) -> dict[str, str]:
    return {key: _text(value) for key, value in attributes.items()}


def _text(text: str) -> str:
    """Return text with an escape for each character that XML cannot hold."""
    return _NOT_XML.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
