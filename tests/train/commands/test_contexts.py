"""`dps-train contexts`: contexts that are kept under names."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from train_helpers import TINY, strict_json

from dps_infer.contexts import folders
from dps_infer.contexts.combine import compare, merge
from dps_infer.contexts.context import Context
from dps_infer.contexts.ranking import KINDS as DISTORTIONS
from dps_infer.contexts.ranking import SIZE, format_importances
from dps_infer.contexts.saved import read_saved, saved_context
from dps_infer.errors import UsageError
from dps_infer.model.run_folder import read_manifest, run_context
from dps_train.distortions.paper import NAMES

WHY = ("--why", "So.")
PAIRS = math.comb(len(DISTORTIONS), 2)


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch) -> Path:
    """The user's folder, of this test alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "user"))
    return tmp_path / "user"


@pytest.fixture
def contexts(cli):
    """Run `dps-train contexts`; it must succeed unless an error is expected."""

    def run(*arguments: object, code: int = 0):
        outcome = cli("contexts", *arguments)
        assert outcome.code == code, outcome.err
        return outcome

    return run


def weighted(name: str, **importances: float) -> Context:
    complete = {part: importances.get(part, 0.0) for part in (*DISTORTIONS, "other")}
    return saved_context(name, f"Why {name}.", "me", importances=complete)


def of_kinds(importances: dict[str, float]) -> dict[str, float]:
    """Leave out the size, which counts nothing here."""
    assert importances[SIZE] == 0
    return {name: value for name, value in importances.items() if name != SIZE}


# --- side by side, and merged ---------------------------------------------------------


def test_it_knows_the_distortions_of_training():
    assert DISTORTIONS[: len(NAMES)] == NAMES


def test_pairs_are_counted_by_hand():
    first = weighted("a", color=1, blur=4, zoom=4)
    second = weighted("b", color=8, blur=2, zoom=2, other=1)
    sides = compare(first, second)
    assert sides.importances[0]["color"] == 0.25
    assert sides.importances[1]["blur"] == 0.25
    assert sides.pairs == PAIRS
    # All but color-blur and color-zoom: the others are tied and last in both.
    assert sides.alike == PAIRS - 2
    assert compare(first, first).alike == PAIRS


def test_a_merge_is_the_geometric_mean_with_the_largest_1():
    first = weighted("a", color=1, blur=8, zoom=1)
    second = weighted("b", color=4, blur=2, rotate=1)
    even = merge(first, second, weight=0.5, name="c")
    # sqrt(1 * 4) = 2 and sqrt(8 * 2) = 4; zoom and rotate count in one of them alone.
    assert even.importances == pytest.approx(
        {**dict.fromkeys((*DISTORTIONS, "other"), 0.0), "color": 0.5, "blur": 1.0}
    )
    quarter = merge(first, second, weight=0.25, name="c")
    assert quarter.importances["color"] == pytest.approx(4**0.25 / (8**0.75 * 2**0.25))
    assert "Why a." in even.why
    assert "Why b." in even.why


@pytest.mark.parametrize(("weight", "kept"), [(0, 0), (1, 1)])
def test_a_merge_at_an_end_is_that_context(weight, kept):
    pair = weighted("a", color=0.5, blur=1), weighted("b", color=1, zoom=0.25, blur=0.5)
    assert merge(*pair, weight=weight, name="c").importances == pair[kept].importances


def test_a_merge_of_distortions_that_one_does_not_know():
    own = saved_context("b", "So.", "me", ranking="blur,jpeg", distortions=(*DISTORTIONS, "jpeg"))
    merged = merge(weighted("a", blur=1, color=1), own, weight=0.5, name="c")
    assert merged.distortions == (*DISTORTIONS, "jpeg")
    assert merged.importances["jpeg"] == 0
    assert merged.figures == {}


def test_merges_that_mean_nothing_are_refused():
    first, second = weighted("a", color=1), weighted("b", blur=1)
    with pytest.raises(UsageError, match="nothing counts both in a and in b"):
        merge(first, second, weight=0.5, name="c")
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(UsageError, match="weight from 0"):
            merge(first, first, weight=weight, name="c")


# --- the commands ---------------------------------------------------------------------


def test_save_list_show_delete(contexts, user):
    saved = contexts("save", "mine", "--ranking", "3=1,4", *WHY, "--from", "our inspectors")
    assert saved.out == ""
    assert str(user / "mine.toml") in saved.err
    kept = read_saved(user / "mine.toml")
    assert kept.ranking == (("color", "translate"), ("blur",))
    assert kept.origin == "our inspectors"
    listed = {one["name"]: one for one in strict_json(contexts("list", "--json").out)}
    assert listed["mine"]["place"] == "user"
    assert listed["map-rendering"]["place"] == "gallery"
    assert "color = translate < blur" in contexts("list").out
    shown = strict_json(contexts("show", "mine", "--json").out)
    assert shown == listed["mine"]
    assert (shown["why"], shown["importances"]["blur"]) == ("So.", 1)
    words = contexts("show", "mine").out
    for expected in ("So.", "from: our inspectors", "adapted"):
        assert expected in words
    assert re.search(r"^ *blur +1$", words, re.MULTILINE)
    contexts("delete", "mine")
    assert not (user / "mine.toml").exists()
    assert "no saved context 'mine'" in contexts("show", "mine", code=2).error_line


def test_figures_are_those_of_the_packages_metric(contexts, user):
    contexts("save", "mine", "--importance", "color=1,blur=2.5,darken=9", *WHY)
    figures = read_saved(user / "mine.toml").figures
    assert set(figures) == {"baseline", "adapted", "ceiling"}
    assert 0.9 < figures["adapted"] <= 1
    contexts("save", "flat", "--importance", "other=1", *WHY)
    assert read_saved(user / "flat.toml").figures == {}


def test_a_name_of_the_gallery_may_be_taken_and_says_so(contexts):
    saved = contexts("save", "map-rendering", "--ranking", "color,blur", *WHY)
    assert "it hides" in saved.err
    assert "which hides" in contexts("show", "map-rendering").err
    refused = contexts("save", "map-rendering", "--ranking", "blur,color", *WHY, code=1)
    assert "exists already" in refused.error_line
    here = contexts("save", "map-rendering", "--ranking", "blur,color", *WHY, "--here")
    assert str(Path("contexts") / "map-rendering.toml") in here.err
    later = contexts("save", "map-rendering", "--ranking", "zoom,color", *WHY, "--force")
    assert "is found before it" in later.err
    assert strict_json(contexts("show", "map-rendering", "--json").out)["place"] == "project"
    for _ in range(2):
        assert "is now that of" in contexts("delete", "map-rendering").err
    stays = contexts("delete", "map-rendering", code=2).error_line
    assert "comes with the package and stays" in stays


def test_compare_says_how_far_two_agree(contexts):
    names = ("print-inspection", "camera-pipeline")
    words = contexts("compare", *names).out
    record = strict_json(contexts("compare", *names, "--json").out)
    assert [one["name"] for one in record["contexts"]] == list(names)
    for one in record["contexts"]:
        assert max(one["scaled"].values()) == 1
    assert record["pairs"] == PAIRS
    assert record["share"] == record["alike"] / PAIRS
    assert f"{record['alike']} of {PAIRS} pairs" in words


def test_merge_writes_a_context_that_can_be_named(contexts):
    contexts("merge", "print-inspection", "camera-pipeline", "--weight", "0.25", "-o", "both")
    record = strict_json(contexts("show", "both", "--json").out)
    assert record["from"].startswith("merged from print-inspection and camera-pipeline")
    assert max(record["importances"].values()) == 1
    one, two = (folders.find(name).context.importances
                for name in ("print-inspection", "camera-pipeline"))  # fmt: skip
    expected = (one["blur"] / one["color"]) ** 0.75 * (two["blur"] / two["color"]) ** 0.25
    got = record["importances"]["blur"] / record["importances"]["color"]
    assert got == pytest.approx(expected)


def test_a_run_gives_its_context_its_figures_and_its_origin(contexts, run_folder, user):
    contexts("save", "mine", "--run", run_folder, *WHY)
    manifest = read_manifest(run_folder)
    kept = read_saved(user / "mine.toml")
    assert kept.ranking == tuple(map(tuple, manifest.metric.ranking))
    assert kept.importances == pytest.approx(of_kinds(manifest.metric.importances))
    assert kept.figures["adapted"] == manifest.metric.scores.adapted
    assert kept.origin.startswith("run tiny: variant additive, trained on ")


def test_a_run_given_importances_gives_them_and_one_without_amounts_is_refused(run_folder):
    manifest = read_manifest(run_folder)
    manifest.metric.ranking = None
    kept = run_context(manifest, "tiny", name="mine", why="So.")
    assert kept.ranking is None
    assert kept.importances == manifest.metric.importances
    manifest.metric.amounts, manifest.metric.importances = ["other"], {"other": 1.0}
    with pytest.raises(UsageError, match="tells no kinds of change apart"):
        run_context(manifest, "tiny", name="mine", why="So.")


def test_training_takes_a_context_by_its_name(cli, contexts, images_folder, tmp_path):
    data = ("--data", images_folder, *TINY)
    outcome = cli("--context-name", "map-rendering", *data)
    assert outcome.code == 0, outcome.err
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("map-rendering")
    of_gallery, metric = folders.find("map-rendering").context, read_manifest(run).metric
    assert metric.ranking is None
    assert of_kinds(metric.importances) == pytest.approx(of_gallery.importances)

    contexts("save", "map-rendering", "--importance", "color=1,blur=0.3", *WHY)
    outcome = cli("--context-name", "map-rendering", *data, "--out", "given")
    assert outcome.code == 0, outcome.err
    assert "which hides" in outcome.err
    metric = read_manifest(tmp_path / "given").metric
    assert metric.ranking is None
    given = {name: value for name, value in metric.importances.items() if value}
    assert given == pytest.approx({"color": 1, "blur": 0.3})


def test_training_refuses_a_name_that_nobody_has_and_a_context_twice(cli, tmp_path):
    assert "did you mean ui-regression?" in cli("--context-name", "ui-regresion").error_line
    twice = cli("--context-name", "ui-regression", "--ranking", "blur,color")
    assert twice.code == 2
    assert "give one" in twice.error_line
    assert not (tmp_path / "runs").exists()


BAD = {
    "nothing": (["save", "mine", *WHY], 2, "say what to save"),
    "two": (["save", "mine", "--ranking", "1,2", "--importance", "blur=1", *WHY], 2, "one of"),
    "bad name": (["save", "Mine", "--ranking", "1,2", *WHY], 2, "is no name of a context"),
    "no reasons": (["save", "mine", "--ranking", "1,2", "--why", " "], 2, "'why' is empty"),
    "unknown": (["save", "mine", "--ranking", "1,jpeg", *WHY], 2, "unknown distortion 'jpeg'"),
    "negative": (["save", "mine", "--importance", "blur=-1", *WHY], 2, "importance of blur"),
    "no run": (["save", "mine", "--run", "none", *WHY], 1, "is no run folder"),
    "no context": (["compare", "map-rendering", "none"], 2, "no saved context 'none'"),
}


@pytest.mark.parametrize(("arguments", "code", "message"), BAD.values(), ids=BAD)
def test_mistakes_are_one_line_and_write_nothing(contexts, user, arguments, code, message):
    outcome = contexts(*arguments, code=code)
    assert message in outcome.error_line
    assert not user.exists()


def test_a_broken_file_is_told_of_and_hides_nothing(contexts, user):
    user.mkdir()
    (user / "bad.toml").write_text("hello")
    outcome = contexts("list")
    assert "note: " in outcome.err
    assert "bad.toml: is no TOML" in outcome.err
    assert "print-inspection" in outcome.out
    assert "is no TOML" in contexts("show", "bad", code=1).error_line
    contexts("delete", "bad")
    assert not (user / "bad.toml").exists()


def test_contexts_are_handled_without_torch():
    program = (
        "import sys\nfrom dps_train.cli import app\n"
        "app(['contexts', 'compare', 'map-rendering', 'ui-regression'], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_importances_survive_as_they_were_given(contexts, user):
    text = "color=0.1,blur=5,other=0.2"
    contexts("save", "mine", "--importance", text, *WHY)
    assert format_importances(read_saved(user / "mine.toml").importances) == text
