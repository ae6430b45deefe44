"""The JSON of the commands that compare matches the schemas in the docs."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from infer_helpers import encode

from dps_infer.model.manifest import Manifest

jsonschema = pytest.importorskip("jsonschema")

SCHEMAS = Path(__file__).parents[3] / "docs" / "json"
DRAFT = "https://json-schema.org/draft/2020-12/schema"
RANKINGS = ("--ranking", "color,blur", "--ranking", "blur,color")


@pytest.fixture
def images(tmp_path, photo):
    """Two folders with a pair, a file without counterpart, and a damaged one."""
    files = {
        "one/a.png": encode(".png", photo),
        "two/a.png": encode(".png", photo[::-1].copy()),
        "one/only.png": encode(".png", photo),
        "one/bad.png": b"hello",
        "two/bad.png": b"hello",
    }
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    return tmp_path


CALLS = {
    "compare": ["one/a.png", "two/a.png", "--map", "heat.png"],
    "compare, a threshold": ["one/a.png", "two/a.png", "--threshold", "0.1"],
    "compare, an array": ["one/a.png", "one/a.png", "two/a.png", *RANKINGS[2:]],
    "rank": ["one/a.png", "one/a.png", "two/a.png", *RANKINGS[2:]],
    "folder": ["one", "two", "--threshold", "0.1", *RANKINGS[2:]],
    "folder, all pairs": ["--all-pairs", "one"],
    "info": [],
}


def schema(name: str) -> dict:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))


def broken(value: object) -> list[object]:
    """Return copies of a value in which one field, at any depth, is missing."""
    found: list[object] = []
    if isinstance(value, dict):
        for key in value:
            found.append({name: part for name, part in value.items() if name != key})
        for key, part in value.items():
            found += [{**value, key: less} for less in broken(part)]
    elif isinstance(value, list) and value:
        found = [[less, *value[1:]] for less in broken(value[0])]
    return found


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("plain", [True, False])
def test_output_is_what_the_schema_says(
    cli, images, context_path, universal_path, monkeypatch, call, plain
):
    monkeypatch.chdir(images)
    command, arguments = call.split(",")[0], CALLS[call]
    if command == "info":
        given = [context_path if plain else universal_path]
    elif plain:
        arguments = [word for word in arguments if word not in RANKINGS]
        given = ["--context", context_path]
    else:
        given = ["--context", universal_path, *RANKINGS[:2]]
    outcome = cli(command, *arguments, *given, "--json")
    assert outcome.code in (0, 3, 4), outcome.err
    value = json.loads(outcome.out)
    validator = jsonschema.Draft202012Validator(schema(command))
    validator.validate(value)
    surplus = [{**value[0], "surplus": 1}] if isinstance(value, list) else {**value, "surplus": 1}
    assert not validator.is_valid(surplus)


@pytest.mark.parametrize("command", ["compare", "rank", "folder"])
def test_schemas_miss_what_is_missing(cli, images, context_path, monkeypatch, command):
    monkeypatch.chdir(images)
    value = cli(command, *CALLS[command][:2], "--context", context_path, "--json").record
    validator = jsonschema.Draft202012Validator(schema(command))
    validator.validate(value)
    # Names of contexts and of parts are free, and so are not missed.
    free = {
        *("amounts", "parts", "percentiles", "importances"),
        *("strengths", "directions", "anchors"),
    }
    incomplete = broken(without(value, free))
    assert len(incomplete) > len(value)
    assert [less for less in incomplete if validator.is_valid(less)] == []


def without(value: object, free: set[str]) -> object:
    """Empty the objects whose keys are free."""
    if isinstance(value, dict):
        return {k: {} if k in free else without(part, free) for k, part in value.items()}
    return [without(part, free) for part in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.name)
def test_schemas_are_sound(path):
    found = json.loads(path.read_text("utf-8"))
    assert found["$schema"] == DRAFT
    assert found["title"]
    jsonschema.Draft202012Validator.check_schema(found)


def test_the_schema_of_info_is_that_of_the_manifest():
    expected = {"$schema": DRAFT, "title": "dps-infer info --json", **msgspec.json.schema(Manifest)}
    assert schema("info") == expected, "write docs/json/info.schema.json again"
