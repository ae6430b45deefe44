"""JUnit XML: its schema, and counts that agree with its test cases."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

SCHEMA = Path(__file__).parent / "ci" / "junit.xsd"


def check_junit(path: Path) -> ET.Element:
    """Validate a file, and return its test suite."""
    xmlschema = pytest.importorskip("xmlschema", reason="needs the extra dev")
    xmlschema.validate(str(path), str(SCHEMA))
    root = ET.parse(path).getroot()
    (suite,) = root
    cases = list(suite)
    counts = {
        tag: sum(case.find(tag) is not None for case in cases) for tag in ("failure", "error")
    }
    for element in (root, suite):
        assert int(element.get("tests", "")) == len(cases)
        assert int(element.get("failures", "")) == counts["failure"]
        assert int(element.get("errors", "")) == counts["error"]
    return suite
