"""Globs of file names: what they match, and what is refused."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dps_infer.errors import UsageError
from dps_infer.files.globs import compile_globs

PATHS = ("a.png", "charts/a.png", "base/charts/a.png", "base/charts/deep/b.png", "charts-2/a.png")


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("a.png", [0, 1, 2, 4]),
        ("*.png", [0, 1, 2, 3, 4]),
        ("charts/*.png", [1, 2]),
        ("charts/**", [1, 2, 3]),
        ("/charts/**", [1]),
        ("/a.png", [0]),
        ("base/**/*.png", [2, 3]),
        ("base/**/a.png", [2]),
        ("**", [0, 1, 2, 3, 4]),
        ("/**/b.png", [3]),
        ("chart?/a.png", [1, 2]),
        ("charts[-_]2/*", [4]),
        ("[!b].png", [0, 1, 2, 4]),
        ("[ab].png", [0, 1, 2, 3, 4]),
        ("A.png", []),
        ("a", []),
        ("hart*/a.png", []),
    ],
)
def test_what_matches(glob, expected):
    pattern = compile_globs([glob])
    assert [i for i, path in enumerate(PATHS) if pattern.fullmatch(path)] == expected


def test_several_globs_and_none():
    pattern = compile_globs(["/a.png", "deep/*"])
    assert [bool(pattern.fullmatch(path)) for path in PATHS] == [True, False, False, True, False]
    assert not compile_globs([]).fullmatch("a.png")
    rooted = compile_globs(["a.png", "**/b.png"], rooted=True)
    assert [bool(rooted.fullmatch(path)) for path in PATHS] == [True, False, False, True, False]


@pytest.mark.parametrize(
    "glob",
    ["", "/", "a/", "a//b", "../a", "./a", "a**/b", "a\\b", "[a", "[]", "[z-a]", "a/[!]"],
)
def test_what_is_refused(glob):
    with pytest.raises(UsageError, match="the glob"):
        compile_globs([glob])


@given(st.text(min_size=1, max_size=12))
def test_any_text_is_a_glob_or_refused(glob):
    with contextlib.suppress(UsageError):
        compile_globs([glob]).fullmatch("a/b.png")


@given(st.text(alphabet="ab.[]*?+^$|()-", min_size=1, max_size=8).filter(lambda t: t != "."))
def test_a_name_matches_itself_with_brackets_around_what_is_special(name):
    literal = re.sub(r"[*?\[]", r"[\g<0>]", name)
    if name not in ("..", "."):
        assert compile_globs([literal]).fullmatch(name)
        assert compile_globs([literal]).fullmatch(f"folder/{name}")


def test_long_names_take_no_long_time():
    pattern = compile_globs(["**/*a*a*/**/*a*.png"])
    began = time.perf_counter()
    assert not pattern.fullmatch("/".join(["a" * 30] * 20) + ".jpg")
    assert time.perf_counter() - began < 5
