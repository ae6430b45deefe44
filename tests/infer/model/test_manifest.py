"""The manifest: equal bytes for equal manifests, and a clear refusal of everything else."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dps_infer.errors import ContextError
from dps_infer.model.manifest import FORMAT_VERSION, Manifest, decode_manifest, encode_manifest

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
            "judgements": None,
            "amounts": ["color", "blur", "mirror", "other", "size"],
            "importances": {"color": 0.5, "blur": 1.0, "mirror": 0.2, "other": 0.7, "size": 0.0},
            "distortions": [
                {
                    "name": "color",
                    "unit": None,
                    "directions": None,
                    "parameter": "p",
                    "range": [0.0, 1.0],
                },
                {
                    "name": "blur",
                    "unit": "px",
                    "directions": ["softer", "sharper"],
                    "parameter": "q",
                    "range": [0.5, 2.0],
                },
                {
                    "name": "mirror",
                    "unit": None,
                    "directions": None,
                    "parameter": None,
                    "range": None,
                },
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
        "draws": None,
        "ladders": [
            {
                "name": "JPEG quality",
                "steps": [90.0, 10.0],
                "amounts": [[[0.1] * 5, [0.2] * 5], [[0.3] * 5, [0.4] * 5]],
            }
        ],
        "parity": {"max_abs_error": 1e-7, "pairs": 3},
        "precision": "float32",
        "cell": 64,
        "map": "its mean is the distance",
    }


def universal() -> dict:
    """The manifest of a small universal file; no draws show a mirror image."""
    raw = valid()
    raw["metric"] |= {"ranking": None, "importances": None, "scores": None}
    raw["calibration"] = None
    raw["draws"] = {
        "images": 2,
        "per_image": 1,
        "amounts": {"color": [[1.0, 0.0, 0.5, 0.0, 0.3]] * 2, "blur": [[0.0] * 5] * 2},
        "true_amounts": {"color": [1.0, 2.0], "blur": [0.5, 0.25]},
        "uniform": {"color": [0.1, 0.2], "blur": [0.3, 0.4]},
    }
    return raw


def places(node: object, *path: object):
    """Every place in a JSON value: the keys that lead to it."""
    yield path
    children = node.items() if isinstance(node, dict) else ()
    children = enumerate(node) if isinstance(node, list) else children
    for key, child in children:
        yield from places(child, *path, key)


def changed(path: tuple, change, make=valid) -> str:
    """The manifest with the container at `path` but its last key changed in place."""
    raw = make()
    container = raw
    for key in path[:-1]:
        container = container[key]
    change(container, path[-1])
    return json.dumps(raw)


FREE_KEYS = ("importances", "tools", "distances", "amounts", "true_amounts", "uniform")


def listed(make) -> list[tuple]:
    return [(make, path) for path in places(make()) if path]


PLACES = listed(valid) + [one for one in listed(universal) if one[1][0] == "draws"]
FIELDS = [
    (make, path)
    for make, path in PLACES
    if isinstance(path[-1], str) and (len(path) < 2 or path[-2] not in FREE_KEYS)
]


def dotted(value: object) -> str:
    return ".".join(map(str, value)) if isinstance(value, tuple) else getattr(value, "__name__", "")


def refusal(text: str | bytes) -> str:
    with pytest.raises(ContextError) as caught:
        decode_manifest(text)
    message = str(caught.value)
    assert "\n" not in message
    assert "export the context again" in message or "upgrade" in message
    return message


# --- round trips -----------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8")).filter(str.isprintable)
numbers = st.floats(0, 1e30)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    raw = draw(st.sampled_from([valid, universal]))()
    metric = raw["metric"]
    for key in ("name", "variant", "backbone", "comparison"):
        metric[key] = draw(words)
    metric["name"] = draw(words.filter(str.strip))
    if metric["importances"] is not None:
        metric["importances"] = {name: draw(numbers) for name in metric["amounts"]}
        color, blur = metric["importances"]["color"], metric["importances"]["blur"]
        ranking = [["color"], ["blur"]] if color < blur else [["blur"], ["color"]]
        metric["ranking"] = None if color == blur else draw(st.none() | st.just(ranking))
    metric["layers"] = draw(st.lists(words))
    metric["working_size"] = draw(st.none() | st.integers(1, 4096))
    metric["channel_norm"] = draw(st.booleans())
    metric["seed"] = draw(st.integers(0, 2**63 - 1))
    metric["normalize_mean"] = draw(st.tuples(numbers, numbers, numbers))
    metric["tools"] = draw(st.dictionaries(words, words))
    metric["weights"]["source"] = draw(words)
    count = draw(st.integers(2, 5))
    levels = st.lists(numbers, min_size=count, max_size=count).map(sorted)
    if raw["calibration"] is not None:
        metric["scores"]["adapted"] = draw(st.floats(0, 1))
        raw["calibration"]["levels"] = draw(
            st.lists(st.floats(0, 1), min_size=count, max_size=count, unique=True).map(sorted)
        )
        raw["calibration"]["distances"] = draw(
            st.dictionaries(st.sampled_from(["color", "blur"]), levels)
        )
    else:
        raw["draws"]["uniform"]["blur"] = draw(st.lists(numbers, min_size=2, max_size=2))
    raw["parity"]["max_abs_error"] = draw(numbers)
    raw["cell"] = draw(st.none() | st.integers(1, 4096))
    raw["ladders"][0]["steps"] = draw(st.tuples(numbers, numbers))
    raw["ladders"][0]["amounts"][1][0] = draw(st.lists(numbers, min_size=5, max_size=5))
    raw["ladders"] *= draw(st.integers(0, 2))
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


@pytest.mark.parametrize("make", [valid, universal])
def test_it_is_plain_json_with_the_documented_keys(make):
    manifest = decode_manifest(json.dumps(make()))
    assert json.loads(encode_manifest(manifest)) == make()
    assert manifest.universal == (make is universal)


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
        assert f"reads {FORMAT_VERSION}" in message
        assert "upgrade dps-toolkit" in message


def test_an_older_version_is_refused_as_such_whatever_its_fields():
    for version in range(1, FORMAT_VERSION):
        for raw in ({**valid(), "format": version}, {"format": version}):
            message = refusal(json.dumps(raw))
            assert f"format {version}, this version reads {FORMAT_VERSION}" in message
            assert "export the context again" in message


@pytest.mark.parametrize("version", [None, "1", 1.0, True, 0, -1, [1]])
def test_a_version_that_is_none(version):
    assert "no format version" in refusal(json.dumps({**valid(), "format": version}))


@pytest.mark.parametrize("text", ["[]", "null", "1", '"format"', "{}"])
def test_json_that_is_no_manifest(text):
    assert "no format version" in refusal(text)


@pytest.mark.parametrize("text", ["", "{", "not json", b"\xff\xfe", "[" * 100_000])
def test_what_is_no_json(text):
    assert "no JSON" in refusal(text)


@pytest.mark.parametrize(("make", "path"), FIELDS, ids=dotted)
def test_a_missing_field_is_named(make, path):
    message = refusal(changed(path, lambda container, key: container.pop(key), make))
    assert path[-1] in message


@pytest.mark.parametrize(
    ("make", "path"), dict.fromkeys((make, path[:-1]) for make, path in FIELDS), ids=dotted
)
def test_a_surplus_field_is_named(make, path):
    def add(container, key):
        container["colour_space"] = "linear"

    assert "colour_space" in refusal(changed((*path, ""), add, make))


@pytest.mark.parametrize(("make", "path"), PLACES, ids=dotted)
def test_a_wrong_type_is_refused(make, path):
    def set_wrong(container, key):
        container[key] = {"wrong": object.__name__} if key != "tools" else 3

    refusal(changed(path, set_wrong, make))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(words, children, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(PLACES), JSON_VALUES)
def test_any_value_anywhere_is_taken_or_refused(place, value):
    make, path = place
    text = changed(path, lambda container, key: container.__setitem__(key, value), make)
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
    ("metric", "distortions", 0, "range", 1),
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
    ("calibration", "message"),
    [
        ({"levels": []}, "levels"),
        ({"levels": [0.5], "distances": {"blur": [1.0]}}, "levels"),
        ({"levels": [0.0, 1.0, 0.5]}, "levels"),
        ({"distances": {"blur": [0.0, 1.0]}}, "'blur'"),
        ({"distances": {"blur": [0.0, 2.0, 1.0]}}, "'blur'"),
        ({"distances": {"sharpen": [0.0, 1.0, 2.0]}}, "'sharpen'"),
    ],
)
def test_a_calibration_that_contradicts_itself(calibration, message):
    raw = valid()
    raw["calibration"].update(calibration)
    assert message in refusal(json.dumps(raw))


def contradiction(make, *path: object, value: object) -> str:
    message = refusal(changed(path, lambda at, key: at.__setitem__(key, value), make))
    assert "contradicts itself" in message
    return message


@pytest.mark.parametrize(
    ("ranking", "message"),
    [
        ([["color"], ["sharpen"]], "unknown distortion 'sharpen'"),
        ([["color"], ["blur", "color"]], "color appears 2 times"),
        ([["color", "blur"]], "at least two"),
        ([], "at least two"),
    ],
)
def test_a_ranking_that_does_not_fit(ranking, message):
    assert message in contradiction(valid, "metric", "ranking", value=ranking)


@pytest.mark.parametrize(
    "importances",
    [
        {"color": 0.5, "sharpen": 1.0, "mirror": 0.2, "other": 0.7, "size": 0.0},
        {"color": 0.5, "blur": 1.0, "mirror": 0.2, "other": 0.7},
        {"blur": 1.0, "color": 0.5, "mirror": 0.2, "other": 0.7, "size": 0.0},
        {"other": 1.0},
        {},
    ],
)
def test_importances_that_do_not_fit_the_amounts(importances):
    assert "do not fit its amounts" in contradiction(
        valid, "metric", "importances", value=importances
    )


@pytest.mark.parametrize(
    "amounts",
    [
        ["color", "blur", "mirror"],
        ["color", "blur", "mirror", "other"],
        ["blur", "color", "mirror", "other", "size"],
        ["color", "blur", "mirror", "size", "other"],
        ["size"],
        [],
    ],
)
def test_amounts_that_are_not_the_distortions(amounts):
    assert "its amounts are not" in contradiction(valid, "metric", "amounts", value=amounts)


@pytest.mark.parametrize("name", ["other", "size", "color"])
def test_a_distortion_of_a_name_that_is_taken(name):
    raw = valid()
    raw["metric"]["distortions"][1]["name"] = name
    raw["metric"]["amounts"][1] = name
    assert "each once" in refusal(json.dumps(raw))


def test_a_metric_that_names_no_kinds():
    raw = valid()
    raw["metric"] |= {"amounts": ["other"], "importances": {"other": 1.0}}
    assert "ladder" in refusal(json.dumps(raw))
    raw |= {"ladders": [], "cell": None}
    manifest = decode_manifest(json.dumps(raw))
    assert manifest.metric.amounts == ["other"]
    assert manifest.metric.distortion_names == ("color", "blur", "mirror")


@pytest.mark.parametrize(
    "change",
    [
        {"steps": [90.0]},
        {"steps": [], "amounts": []},
        {"amounts": [[], []]},
        {"amounts": [[[0.1] * 5], [[0.3] * 5, [0.4] * 5]]},
        {"amounts": [[[0.1] * 4], [[0.3] * 5]]},
    ],
)
def test_a_ladder_that_contradicts_itself(change):
    raw = valid()
    message = contradiction(valid, "ladders", value=[{**raw["ladders"][0], **change}])
    assert "its ladder 'JPEG quality' has" in message


def test_plain_and_universal_parts_do_not_mix():
    assert "a ranking and no importances" in contradiction(
        universal, "metric", "ranking", value=[["color"], ["blur"]]
    )
    for make, key, value in [
        (valid, "calibration", None),
        (valid, "draws", universal()["draws"]),
        (universal, "calibration", valid()["calibration"]),
        (universal, "draws", None),
    ]:
        assert "a plain one the other way round" in contradiction(make, key, value=value)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("images",), 3, "are not 3"),
        (("per_image",), 2, "are not 4"),
        (("amounts", "blur"), [[0.0] * 5], "'blur'"),
        (("amounts", "blur", 1), [0.0] * 2, "5 amounts each"),
        (("true_amounts", "color"), [1.0], "'color'"),
        (("uniform", "color"), [], "'color'"),
        (("uniform",), {"color": [0.1, 0.2]}, "do not fit its distortions"),
        (("amounts",), {}, "do not fit its distortions"),
        (("true_amounts",), {"color": [1.0, 2.0]}, "do not fit its distortions"),
    ],
)
def test_draws_that_contradict_themselves(path, value, message):
    assert message in contradiction(universal, "draws", *path, value=value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("cell",), 0),
        (("ladders", 0, "amounts", 0, 0, 0), -0.1),
        (("metric", "distortions", 0, "directions"), ["one"]),
        (("draws", "images"), 0),
        (("draws", "per_image"), -1),
        (("draws", "uniform", "blur", 0), -0.1),
        (("draws", "amounts", "blur", 0, 0), -0.1),
    ],
)
def test_values_out_of_range(path, value):
    assert "not valid" in refusal(
        changed(path, lambda at, key: at.__setitem__(key, value), universal)
    )


@pytest.mark.parametrize(
    "importances",
    [
        {"color": 1.0, "blur": 0.5, "other": 0.7},
        {"color": 1.0, "blur": 1.0, "other": 0.7},
        {"color": 0.0, "blur": 0.0, "other": 0.7},
    ],
)
def test_importances_in_another_order_than_the_ranking_are_refused(importances):
    raw = valid()
    raw["metric"]["importances"] = importances
    assert "in another order than its ranking" in refusal(json.dumps(raw))


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\u202eb", "\x7f", "a\0", "x" * 10_001])
@pytest.mark.parametrize("key", ["name", "variant", "backbone", "comparison"])
def test_texts_that_could_drive_a_terminal_are_refused(key, text):
    raw = valid()
    raw["metric"][key] = text
    assert "control characters" in refusal(json.dumps(raw)) or key == "name"
    raw = valid()
    raw["metric"]["tools"] = {text: "1"}
    assert "control characters" in refusal(json.dumps(raw))


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_names_are_neither_empty_nor_endless(name):
    raw = valid()
    raw["metric"]["name"] = name
    assert "has a name that is empty or longer" in refusal(json.dumps(raw))


@pytest.mark.parametrize("outputs", [[], ["distance", "distance"]])
def test_outputs_that_contradict_themselves(outputs):
    assert "its outputs are none, or one" in refusal(json.dumps(valid() | {"outputs": outputs}))
