"""`dps.toml`: where it is found, which of its settings apply, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from infer_helpers import encode

from dps_infer.errors import RulesError, UsageError
from dps_infer.rules.book import RuleBook
from dps_infer.rules.file import find_rules, read_rules
from dps_infer.rules.layers import CONTEXT, GATE, IGNORE, MASK, THRESHOLD, ContextChoice, Layer
from dps_infer.rules.opened import OpenedRules
from dps_infer.rules.settings import schema

SCHEMA = Path(__file__).parents[3] / "docs" / "json" / "dps-toml.schema.json"

RULES = """
ranking = "color,blur"
threshold = 0.5
ignore = ["0,0,1,1"]

[[files]]
glob = "charts/**"
threshold = 0.2

[[files]]
glob = ["*.webp", "/base/charts/special.png"]
importance = { blur = 1, color = 0.5 }
threshold = 0.1
gate = "worst"
ignore = []
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with rules, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DPS_CONTEXTS", str(tmp_path / "saved"))
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "dps.toml"
    path.write_text(text, encoding="utf-8")
    return path


# --- finding it --------------------------------------------------------------------------


def test_the_nearest_one_above_is_found(project, monkeypatch):
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert find_rules() is None or not find_rules().is_relative_to(project)
    outer = write(project, "")
    assert find_rules() == outer
    inner = write(project / "a", "")
    assert find_rules() == inner
    assert find_rules(project) == outer
    # A folder of the name is no file.
    (deep / "dps.toml").mkdir()
    assert find_rules() == inner


# --- what applies ------------------------------------------------------------------------


def test_later_tables_override_earlier_ones_key_by_key(project):
    book = RuleBook(read_rules(write(project, RULES)))
    plain = book.settings("base/page.png")
    assert (plain[THRESHOLD].value, plain[THRESHOLD].source) == (0.5, "top of dps.toml")
    assert plain[CONTEXT].value.rankings == ("color,blur",)
    assert plain[GATE].value == "whole"
    assert plain[GATE].source == plain[MASK].source == "default"
    chart = book.settings("base/charts/a.png")
    assert chart[THRESHOLD].value == 0.2
    assert chart[THRESHOLD].source == "[[files]] 1 (charts/**)"
    assert chart[CONTEXT] == plain[CONTEXT]
    both = book.settings(Path("base/charts/special.png"))
    assert both[THRESHOLD].value == 0.1
    assert both[GATE].value == "worst"
    assert both[IGNORE].value == ()
    # A context replaces the whole context of earlier tables.
    choice = both[CONTEXT].value
    assert (choice.rankings, choice.importances) == ((), ("blur=1,color=0.5",))
    assert book.settings(None) == plain


def test_names_are_relative_to_the_rules_wherever_one_stands(project, monkeypatch):
    book = RuleBook(read_rules(write(project, RULES)))
    inside = project / "base" / "charts"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert book.tables_of("special.png") == (0, 1)
    assert book.tables_of(inside / "special.png") == (0, 1)
    assert book.tables_of(project.parent / "elsewhere" / "special.png") == ()
    assert book.tables_of(project.parent / "elsewhere" / "charts" / "x.png") == (0,)


def test_options_override_everything(project):
    option = Layer("--threshold", {THRESHOLD: 3.0})
    book = RuleBook(read_rules(write(project, RULES)), [option])
    for name in ("a.png", "charts/a.png", "a.webp"):
        assert book.settings(name)[THRESHOLD] == book.settings(None)[THRESHOLD]
    assert book.settings(None)[THRESHOLD].source == "--threshold"
    assert RuleBook(None).settings("a.png")[CONTEXT].value == ContextChoice()


def test_paths_are_relative_to_the_file(project, monkeypatch, photo, universal_path):
    (project / "ctx.onnx").write_bytes(universal_path.read_bytes())
    (project / "mask.png").write_bytes(encode(".png", np.full_like(photo, 255)))
    (project / "t.json").write_text("{}")
    path = write(
        project,
        'context = "ctx.onnx"\nranking = "color,blur"\nmask = "mask.png"\nthreshold = "t.json"\n',
    )
    elsewhere = project / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    settings = RuleBook(read_rules(Path("..") / path.name)).settings(None)
    assert settings[CONTEXT].value.files == (elsewhere / ".." / "ctx.onnx",)
    assert settings[MASK].value.is_file()
    assert Path(settings[THRESHOLD].value).is_file()


def test_contexts_beside_the_file_come_first(project, monkeypatch):
    (project / "contexts").mkdir()
    text = 'format = 1\nname = "{0}"\nwhy = "x"\nfrom = "y"\nranking = "color,blur"\n'
    (project / "contexts" / "general.toml").write_text(text.format("general"))
    write(project, 'context-name = "general"\n')
    sub = project / "sub"
    sub.mkdir()
    monkeypatch.chdir(sub)
    notes: list[str] = []
    rules = OpenedRules(RuleBook(read_rules(find_rules())), device="cpu", note=notes.append)
    (metric,) = rules.rule_of(None).metrics.values()
    assert metric.context.ranking == (("color",), ("blur",))
    assert "which hides" in notes[0]


# --- opening -----------------------------------------------------------------------------


def test_each_context_is_opened_once(project, monkeypatch, universal_path):
    (project / "u.onnx").write_bytes(universal_path.read_bytes())
    text = 'context = "u.onnx"\nranking = "color,blur"\nthreshold = 1\n'
    for number, ranking in enumerate(("blur,color", "color,blur", "blur,color")):
        table = f'[[files]]\nglob = "{number}-*.png"\ncontext = "u.onnx"\nranking = "{ranking}"\n'
        text += table + ("threshold = 2\n" if number == 2 else "")
    loaded: list[Path] = []
    from dps_infer.compare import metric

    read = metric.read_context_file

    def counted(path):
        loaded.append(path)
        return read(path)

    monkeypatch.setattr(metric, "read_context_file", counted)
    rules = OpenedRules(RuleBook(read_rules(write(project, text))), device="cpu", threads=1)
    found = [rules.rule_of(f"{number % 4}-{number}.png") for number in range(400)]
    assert len(loaded) == 1
    # The second table says what the top does.
    assert len(set(found)) == 3
    assert found[1] is found[3]
    assert list(rules.metrics) == ["blur-color", "color-blur"]
    assert found[0].thresholds == {"blur-color": 1.0}
    assert found[2].thresholds == {"blur-color": 2.0}
    assert found[0].metrics["blur-color"] is found[2].metrics["blur-color"]


def test_contexts_of_one_name_get_labels_of_their_own(project, context_path):
    for name in ("a", "b"):
        (project / f"{name}.onnx").write_bytes(context_path.read_bytes())
    text = 'context = "a.onnx"\n[[files]]\nglob = "b.png"\ncontext = "b.onnx"\n'
    rules = OpenedRules(RuleBook(read_rules(write(project, text))), device="cpu")
    assert [*rules.rule_of("a.png").metrics] == ["fake"]
    assert [*rules.rule_of("b.png").metrics] == ["fake-2"]


def test_what_shows_only_when_opened_names_file_and_table(project, context_path):
    (project / "plain.onnx").write_bytes(context_path.read_bytes())
    (project / "t.json").write_text("{}")
    path = write(
        project,
        'ranking = "color,blur"\n'
        '[[files]]\nglob = "a.png"\ncontext = "plain.onnx"\nranking = "color,blur"\n'
        '[[files]]\nglob = "b.png"\nthreshold = "t.json"\n'
        '[[files]]\nglob = "c.png"\nthreshold = "auto"\n',
    )
    rules = OpenedRules(RuleBook(read_rules(path)), device="cpu")
    assert rules.rule_of("fine.png").metrics
    for name, words in (
        ("a.png", r"\[\[files\]\] 1 \(a.png\), context: this context file has its context frozen"),
        ("b.png", r"\[\[files\]\] 2 \(b.png\), threshold: .*t.json: is not a threshold file"),
        ("c.png", r"\[\[files\]\] 3 \(c.png\), threshold: the universal metric"),
    ):
        with pytest.raises(RulesError, match=words) as refused:
            rules.rule_of(name)
        assert str(refused.value).startswith(f"{path}: ")
        assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="say what matters"):
        OpenedRules(RuleBook(None)).rule_of("a.png")


# --- what is refused ---------------------------------------------------------------------

TABLE = '[[files]]\nglob = "a.png"\n'

REFUSED = {
    "treshold = 1": ": unknown key 'treshold' (did you mean threshold?)",
    TABLE
    + "contxt-name = 'x'": ": [[files]] 1: unknown key 'contxt-name' (did you mean context-name?)",
    "context_name = 'general'": ": unknown key 'context_name' (did you mean context-name?)",
    "threshold = true": ": threshold: Expected `float | str`, got `bool`",
    "threshold = -1": ": threshold: Expected `float` >= 0.0",
    "threshold = nan": ": threshold: Expected `float` >= 0.0",
    "threshold = inf": ": threshold: expected a threshold that is a finite number >= 0, got inf",
    "threshold = 'much'": ": threshold: expected a threshold that is a number, auto, or a file",
    "threshold = 'no.json'": ": threshold: {folder}/no.json: no such file",
    "gate = 'best'": ": gate: Invalid enum value 'best'",
    "ignore = '1,2,3,4'": ": ignore: Expected `array`, got `str`",
    "ignore = ['1,2,3']": ": ignore: expected a box X,Y,W,H",
    TABLE + "ignore = ['1,2,0,3']": ": [[files]] 1, ignore: expected a box with a width",
    "mask = 'no.png'": ": mask: {folder}/no.png: no such file",
    "context = 'no.onnx'": ": context: {folder}/no.onnx: no such file",
    "context-name = 'generl'": ": context-name: no saved context 'generl' (did you mean general?)",
    TABLE + TABLE + "context-name = 'no'": ": [[files]] 2, context-name: no saved context 'no'",
    "ranking = 'colour,blur'": ": ranking: unknown",
    "importance = { colour = 1 }": ": importance: unknown",
    "importance = { color = 'x' }": ": importance[...]: Expected `float`, got `str`",
    "ranking = 'color,blur'\nimportance = 'blur=1'": ": ranking and importance: say the same thing",
    "[[files]]\nthreshold = 1": ": [[files]] 1: the key 'glob' is missing",
    "[[files]]\nglob = []": ": [[files]] 1, glob: ",
    "[[files]]\nglob = 'a**b'": ": [[files]] 1, glob: the glob 'a**b' is not valid",
    TABLE + "[[files]]\nglob = ['a', '[']": ": [[files]] 2, glob: the glob '[' has no ]",
    "[files]\nglob = 'a'": ": files: Expected `array`, got `object`",
    "resize = 1": ": resize: Expected `bool`, got `int`",
    "a = ": ": is no TOML",
    "\xff": ": is no TOML",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_wrong_is_named_in_one_line(project, text):
    path = project / "dps.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RulesError) as refused:
        read_rules(path)
    message = str(refused.value)
    assert message.startswith(f"{path}{REFUSED[text].format(folder=project)}")
    assert "\n" not in message


def test_the_schema_is_current():
    stored = json.loads(SCHEMA.read_text("utf-8"))
    assert stored == schema(), "write docs/json/dps-toml.schema.json again"


def test_the_schema_takes_what_is_read_and_refuses_what_is_not(project):
    jsonschema = pytest.importorskip("jsonschema")
    tomllib = pytest.importorskip("tomllib")

    validator = jsonschema.Draft202012Validator(schema())
    validator.validate(tomllib.loads(RULES))
    for text in ("treshold = 1", "threshold = true", "gate = 'best'", "[[files]]\nthreshold = 1"):
        assert not validator.is_valid(tomllib.loads(text)), text
