"""JUnit XML and what GitHub Actions reads: their form, their escapes, and their limits."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import encode
from junit_helpers import check_junit

from dps_infer.ci.github import (
    MOST_ANNOTATIONS,
    MOST_ROWS,
    SUMMARY,
    annotation_lines,
    append_summary,
    stop_commands,
    summary,
)
from dps_infer.ci.junit import write_junit
from dps_infer.ci.outcome import Outcome, State
from dps_infer.errors import OutputError


def outcome(name: str = "a.png", state: State = State.failed, **more) -> Outcome:
    return Outcome(name, name, state, more.pop("message", "0.3 is too far"), **more)


texts = st.text(max_size=30)


@given(texts, texts, texts)
def test_any_text_makes_valid_xml(tmp_path_factory, name, message, detail):
    path = tmp_path_factory.mktemp("junit") / "j.xml"
    cases = [outcome(name, message=message, details=(detail,)), outcome(state=State.passed)]
    write_junit(cases, path, suite="dps", seconds=1234.5)
    first = check_junit(path)[0]
    plain = name.isprintable() and "\\" not in name
    assert not plain or first.get("name") == name


def test_junit_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "j.xml"
    path.write_text("mine")
    with pytest.raises(OutputError, match="--force"):
        write_junit([], path, suite="dps", seconds=0)
    assert path.read_text() == "mine"
    write_junit([], path, suite="dps", seconds=0, force=True)
    assert len(check_junit(path)) == 0


def unescape(text: str) -> str:
    """As GitHub's runner reads commands; its own escapes come last."""
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text


@given(st.text(min_size=1, max_size=20), texts)
def test_any_text_makes_one_command(name, message):
    (line,) = annotation_lines([outcome(name, message=message)])
    assert len(line.split("\n")) == len(line.split("\r")) == 1
    match = re.fullmatch(r"::error file=([^,:]*),title=([^,:]*)::(.*)", line, flags=re.DOTALL)
    assert match
    assert unescape(match[2]) == f"{name}: failed"
    assert unescape(match[3]) == message


def test_escapes_are_the_documented_ones(monkeypatch, tmp_path):
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    (line,) = annotation_lines([outcome("a,b:c%.png", message="50 %\r\nof: it, all")])
    assert line == (
        "::error file=a%2Cb%3Ac%25.png,title=a%2Cb%3Ac%25.png%3A failed::50 %25%0D%0Aof: it, all"
    )


def test_files_are_named_as_in_the_repository(monkeypatch, tmp_path):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path))
    assert "file=sub/a.png," in annotation_lines([outcome("a.png")])[0]
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path / "sub"))
    assert "file=../a.png," in annotation_lines([outcome("../a.png")])[0]


def test_as_many_annotations_as_github_shows(monkeypatch):
    many = [outcome(f"{n}.png", badness=n) for n in range(30)]
    many += [outcome("e", State.error), outcome("p", State.passed)]
    lines = annotation_lines(many)
    assert len(lines) == MOST_ANNOTATIONS
    assert "29.png" in lines[0]
    assert lines[-1].endswith("::and 22 more that did not pass")
    assert len(annotation_lines(many[:10])) == 10
    assert annotation_lines(many[-1:]) == []


def test_commands_are_stopped_around_what_others_wrote():
    stop, resume = stop_commands()
    assert stop.removeprefix("::stop-commands::") == resume.strip(":")
    assert len(resume) > 20
    assert stop_commands() != (stop, resume)


def test_the_summary_has_the_worst_pairs():
    numbers = {"distance": 0.31234, "threshold": 0.05}
    many = [outcome(f"{n}.png", badness=n, **numbers) for n in range(MOST_ROWS)]
    many += [outcome("e|<b>`[x](y)\n.png", State.error), outcome("p", State.passed)]
    text = summary(many, title="dps-infer folder")
    assert "22 pairs: 20 failed, 1 error, 1 passed" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == MOST_ROWS + 1
    assert rows[1].startswith("| 19.png | failed | 0.312 | 0.05 |")
    assert text.endswith("and 2 more\n\n")
    (row,) = [line for line in summary(many[-2:-1], title="x").splitlines() if "error | " in line]
    assert row.startswith(r"| e\|\<b\>\`\[x\]\(y\) .png | error |")


def test_the_summary_is_appended(monkeypatch, tmp_path):
    monkeypatch.delenv(SUMMARY, raising=False)
    assert not append_summary("x")
    file = tmp_path / "summary.md"
    file.write_text("before\n")
    monkeypatch.setenv(SUMMARY, str(file))
    assert append_summary("after\n")
    assert file.read_text() == "before\nafter\n"
    monkeypatch.setenv(SUMMARY, str(tmp_path))
    with pytest.raises(OutputError, match="cannot write"):
        append_summary("x")


# --- the commands ------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A pair that passes, one that does not, one that is missing; the current folder is theirs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SUMMARY, str(tmp_path / "summary.md"))
    monkeypatch.delenv("GITHUB_WORKSPACE", raising=False)
    gray = np.full((16, 16, 3), 100, np.uint8)
    names = ["a.png", "b.png", "::c, 100%.png"] if os.name == "posix" else ["a.png", "b.png", "c"]
    for name, step in zip(names, (0, 60, 70), strict=True):
        for folder, pixels in (("base", gray), ("new", gray + np.array([0, step, 0], np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_bytes(encode(".png", pixels.astype(np.uint8)))
    (tmp_path / "base" / "gone.png").write_bytes(encode(".png", gray))
    return tmp_path


@pytest.mark.skipif(os.name != "posix", reason="a name with colons")
def test_folder(cli, folders, context_path):
    given = ("base", "new", "--context", context_path, "--threshold", "0.1")
    plain = cli("folder", *given)
    outcome = cli("folder", *given, "--github", "--junit", "out/j.xml")
    assert (plain.code, outcome.code) == (4, 4)
    lines = outcome.out.splitlines()
    token = lines[0].removeprefix("::stop-commands::")
    end = lines.index(f"::{token}::")
    assert lines[1:end] == plain.out.splitlines()
    assert [line.split(",title=")[0] for line in lines[end + 1 :]] == [
        "::error file=base/%3A%3Ac%2C 100%25.png",
        "::error file=base/b.png",
        "::error file=base/gone.png",
    ]
    assert lines[end + 2].endswith(
        "::0.24 = 0.24 softer (about sigma 2.4 px): above the threshold 0.1"
    )
    suite = check_junit(folders / "out" / "j.xml")
    found = {case.get("name"): [child.tag for child in case] for case in suite}
    assert found == {
        "::c, 100%.png": ["failure"],
        "a.png": [],
        "b.png": ["failure"],
        "gone.png": ["error"],
    }
    text = (folders / "summary.md").read_text()
    assert "### dps\\-infer folder" in text
    assert "4 pairs: 2 failed, 1 error, 1 passed" in text
    assert cli("folder", *given, "--junit", "out/j.xml").error_line.endswith("pass --force")
    os.remove("new/::c, 100%.png")
    os.remove("base/::c, 100%.png")
    os.remove("base/gone.png")
    assert cli("folder", *given, "--github").code == 3


def test_folder_without_a_job_says_so(cli, folders, context_path, monkeypatch):
    monkeypatch.delenv(SUMMARY)
    outcome = cli("folder", "base", "base", "--context", context_path, "--github")
    assert outcome.code == 0
    assert "no summary of the job: GITHUB_STEP_SUMMARY is not set" in outcome.err
    assert "::error" not in outcome.out


def test_batch(cli, folders, context_path):
    Path("p.csv").write_text(
        "reference,candidate\nbase/a.png,new/a.png\nbase/b.png,new/b.png\nbase/b.png,none.png\n"
    )
    given = ("batch", "p.csv", "--context", context_path)
    outcome = cli(*given, "-o", "r.csv", "--junit", "j.xml", "--github")
    assert outcome.code == 4
    suite = check_junit(Path("j.xml"))
    assert [[child.tag for child in case] for case in suite] == [[], [], ["error"]]
    assert suite[1].get("name") == "base/b.png -> new/b.png"
    (line,) = (line for line in outcome.out.splitlines() if line.startswith("::error"))
    assert line.startswith("::error file=none.png,title=base/b.png -> none.png%3A error::")
    text = Path("summary.md").read_text()
    assert "3 pairs: 1 error, 2 passed" in text
    assert "distance 0.235" in text
    assert cli(*given, "-o", "s.csv", "--junit", "j.xml").error_line.endswith("pass --force")
    assert not Path("s.csv").exists()
    assert cli(*given, "-o", "s.csv", "--json", "--github").code == 2


def test_a_wish_for_several_contexts(cli, folders, universal_path):
    rankings = ("--ranking", "color,blur", "--ranking", "blur,color")
    given = ("base", "new", "--context", universal_path, *rankings, "--threshold", "0.1")
    assert cli("folder", *given, "--junit", "j.xml").code == 4
    suite = check_junit(Path("j.xml"))
    failure = next(case for case in suite if case.get("name") == "b.png").find("failure")
    assert failure is not None
    assert "context universal: color < blur" in (failure.text or "")
