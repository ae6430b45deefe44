"""The manifest: equal bytes for equal manifests, and a clear refusal of everything else."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dps_infer.errors import ContextError
from dps_infer.manifest import FORMAT_VERSION, Manifest, decode_manifest, encode_manifest

NAMES = ("rotate", "translate", "darken", "color", "blur", "zoom")
HASH = "ab" * 32


def valid() -> dict:
    """A small manifest as JSON holds it."""
    return {
        "format": FORMAT_VERSION,
        "metric": {
            "name": "3-1",
            "variant": "additive",
            "ranking": [["color"], ["blur"]],
            "importances": {"color": 0.5, "blur": 1.0, "other": 0.7},
            "distortions": [
                {
                    "name": name,
                    "parameter": "p",
                    "range": [0.0, 1.0],
                    "strength": "s",
                    "threshold": 0.1,
                    "reference": 0.5,
                }
                for name in ("color", "blur")
            ],
            "backbone": "embedded",
            "layers": ["stage1"],
            "comparison": "spatial+mean",
            "channel_norm": True,
            "normalize_mean": [0.1, 0.2, 0.3],
            "normalize_std": [1.0, 1.0, 1.0],
            "working_size": 64,
            "weights": {"source": "random", "sha256": HASH, "licence": "none"},
            "training_data": {"source": "sample", "images": 5, "sha256": HASH},
            "held_out_data": {"source": "sample", "images": 1, "sha256": HASH},
            "seed": 0,
            "scores": {"baseline": 0.7, "adapted": 0.9, "ceiling": 1.0},
            "tools": {"torch": "2"},
        },
        "calibration": {
            "levels": [0.0, 0.5, 1.0],
            "distances": {"blur": [0.0, 0.25, 2.0]},
            "images": 1,
        },
        "parity": {"max_abs_error": 1e-7, "pairs": 3},
        "precision": "float32",
        "map": "its mean is the distance",
    }


def places(node: object, *path: object):
    """Every place in a JSON value: the keys that lead to it."""
    yield path
    children = node.items() if isinstance(node, dict) else ()
    children = enumerate(node) if isinstance(node, list) else children
    for key, child in children:
        yield from places(child, *path, key)


def changed(path: tuple, change) -> str:
    """The valid manifest with the container at `path` but its last key changed in place."""
    raw = valid()
    container = raw
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return json.dumps(raw)


PLACES = [path for path in places(valid()) if path]
FREE_KEYS = ("importances", "tools", "distances")
FIELDS = [
    path
    for path in PLACES
    if isinstance(path[-1], str) and (len(path) < 2 or path[-2] not in FREE_KEYS)
]


def dotted(path: tuple) -> str:
    return ".".join(map(str, path))


def refusal(text: str | bytes) -> str:
    with pytest.raises(ContextError) as caught:
        decode_manifest(text)
    message = str(caught.value)
    assert "\n" not in message
    assert "export the context again" in message or "upgrade" in message
    return message


# --- what is written is read back -----------------------------------------------------

words = st.text(st.characters(codec="utf-8"))
numbers = st.floats(0, 1e30)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    raw = valid()
    metric = raw["metric"]
    for key in ("name", "variant", "backbone", "comparison"):
        metric[key] = draw(words)
    known = st.sampled_from(["color", "blur"])
    metric["ranking"] = draw(st.none() | st.lists(st.lists(known)))
    metric["importances"] = {name: draw(numbers) for name in ("color", "blur", "other")}
    metric["layers"] = draw(st.lists(words))
    metric["working_size"] = draw(st.none() | st.integers(1, 4096))
    metric["channel_norm"] = draw(st.booleans())
    metric["seed"] = draw(st.integers(0, 2**63 - 1))
    metric["normalize_mean"] = draw(st.tuples(numbers, numbers, numbers))
    metric["tools"] = draw(st.dictionaries(words, words))
    metric["weights"]["source"] = draw(words)
    metric["scores"]["adapted"] = draw(st.floats(0, 1))
    count = draw(st.integers(2, 5))
    levels = st.lists(numbers, min_size=count, max_size=count).map(sorted)
    raw["calibration"]["levels"] = draw(
        st.lists(st.floats(0, 1), min_size=count, max_size=count, unique=True).map(sorted)
    )
    raw["calibration"]["distances"] = draw(
        st.dictionaries(st.sampled_from(["color", "blur"]), levels)
    )
    raw["parity"]["max_abs_error"] = draw(numbers)
    return msgspec.convert(raw, Manifest)


@given(manifests())
def test_round_trip_is_exact_and_bytes_are_equal(manifest):
    text = encode_manifest(manifest)
    read = decode_manifest(text)
    assert read == manifest
    assert encode_manifest(read) == text
    assert decode_manifest(text.encode()) == manifest


def test_the_order_of_keys_does_not_depend_on_who_wrote_them():
    def reversed_fields(node):
        if isinstance(node, dict):
            items = [(key, reversed_fields(value)) for key, value in node.items()]
            free = set(node) & {"color", "blur", "torch"}
            return dict(items if free else reversed(items))
        return [reversed_fields(item) for item in node] if isinstance(node, list) else node

    straight = decode_manifest(json.dumps(valid()))
    turned = decode_manifest(json.dumps(reversed_fields(valid())))
    assert encode_manifest(turned) == encode_manifest(straight)


def test_it_is_plain_json_with_the_documented_keys():
    manifest = decode_manifest(json.dumps(valid()))
    assert json.loads(encode_manifest(manifest)) == valid()
    assert manifest.parts == ["color", "blur", "other"]


# --- refusals -------------------------------------------------------------------------


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, FORMAT_VERSION + 1000])
def test_a_newer_version_is_refused_as_such_whatever_its_fields(version):
    for raw in (
        {**valid(), "format": version},
        {**valid(), "format": version, "colour_space": "linear"},
        {"format": version},
    ):
        message = refusal(json.dumps(raw))
        assert f"format {version}" in message
        assert f"up to {FORMAT_VERSION}" in message
        assert "upgrade dps-toolkit" in message


@pytest.mark.parametrize("version", [None, "1", 1.0, True, 0, -1, [1]])
def test_a_version_that_is_none(version):
    assert "no format version" in refusal(json.dumps({**valid(), "format": version}))


@pytest.mark.parametrize("text", ["[]", "null", "1", '"format"', "{}"])
def test_json_that_is_no_manifest(text):
    assert "no format version" in refusal(text)


@pytest.mark.parametrize("text", ["", "{", "not json", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_json(text):
    assert "no JSON" in refusal(text)


@pytest.mark.parametrize("path", FIELDS, ids=dotted)
def test_a_missing_field_is_named(path):
    message = refusal(changed(path, lambda container, key: container.pop(key)))
    assert path[-1] in message


@pytest.mark.parametrize("path", sorted({path[:-1] for path in FIELDS}, key=str), ids=dotted)
def test_a_surplus_field_is_named(path):
    def add(container, key):
        container["colour_space"] = "linear"

    assert "colour_space" in refusal(changed((*path, ""), add))


@pytest.mark.parametrize("path", PLACES, ids=dotted)
def test_a_wrong_type_is_refused(path):
    def set_wrong(container, key):
        container[key] = {"wrong": object.__name__} if key != "tools" else 3

    refusal(changed(path, set_wrong))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(words, children, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(PLACES), JSON_VALUES)
def test_any_value_anywhere_is_taken_or_refused(path, value):
    text = changed(path, lambda container, key: container.__setitem__(key, value))
    try:
        manifest = decode_manifest(text)
    except ContextError as error:
        message = str(error)
    else:
        assert decode_manifest(encode_manifest(manifest)) == manifest
        return
    assert "\n" not in message


@pytest.mark.parametrize("path", [
    ("metric", "importances", "color"),
    ("metric", "scores", "adapted"),
    ("metric", "distortions", 0, "threshold"),
    ("parity", "max_abs_error"),
    ("calibration", "levels", 1),
], ids=dotted)  # fmt: skip
def test_a_number_beyond_any_float_is_refused(path):
    refusal(changed(path, lambda container, key: container.__setitem__(key, 10**400)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("path", [
    ("metric", "importances", "color"),
    ("calibration", "levels", 1),
    ("calibration", "distances", "blur", 1),
], ids=dotted)  # fmt: skip
def test_numbers_that_are_no_finite_ones_above_zero(path, value):
    refusal(changed(path, lambda container, key: container.__setitem__(key, value)))


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        ({"levels": []}, "levels"),
        ({"levels": [0.5], "distances": {"blur": [1.0]}}, "levels"),
        ({"levels": [0.0, 1.0, 0.5]}, "levels"),
        ({"distances": {"blur": [0.0, 1.0]}}, "'blur'"),
        ({"distances": {"blur": [0.0, 2.0, 1.0]}}, "'blur'"),
        ({"distances": {"sharpen": [0.0, 1.0, 2.0]}}, "'sharpen'"),
    ],
)
def test_a_calibration_that_contradicts_itself(calibration, said):
    raw = valid()
    raw["calibration"].update(calibration)
    assert said in refusal(json.dumps(raw))


def test_a_ranking_of_distortions_that_the_metric_does_not_name():
    raw = valid()
    raw["metric"]["ranking"] = [["color"], ["sharpen"]]
    assert "sharpen" in refusal(json.dumps(raw))


def test_importances_that_do_not_fit_the_distortions():
    raw = valid()
    raw["metric"]["importances"] = {"color": 0.5, "sharpen": 1.0, "other": 0.7}
    assert "importance" in refusal(json.dumps(raw))
