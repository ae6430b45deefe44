"""`dps-infer folder` and `config` with a `dps.toml`, and what approving takes over."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from infer_helpers import encode

from dps_infer.errors import RulesError, UsageError
from dps_infer.report.rows import load_results
from dps_infer.testing import assert_similar

jsonschema = pytest.importorskip("jsonschema")

SCHEMAS = Path(__file__).parents[3] / "docs" / "json"
STEPS = {"a.png": 0, "b.png": 60, "charts/c.png": 60, "charts/d.png": 10}
"""How much brighter the green of a candidate is."""


def gray(step: int = 0, side: int = 64) -> np.ndarray:
    return np.full((side, side, 3), 100, np.uint8) + np.array([0, step, 0], np.uint8)


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture
def project(tmp_path, monkeypatch, universal_path):
    """Four pairs in a project whose universal file is u.onnx; it is the current folder."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "u.onnx", universal_path.read_bytes())
    for name, step in STEPS.items():
        put(tmp_path / "base" / name, encode(".png", gray()))
        put(tmp_path / "new" / name, encode(".png", gray(step)))
    return tmp_path


RULES = """
context = "u.onnx"
ranking = "color,blur"
threshold = 0.1

[[files]]
glob = "charts/**"
context = "u.onnx"
ranking = "blur,color"
threshold = 0.05
"""


def rules(project: Path, text: str = RULES) -> None:
    (project / "dps.toml").write_text(text)


# --- rules -------------------------------------------------------------------------------


def test_each_file_has_its_own_context_and_threshold(cli, project):
    rules(project)
    outcome = cli("folder", "base", "new", "-o", "r.csv")
    assert outcome.code == 3
    words = [line.split() for line in outcome.out.splitlines()]
    assert words[0] == ["file", "distance", "threshold", "context"]
    assert [row[0] for row in words[1:5]] == ["b.png", "charts/c.png", "charts/d.png", "a.png"]
    assert [row[-1] for row in words[1:5]] == ["[1]", "[2]", "[2]", "[1]"]
    assert words[1][-3:-1] == ["0.1", "(above)"]
    assert words[2][-3:-1] == ["0.05", "(above)"]
    assert words[3][-2] == "0.05"
    assert outcome.out.splitlines()[-1].endswith("1 of 2 above the threshold 0.05")
    assert f"note: rules of {project / 'dps.toml'}" in outcome.err
    with open("r.csv", newline="") as stream:
        rows = {Path(row["candidate"]).name: row for row in csv.DictReader(stream)}
    # Rows are in the order of the files; each has the distance of its own context alone.
    assert [*rows] == ["a.png", "b.png", "c.png", "d.png"]
    assert rows["b.png"]["distance.blur-color"] == ""
    assert rows["c.png"]["distance.color-blur"] == ""
    assert float(rows["c.png"]["distance.blur-color"]) == pytest.approx(0.4 * 60 / 255, rel=1e-4)
    assert load_results(Path("r.csv")).pairs.error == [""] * 4
    assert cli("report", "r.csv").code == 0


def test_distances_are_those_of_each_rule_alone(cli, project):
    rules(project)
    both = cli("folder", "base", "new", "--json").record
    jsonschema.validate(both, json.loads((SCHEMAS / "folder.schema.json").read_text("utf-8")))
    assert [*both["contexts"]] == ["color-blur", "blur-color"]
    for pair in both["pairs"]:
        (label,) = pair["results"]
        is_chart = "charts" in pair["reference"]
        assert label == ("blur-color" if is_chart else "color-blur")
        assert pair["results"][label]["threshold"] == (0.05 if is_chart else 0.1)
        given = ("--no-config", "--context", "u.onnx", "--ranking", label.replace("-", ","))
        alone = cli("folder", "base", "new", *given, "--json").record
        (same,) = (p for p in alone["pairs"] if p["reference"] == pair["reference"])
        assert same["results"][label]["distance"] == pair["results"][label]["distance"]


def test_options_override_the_file(cli, project):
    rules(project)
    assert cli("folder", "base", "new", "--threshold", 9).code == 0
    outcome = cli("folder", "base", "new", "--context", "u.onnx", "--ranking", "blur,zoom")
    # One context for all, but thresholds still differ.
    assert outcome.out.splitlines()[0].split() == ["file", "distance", "threshold"]
    outcome = cli(
        "folder", "base", "new", "--no-config", "--context", "u.onnx", "--ranking", "blur,color"
    )
    assert outcome.code == 0
    assert "rules of" not in outcome.err
    (project / "other.toml").write_text(
        'context = "u.onnx"\nranking = "blur,color"\nthreshold = 0.3\n'
    )
    outcome = cli("folder", "base", "new", "--config", "other.toml")
    assert (outcome.code, outcome.out.splitlines()[0].split()) == (0, ["file", "distance"])
    assert "--config" in cli("folder", "base", "new", "--config", "x", "--no-config").error_line


def test_gate_ignored_parts_and_sizes_are_rules_too(cli, project):
    spot = gray()
    spot[:8, :8] = 0
    put(project / "new" / "a.png", encode(".png", spot))
    put(project / "new" / "charts/d.png", encode(".png", gray(0, 32)))
    text = 'context = "u.onnx"\nranking = "color,blur"\nthreshold = 0.3\n'
    table = '[[files]]\nglob = "a.png"\nignore = ["0,0,10,10"]\n[[files]]\nglob = "d.png"\n'
    rules(project, text)
    assert cli("folder", "base", "new").code == 4
    rules(project, text + table + "resize = true\n")
    record = cli("folder", "base", "new", "--json").record
    found = {Path(pair["reference"]).name: pair for pair in record["pairs"]}
    assert found["a.png"]["identical"]
    assert found["a.png"]["ignored"] > 0
    assert found["b.png"]["ignored"] == 0
    assert "resized" in " ".join(found["d.png"]["notes"])
    assert cli("folder", "base", "new", "--no-resize").code == 4


def test_errors_of_the_file_are_one_line(cli, project):
    rules(project, "treshold = 1")
    for command in (("folder", "base", "new"), ("config",)):
        outcome = cli(*command)
        assert (outcome.code, outcome.out) == (1, "")
        assert outcome.error_line.endswith("unknown key 'treshold' (did you mean threshold?)")


def test_config_says_what_applies_and_why(cli, project):
    rules(project)
    record = cli("config", "base/charts/x.png", "--gate", "worst", "--json").record
    jsonschema.validate(record, json.loads((SCHEMAS / "config.schema.json").read_text("utf-8")))
    assert record["settings"]["threshold"] == {
        "value": 0.05,
        "source": "[[files]] 1 (charts/**)",
    }
    assert record["settings"]["gate"] == {"value": "worst", "source": "--gate"}
    assert record["settings"]["mask"] == {"value": None, "source": "default"}
    assert record["tables"] == [{"glob": ["charts/**"], "applies": True}]
    lines = cli("config", "base/a.png").out.splitlines()
    assert lines[0] == "rules: dps.toml"
    assert lines[3].split() == ["threshold", "0.1", "top", "of", "dps.toml"]
    assert (
        cli("config").out.splitlines()[-1].startswith("[[files]] 1 (charts/**): context context ")
    )
    outcome = cli("config", "--no-config", "--ranking", "color,blur")
    assert outcome.out.splitlines()[0] == "rules: none"
    assert outcome.out.splitlines()[2].split() == ["context", "ranking", "color,blur", "--ranking"]


def test_assert_similar_obeys(project):
    rules(project)
    reference, candidate = "base/charts/c.png", "new/charts/c.png"
    with pytest.raises(AssertionError, match=r"above the threshold 0\.05"):
        assert_similar(candidate, reference)
    assert assert_similar(candidate, reference, threshold=0.2).distance > 0.05
    with pytest.raises(AssertionError, match=r"above the threshold 0\.1"):
        assert_similar("new/b.png", project / "base/b.png")
    # An image without a name has the settings of all files; arguments win.
    with pytest.raises(AssertionError, match=r"above the threshold 0\.1"):
        assert_similar(gray(60), gray())
    assert_similar(gray(60), gray(), threshold=1)
    assert_similar(gray(60), gray(), ignore=["0,0,100%,60"], threshold=1)
    how = {"metric": "u.onnx", "ranking": "blur,color"}
    assert_similar("new/b.png", "base/b.png", **how)
    rules(project, RULES + 'ignore = ["0,0,100%,90%"]\n')
    assert assert_similar(candidate, reference, threshold=1).ignored > 0.8
    rules(project, "threshold = -1")
    with pytest.raises(RulesError, match="threshold: Expected"):
        assert_similar(candidate, reference)


def test_without_any_threshold_nothing_can_pass(project):
    with pytest.raises(UsageError, match=r"no threshold: give one, or state one in dps\.toml"):
        assert_similar(gray(), gray(), metric="u.onnx", ranking="color,blur")


# --- approving ---------------------------------------------------------------------------


def state(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.fixture
def changed(project):
    """Beside the four pairs a new file, one of another size, and one that is no image."""
    rules(project)
    put(project / "new" / "charts" / "new.png", encode(".png", gray(5)))
    put(project / "base" / "grown.png", encode(".png", gray()))
    put(project / "new" / "grown.png", encode(".png", gray(0, 80)))
    put(project / "base" / "broken.png", encode(".png", gray()))
    put(project / "new" / "broken.png", b"not an image")
    put(project / "base" / "gone.png", encode(".png", gray()))
    return project


def test_nothing_is_approved_unasked(cli, changed):
    before = state(changed / "base")
    assert cli("folder", "base", "new").code == 4
    assert cli("folder", "base", "new", "--force").code == 4
    assert state(changed / "base") == before


def test_some_are_approved_by_name(cli, changed):
    before = state(changed / "base")
    outcome = cli("folder", "base", "new", "--approve", "b.png", "--approve", "charts/new.*")
    assert outcome.code == 4
    assert outcome.out.splitlines()[-2:] == [
        f"approved: {Path('base/b.png')} (above its threshold)",
        f"approved: {Path('base/charts/new.png')} (new)",
    ]
    after = state(changed / "base")
    assert {name for name in after if after[name] != before.get(name)} == {
        "b.png",
        "charts/new.png",
    }
    assert after["b.png"] == (changed / "new" / "b.png").read_bytes()


def test_all_are_approved_that_can_be(cli, changed):
    before = state(changed / "base")
    outcome = cli("folder", "base", "new", "--approve-all", "--json")
    # The broken and the missing candidate remain.
    assert outcome.code == 4
    taken = [Path(pair["reference"]).name for pair in outcome.record["approved"]]
    assert taken == ["b.png", "c.png", "new.png", "grown.png"]
    after = state(changed / "base")
    for name in ("a.png", "charts/d.png", "broken.png", "gone.png"):
        assert after[name] == before[name]
    for name in ("broken.png", "gone.png"):
        (changed / "base" / name).unlink()
    (changed / "new" / "broken.png").unlink()
    outcome = cli("folder", "base", "new", "--approve-all")
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1].startswith("nothing approved")


def test_what_is_approved_passes(cli, project):
    rules(project)
    assert cli("folder", "base", "new", "--approve", "b.png").code == 3
    # A name is that of one file, wherever others of the name are.
    assert cli("folder", "base", "new", "--approve", "c.png").code == 2
    assert cli("folder", "base", "new", "--approve", "**/c.png").code == 0
    assert cli("folder", "base", "new").code == 0


def test_what_could_not_be_compared_for_other_reasons_is_not_approved(cli, project):
    """Of a pair that nothing is known of, nothing can be approved."""
    before = state(project / "base")
    rules(project, RULES + '[[files]]\nglob = "b.png"\nignore = ["500,0,10,10"]\n')
    outcome = cli("folder", "base", "new", "--approve", "b.png")
    assert outcome.code == 4
    assert outcome.out.splitlines()[-1].startswith("nothing approved")
    assert state(project / "base") == before


def test_no_file_changes_its_type(cli, project):
    rules(project)
    put(project / "new" / "b.png", encode(".jpg", gray(60)))
    before = state(project / "base")
    outcome = cli("folder", "base", "new", "--approve-all")
    assert outcome.code == 1
    assert "b.png: is a PNG image and its candidate" in outcome.err
    assert "a JPEG image: convert the candidate" in outcome.err
    # All or nothing.
    assert state(project / "base") == before
    # By any suffix, too.
    (project / "new" / "b.png").rename(project / "new" / "b.jpg")
    assert cli("folder", "base", "new", "--any-suffix", "--approve", "b.png").code == 1
    assert state(project / "base") == before


def test_a_copy_that_fails_leaves_the_old_reference(cli, project, monkeypatch):
    rules(project)
    before = state(project / "base")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dps_infer.files.write.os.replace", full)
    outcome = cli("folder", "base", "new", "--approve", "b.png")
    assert outcome.code == 1
    assert "free some space" in outcome.err
    assert state(project / "base") == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("base", "new", "--approve", "typo.png"), "--approve typo.png: no file of this name"),
        (("base", "new", "--approve", "a**"), "the glob 'a**' is not valid"),
        (("base", "new", "--approve", "a.png", "--approve-all"), "give one"),
        (("--all-pairs", "base", "--approve-all"), "no candidates to approve"),
        (("base", "new", "--github", "--json"), "give one"),
    ],
)
def test_wrong_usage(cli, project, given, words):
    rules(project)
    before = state(project / "base")
    outcome = cli("folder", *given)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.error_line
    assert state(project / "base") == before
