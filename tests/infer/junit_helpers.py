"""What JUnit XML may hold."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

# What both Jenkins's xUnit plugin (junit-10.xsd) and Maven's Surefire take: of each element the
# attributes that must be there, and its children.
ELEMENTS = {
    "testsuites": ({"tests", "failures", "errors", "time"}, {"testsuite"}),
    "testsuite": ({"name", "tests", "failures", "errors", "skipped", "time"}, {"testcase"}),
    "testcase": ({"name", "classname", "time"}, {"failure", "error"}),
    "failure": ({"message", "type"}, set()),
    "error": ({"message", "type"}, set()),
}
SECONDS = re.compile(r"\d{1,3}(,\d{3})*\.\d{3}|\d+\.\d{3}")


def check_junit(path: Path) -> ET.Element:
    """Parse a file and check every element and attribute of it."""
    root = ET.parse(path).getroot()
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = ELEMENTS[element.tag]
        assert set(element.attrib) == attributes, element.tag
        assert {child.tag for child in element} <= children, element.tag
        assert SECONDS.fullmatch(element.get("time", "0.000"))
    (suite,) = root
    cases = list(suite)
    counts = {
        tag: sum(case.find(tag) is not None for case in cases) for tag in ("failure", "error")
    }
    for element in (root, suite):
        assert int(element.get("tests", "")) == len(cases)
        assert int(element.get("failures", "")) == counts["failure"]
        assert int(element.get("errors", "")) == counts["error"]
    assert all(len(case) <= 1 for case in cases)
    return suite
