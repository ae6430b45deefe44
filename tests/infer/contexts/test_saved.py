"""Saved contexts: their files, their folders, and metrics in them."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import DISTORTIONS, encode

from dps_infer import ContextError, Metric
from dps_infer.contexts import folders
from dps_infer.contexts.context import Context, choose_context
from dps_infer.contexts.ranking import KINDS, ranking_importances
from dps_infer.contexts.ranking import PAPER_DISTORTIONS as SIX
from dps_infer.contexts.saved import read_saved, saved_context, write_saved
from dps_infer.errors import OutputError, UsageError
from dps_infer.model import embedded
from dps_infer.model.context_file import read_context_file
from dps_infer.testing import assert_similar

GALLERY = (
    *("camera-pipeline", "general", "map-rendering", "print-inspection"),
    *("ui-regression", "video-coding"),
)
GOOD = 'format = 1\nname = "mine"\nwhy = "So."\nfrom = "me"\n'


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, monkeypatch):
    """No context of whoever runs the tests is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "user"))


@pytest.fixture
def read(tmp_path):
    """Read a context called `mine` from a text."""

    def read_text(text: str | bytes) -> Context:
        path = tmp_path / "mine.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_saved(path)

    return read_text


def ranked(name: str, *order: str) -> Context:
    return saved_context(name, "So.", "me", ranking=",".join(order))


# --- the file -------------------------------------------------------------------------


def test_a_ranking_is_read(read):
    saved = read(GOOD + 'ranking = "3=1,blur"\n[figures]\nscore = 1\n')
    assert saved.ranking == (("color", "translate"), ("blur",))
    assert saved.importances == ranking_importances(saved.ranking, KINDS)
    assert (saved.name, saved.why, saved.origin) == ("mine", "So.", "me")
    assert saved.figures == {"score": 1.0}


def test_importances_are_read_and_what_is_missing_does_not_count(read):
    saved = read(GOOD + "[importances]\nblur = 2\nother = 0.5\n")
    expected = {"blur": 2.0, "other": 0.5}
    assert saved.importances == {**dict.fromkeys(KINDS, 0.0), **expected}
    assert saved.for_distortions(SIX).importances == {**dict.fromkeys(SIX, 0.0), **expected}


def test_distortions_of_its_own_are_known_to_it_and_refused_by_a_metric_without_them(read):
    text = 'distortions = ["blur", "jpeg"]\n'
    saved = read(GOOD + text + 'ranking = "blur,jpeg"\n')
    assert saved.for_distortions(["blur", "jpeg"]).importances == pytest.approx(
        {"blur": 0.4, "jpeg": 1.0, "other": 0.4**0.5}
    )
    with pytest.raises(UsageError, match="context mine: unknown distortion 'jpeg'"):
        saved.for_distortions(SIX)
    # A metric need not know a distortion of importance 0.
    saved = read(GOOD + text + "[importances]\njpeg = 0\nblur = 1\n")
    assert saved.for_distortions(SIX).importances["blur"] == 1


BAD = {
    "no TOML": ("format = ", "is no TOML"),
    "no text": (b"\xff\xfe", "is no TOML"),
    "empty": ("", "is empty"),
    "no format": ('name = "mine"', "no format version"),
    "a format that is none": (GOOD.replace("1", "true"), "no format version"),
    "newer": ("format = 2\nshiny = 1", "format 2, this version reads 1: upgrade"),
    "unknown field": (GOOD + 'ranking = "color,blur"\nshiny = 1', "shiny"),
    "no reasons": (GOOD.replace("So.", " ") + 'ranking = "color,blur"', "'why' is empty"),
    "no why": (GOOD.replace("why", "#") + 'ranking = "color,blur"', "why"),
    "no origin": (GOOD.replace('"me"', '""') + 'ranking = "color,blur"', "'from' is empty"),
    "neither": (GOOD, "ranking or importances, got none"),
    "both": (GOOD + 'ranking = "color,blur"\n[importances]\nblur = 1', "got both"),
    "unknown name in a ranking": (GOOD + 'ranking = "colour,blur"', "did you mean color"),
    "a name twice": (GOOD + 'ranking = "blur,blur"', "blur appears 2 times"),
    "no order": (GOOD + 'ranking = "blur"', "at least two distortions"),
    "unknown name": (GOOD + "[importances]\njpeg = 1", "unknown distortion 'jpeg'"),
    "negative": (GOOD + "[importances]\nblur = -1", "importance of blur is '-1.0'"),
    "infinite": (GOOD + "[importances]\nblur = inf", "importance of blur is 'inf'"),
    "no number": (GOOD + "[importances]\nblur = nan", "importance of blur is 'nan'"),
    "a text": (GOOD + '[importances]\nblur = "1"', "importances"),
    "a truth": (GOOD + "[importances]\nblur = true", "importances"),
    "beyond a float": (GOOD + f"[importances]\nblur = 1{'0' * 400}", "not a valid saved context"),
    "none at all": (GOOD + "[importances]\n", "every importance is 0"),
    "all zero": (GOOD + "[importances]\nblur = 0", "every importance is 0"),
    "infinite figure": (GOOD + 'ranking = "color,blur"\n[figures]\nx = inf', "figure 'x' is inf"),
    "other ranked": (
        GOOD + 'distortions = ["blur", "other"]\nranking = "blur,other"',
        "no other",
    ),
    "a name that is no file's": (
        GOOD.replace("mine", "../x") + 'ranking = "color,blur"',
        "no name",
    ),
    "another name": (GOOD.replace("mine", "yours") + 'ranking = "color,blur"', "yours.toml"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_a_bad_file_is_refused_in_one_line(read, text, message):
    with pytest.raises(ContextError, match=r"mine\.toml: ") as caught:
        read(text)
    assert message in str(caught.value)
    assert len(caught.value.lines) == 1
    assert "\n" not in str(caught.value)


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text == text.strip() != ""
)
numbers = st.floats(1e-9, 1e9) | st.just(0.0)
figures = st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=3)


@given(why=texts, origin=texts, values=st.tuples(*[numbers] * 16).filter(any), extra=figures)
def test_what_is_written_is_read_again(tmp_path_factory, why, origin, values, extra):
    importances = dict(zip([*KINDS, "other", "size"], values, strict=True))
    saved = saved_context("mine", why, origin, importances=importances, figures=extra)
    folder = tmp_path_factory.mktemp("saved")
    assert read_saved(write_saved(saved, folder)) == saved
    for ranking in ("blur=zoom,color", "noise,*,other=blur"):
        ordered = saved_context("mine", why, origin, ranking=ranking)
        assert read_saved(write_saved(ordered, folder, force=True)) == ordered


def test_writing_replaces_nothing_unasked_and_leaves_no_half(tmp_path):
    path = write_saved(ranked("mine", "color", "blur"), tmp_path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_saved(ranked("mine", "blur", "color"), tmp_path)
    bad = dataclasses.replace(ranked("mine", "blur", "color"), why="\udcff")
    with pytest.raises(UsageError, match="no Unicode text"):
        write_saved(bad, tmp_path, force=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.toml"]


# --- where they are found -------------------------------------------------------------


def test_the_nearest_of_a_name_wins_and_says_what_it_hides(tmp_path):
    name = "print-inspection"
    assert folders.find(name).place is folders.Place.gallery
    assert folders.find(name).note is None
    user = write_saved(ranked(name, "color", "blur"), tmp_path / "user")
    found = folders.find(name)
    assert (found.place, found.path) == (folders.Place.user, user)
    assert found.context.ranking == (("color",), ("blur",))
    assert found.note is not None
    assert str(found.hides[0]) in found.note
    write_saved(ranked(name, "blur", "color"), tmp_path / "contexts")
    found = folders.find(name)
    assert found.place is folders.Place.project
    assert found.hides[0] == user
    assert len(found.hides) == 2


def test_a_folder_that_is_both_is_looked_into_once(tmp_path, monkeypatch):
    monkeypatch.setenv(folders.VARIABLE, str(tmp_path / "contexts"))
    write_saved(ranked("mine", "color", "blur"), tmp_path / "contexts")
    assert folders.find("mine").hides == ()


def test_without_the_variable_it_is_the_folder_of_the_platform(monkeypatch):
    monkeypatch.delenv(folders.VARIABLE)
    folder = folders.user_folder()
    assert folder.is_absolute()
    assert folder.parts[-2:] == ("dps-toolkit", "contexts")


@pytest.mark.parametrize("name", ["", "../print-inspection", "a.b", "Print-Inspection", "x" * 65])
def test_a_name_that_cannot_be_one_is_refused(name):
    with pytest.raises(UsageError, match="is no name of a context"):
        folders.find(name)


def test_a_bad_file_stops_nobody_else(tmp_path):
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / "bad.toml").write_text("hello")
    found, problems = folders.find_all()
    assert [one.context.name for one in found] == list(GALLERY)
    (problem,) = problems
    assert "bad.toml: is no TOML" in problem
    with pytest.raises(ContextError, match=r"bad\.toml: is no TOML"):
        folders.find("bad")


# --- the gallery ----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({*GALLERY} - {"general"}))
def test_the_gallery_is_valid_says_why_and_orders_something(name):
    saved = folders.find(name).context
    assert len(saved.why.split()) >= 50
    importances = saved.importances
    assert set(importances) == {*KINDS, "other"}
    assert len({importances[distortion] for distortion in SIX}) > 2
    assert all(value > 0 for value in importances.values())


def test_the_general_context_is_the_size_itself(universal, photo):
    saved = folders.find("general").context
    assert {name: value for name, value in saved.importances.items() if value} == {"size": 1.0}
    assert len(saved.why.split()) >= 50
    general = universal.in_context(context=saved).compare(photo, photo // 2)
    assert general.distance == general.size > 0
    assert sum(general.parts.values()) == pytest.approx(general.size, rel=1e-6)
    total = sum(general.amounts.values())
    for name, part in general.parts.items():
        expected = general.size * general.amounts[name] / total
        assert part == pytest.approx(expected, rel=1e-6, abs=0)


def test_the_known_distortions_are_those_of_the_packages_metric():
    if not embedded.UNIVERSAL.is_file():
        pytest.skip("there is no universal.onnx: make it with python -m dps_export.universal")
    metric = read_context_file(embedded.UNIVERSAL).manifest.metric
    assert metric.distortion_names == KINDS


# --- measuring ------------------------------------------------------------------------


def test_a_named_context_measures_as_its_ranking_does(universal_path, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(embedded, "UNIVERSAL", universal_path)
    write_saved(ranked("mine", "color", "rotate", "blur"), tmp_path / "user")
    named = Metric.named("mine", device="cpu", threads=1)
    same = Metric.load(universal_path, ranking="color,rotate,blur", device="cpu", threads=1)
    assert named.importances == same.importances
    assert named.ranking == same.ranking
    assert (named.label, named.name) == ("mine", "mine")
    assert (same.label, same.name) == ("color-rotate-blur", "universal")
    pair = photo, 255 - photo
    assert named.compare(*pair).distance == same.compare(*pair).distance
    other = named.in_context(context=ranked("other", "blur", "color"))
    assert other.label == "other"
    assert other.compare(*pair).distance != named.compare(*pair).distance


def test_a_metric_takes_one_context_and_a_plain_one_none(context_path):
    saved = ranked("mine", "color", "blur")
    with pytest.raises(UsageError, match="got 2: give one"):
        choose_context(SIX, ranking="color,blur", context=saved)
    with pytest.raises(UsageError, match="frozen in"):
        Metric.load(context_path, context=saved, device="cpu")


@pytest.fixture
def images(tmp_path, photo):
    (tmp_path / "a.png").write_bytes(encode(".png", photo))
    (tmp_path / "b.png").write_bytes(encode(".png", 255 - photo))
    return tmp_path / "a.png", tmp_path / "b.png"


def test_the_command_line_has_a_column_for_each_name(cli, images, universal_path):
    names = ("print-inspection", "map-rendering")
    given = [word for name in names for word in ("--context-name", name)]
    outcome = cli("compare", *images, "--context", universal_path, *given, "--json")
    assert outcome.code == 0, outcome.err
    for name, record in zip(names, outcome.record, strict=True):
        saved = folders.find(name).context
        assert record["context"]["label"] == name
        assert record["context"]["importances"] == saved.for_distortions(DISTORTIONS).importances
    assert outcome.record[0]["distance"] != outcome.record[1]["distance"]


@pytest.mark.parametrize("command", ["rank", "compare"])
def test_words_name_the_context_and_what_it_hides(cli, images, universal_path, tmp_path, command):
    write_saved(ranked("print-inspection", "color", "blur"), tmp_path / "user")
    arguments = (*images, "--context", universal_path, "--context-name", "print-inspection")
    outcome = cli(command, *arguments)
    assert outcome.code == 0, outcome.err
    assert "context print-inspection: color < blur" in outcome.out
    assert "note: context print-inspection is that of" in outcome.err


def test_command_line_errors(cli, images, universal_path, context_path, tmp_path):
    def error(*arguments):
        outcome = cli("compare", *images, "--context-name", *arguments)
        assert outcome.code == 2
        return outcome.error_line

    assert "did you mean print-inspection?" in error("print-inspektion")
    line = error("map-rendering", "--ranking", "color,blur")
    assert "--ranking and --context-name say the same thing" in line
    assert "frozen in" in error("map-rendering", "--context", context_path)
    bad = tmp_path / "user" / "bad.toml"
    bad.parent.mkdir()
    bad.write_text(GOOD.replace("mine", "bad") + "[importances]\nblur = -1\n")
    outcome = cli("compare", *images, "--context-name", "bad", "--context", universal_path)
    assert outcome.code == 1
    assert "importance of blur" in outcome.error_line


def test_an_assertion_takes_a_name(universal_path, universal, photo):
    changed = (photo // 2).astype(photo.dtype)
    asked = {"threshold": 9.0, "context_name": "map-rendering"}
    by_path = assert_similar(changed, photo, metric=universal_path, **asked)
    loaded = assert_similar(changed, photo, metric=universal, **asked)
    expected = universal.in_context(context=folders.find("map-rendering").context)
    assert by_path.distance == loaded.distance == expected.compare(photo, changed).distance
