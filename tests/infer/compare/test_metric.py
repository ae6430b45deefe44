"""Loading context files and comparing in them, with a metric whose answers are known."""

from __future__ import annotations

import dataclasses
import hashlib

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from infer_helpers import (
    CELL,
    DIRECTIONS,
    IMPORTANCES,
    KINDS,
    STRENGTH,
    UNITS,
    encode,
    make_manifest,
    make_model,
    write,
)
from onnx import TensorProto, helper

from dps_infer import Metric
from dps_infer.errors import ContextError, ImageError, UsageError
from dps_infer.model.context_file import read_context_file
from dps_infer.model.contract import Measurement, check_measurement, check_ports
from dps_infer.model.manifest import FORMAT_VERSION, encode_manifest
from dps_infer.runtime.engine import Port

# A float32 sum over up to a thousand pixels, in any order.
CLOSE = {"rel": 1e-5, "abs": 1e-7}


def expected_means(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The mean absolute difference of each color channel, in [0, 1]."""
    return np.abs(first.astype(float) - second).mean(axis=(0, 1)) / 255


def expected_distance(first: np.ndarray, second: np.ndarray) -> float:
    red, green, blue = expected_means(first, second)
    return red * IMPORTANCES["rotate"] + green * IMPORTANCES["blur"] + blue * IMPORTANCES["color"]


def images(count: int):
    shapes = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))
    return shapes.flatmap(
        lambda shape: st.lists(arrays.arrays(np.uint8, shape), min_size=count, max_size=count)
    )


# --- comparing ------------------------------------------------------------------------


@given(images(2))
def test_a_comparison_is_what_the_file_computes(context, pair):
    first, second = pair
    before = first.copy(), second.copy()
    result = context.compare(first, second)
    assert result.distance == pytest.approx(expected_distance(first, second), **CLOSE)
    assert sum(result.parts.values()) == pytest.approx(result.distance, **CLOSE)
    assert list(result.amounts) == KINDS
    assert result.size == pytest.approx(expected_means(first, second).mean(), **CLOSE)
    assert result.identical == np.array_equal(first, second)
    assert context.compare(second, first).distance == pytest.approx(result.distance, **CLOSE)
    assert context.compare(first, first).distance == 0
    assert np.array_equal(before[0], first)
    assert np.array_equal(before[1], second)


def test_paths_bytes_and_arrays_are_the_same(context, tmp_path, photo):
    other = 255 - photo
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, pixels in zip(paths, (photo, other), strict=True):
        path.write_bytes(encode(".png", pixels))
    expected = context.compare(photo, other)
    assert context.compare(*paths) == expected
    assert context.compare(*map(str, paths)) == expected
    assert context.compare(*(path.read_bytes() for path in paths)) == expected


def test_a_comparison_is_frozen_and_tells_all(context, photo):
    result = context.compare(photo, 255 - photo)
    assert result.provider == "CPUExecutionProvider"
    assert set(result.percentiles) == {"rotate", "blur"}
    assert (result.map, result.cells) == (None, None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.distance = 0


def test_the_map_comes_when_asked_for(context, photo):
    result = context.compare(photo, 255 - photo, with_map=True)
    assert result.map.shape == photo.shape[:2]
    assert result.map.dtype == np.float32
    assert result.map.mean() == pytest.approx(result.distance, **CLOSE)
    height, width, _ = photo.shape
    assert result.cells.shape == (height // CELL, width // CELL, len(KINDS))
    assert result.cells.dtype == np.float32
    means = result.cells.mean(axis=(0, 1))
    assert means.tolist() == pytest.approx(list(result.amounts.values()), **CLOSE)


def test_strengths_and_directions_are_those_of_the_kinds_that_are_there(context, photo):
    result = context.compare(photo, photo // 2)
    assert result.strengths == {
        name: pytest.approx(STRENGTH * result.amounts[name], rel=1e-6) for name in UNITS
    }
    assert result.directions == dict.fromkeys(DIRECTIONS, -1.0)
    # In the other order, the same change has the other direction.
    back = context.compare(photo // 2, photo)
    assert back.strengths == result.strengths
    assert back.directions == dict.fromkeys(DIRECTIONS, 1.0)
    greener = photo.copy()
    greener[:, :, 1] //= 2
    only = context.compare(photo, greener)
    assert (list(only.strengths), list(only.directions)) == (["blur"], ["blur"])
    same = context.compare(photo, photo)
    assert (same.strengths, same.directions) == ({}, {})


def test_a_distance_is_read_beside_the_ladders_of_the_file(context, photo):
    green = np.zeros_like(photo)

    def anchor_of(difference: int):
        green[:, :, 1] = difference
        (anchor,) = context.compare(np.zeros_like(photo), green).anchors
        return anchor.change, anchor.value, anchor.beyond

    # The typical distances of its steps are 0.2, 0.3 and 0.6.
    assert anchor_of(51 // 2) == ("JPEG quality", 90, -1)
    assert anchor_of(200) == ("JPEG quality", 10, 1)
    assert anchor_of(102) == ("JPEG quality", pytest.approx(50 - 40 / 3, rel=1e-4), 0)


def test_alpha_that_differs_counts_by_the_larger_distance(context):
    white = np.full((2, 2, 3), 255, np.uint8)
    transparent = encode(".png", np.dstack([white, np.zeros((2, 2), np.uint8)]))
    # Over white both are white; over black they differ as much as images can.
    result = context.compare(white, transparent)
    assert result.distance == pytest.approx(expected_distance(white, white * 0), **CLOSE)
    assert not result.identical
    assert any("alpha differs" in note for note in result.notes)
    assert context.compare(transparent, transparent).distance == 0


def test_sizes_that_differ(context, photo):
    with pytest.raises(ImageError, match="32x24"):
        context.compare(photo, photo[:12])
    assert context.compare(photo, photo[:12], resize=True).notes


# --- batches --------------------------------------------------------------------------


@given(images(5), st.integers(1, 6))
def test_a_batch_is_its_pairs(context, drawn, batch_size):
    pairs = context.compare_batch(np.stack(drawn), np.stack(drawn[::-1]), batch_size=batch_size)
    one_by_one = [context.compare(*pair) for pair in zip(drawn, drawn[::-1], strict=True)]
    assert [result.distance for result in pairs] == pytest.approx(
        [result.distance for result in one_by_one], **CLOSE
    )
    assert [result.identical for result in pairs] == [result.identical for result in one_by_one]


@given(images(4))
def test_one_reference_meets_all(context, drawn):
    reference, *candidates = drawn
    expected = [context.compare(reference, candidate).distance for candidate in candidates]
    for form in (reference, [reference], reference[None]):
        found = context.compare_batch(form, candidates, batch_size=2)
        assert [result.distance for result in found] == pytest.approx(expected, **CLOSE)


def test_a_batch_may_mix_sizes_and_sources(context, tmp_path, photo):
    path = tmp_path / "a.png"
    path.write_bytes(encode(".png", photo))
    small = photo[:5, :7]
    transparent = encode(".png", np.dstack([photo, photo[:, :, 0]]))
    references = [path, small, photo, small]
    candidates = (image for image in [255 - photo, 255 - small, transparent, small])
    found = context.compare_batch(references, candidates)
    assert found[0].distance == pytest.approx(expected_distance(photo, 255 - photo), **CLOSE)
    assert found[1].distance == pytest.approx(expected_distance(small, 255 - small), **CLOSE)
    assert found[2] == context.compare(photo, transparent)
    assert found[3].identical


def test_batches_that_do_not_fit_are_refused(context, photo):
    for references, candidates in [([photo] * 2, [photo] * 3), ([photo] * 3, [photo] * 2)]:
        with pytest.raises(UsageError, match="do not fit"):
            context.compare_batch(references, candidates)
    with pytest.raises(UsageError, match="do not fit"):
        context.compare_batch([], [photo])
    with pytest.raises(UsageError, match="into a list"):
        context.compare_batch(photo, photo)
    with pytest.raises(UsageError, match="batch size"):
        context.compare_batch(photo, [photo], batch_size=0)
    with pytest.raises(ImageError, match="candidate 1"):
        context.compare_batch(photo, [photo, photo.astype(float)])
    assert context.compare_batch(photo, []) == []


# --- files ----------------------------------------------------------------------------


def test_a_context_knows_its_file(context, context_path):
    assert context.path == str(context_path)
    assert context.sha256 == hashlib.sha256(context_path.read_bytes()).hexdigest()
    assert context.manifest == make_manifest()
    assert context.importances == IMPORTANCES
    assert context.ranking == (("color",), ("rotate",), ("blur",))
    file = read_context_file(context_path)
    assert (file.manifest, file.sha256) == (context.manifest, context.sha256)


@pytest.mark.parametrize("amounts", [False, True])
def test_a_file_that_names_no_kinds(tmp_path, photo, amounts):
    path = write(tmp_path / "plain.onnx", make_model(kinds=False, amounts=amounts))
    metric = Metric.load(path)
    result = metric.compare(photo, 255 - photo, with_map=True)
    expected = expected_distance(photo, 255 - photo)
    assert result.distance == pytest.approx(expected, **CLOSE)
    assert result.amounts == ({"other": pytest.approx(expected, **CLOSE)} if amounts else {})
    assert result.parts == result.amounts
    assert metric.part_names == tuple(result.parts)
    assert (result.size, result.strengths, result.directions, result.anchors) == (None, {}, {}, ())
    assert result.map.mean() == pytest.approx(expected, **CLOSE)
    assert result.cells is None


def refusal(path, expected: str) -> None:
    with pytest.raises(ContextError) as refused:
        Metric.load(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert expected in message
    assert "\n" not in message


def test_files_that_are_no_context_are_refused(tmp_path, monkeypatch):
    refusal(tmp_path / "none.onnx", "no such file")
    refusal(tmp_path, "is a folder")
    path = tmp_path / "a.onnx"
    path.write_bytes(b"")
    refusal(path, "empty")
    path.write_text("this is no model")
    refusal(path, "no ONNX file")
    write(path, make_model(""))
    refusal(path, "without a manifest")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refusal(path, "no ONNX file")
    monkeypatch.setattr("dps_infer.model.context_file.MAX_BYTES", 1 << 20)
    path.write_bytes(bytes((1 << 20) + 1))
    refusal(path, "at most 1 MiB")


def changed(**changes: object) -> str:
    raw = msgspec.json.decode(encode_manifest(make_manifest()))
    for name, value in changes.items():
        *way, last = name.split("__")
        target = raw
        for step in way:
            target = target[step]
        target[last] = value
    return msgspec.json.encode(raw).decode()


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no format version"),
        (changed(format=FORMAT_VERSION + 1), "upgrade dps-toolkit"),
        (changed(format=FORMAT_VERSION + 1, metric="quite another thing"), "upgrade dps-toolkit"),
        (changed(format=1, metric="quite another thing"), f"this version reads {FORMAT_VERSION}"),
        (
            changed(format=3, views=None),
            f"has manifest format 3, this version reads {FORMAT_VERSION}: export the context again",
        ),
        (changed(format=0), "no format version"),
        (changed(format=True), "no format version"),
        (changed(surplus=1), "not valid"),
        (changed(metric__importances__blur="much"), "not valid"),
        (changed(metric__importances__blur=-1), ">= 0.0"),
        (encode_manifest(make_manifest()).replace("0.125", "1e999"), "out of range"),
        (encode_manifest(make_manifest()).replace("0.125", "NaN"), "no JSON"),
        (changed(calibration__levels=[0, 0.5, 0.4, 0.6, 1]), "do not rise"),
        (changed(calibration__distances__blur=[1, 2]), "does not fit"),
        (changed(metric__importances={"blur": 1}), "do not fit its amounts"),
    ],
)
def test_manifests_that_cannot_be_trusted_are_refused(tmp_path, manifest, expected):
    refusal(write(tmp_path / "a.onnx", make_model(manifest)), expected)


def test_wrong_inputs_and_outputs_are_refused(tmp_path):
    def check(expected: str, change) -> None:
        model = make_model()
        change(model.graph)
        refusal(write(tmp_path / "a.onnx", model), expected)

    def rename(graph):
        graph.input[0].name = graph.node[0].input[0] = "picture"

    def set_dimension(place: int, **dimension):
        def change(graph):
            graph.input[0].type.tensor_type.shape.dim[place].Clear()
            for name, value in dimension.items():
                setattr(graph.input[0].type.tensor_type.shape.dim[place], name, value)

        return change

    def retype(graph):
        graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT

    def third(graph):
        graph.input.append(helper.make_tensor_value_info("extra", TensorProto.FLOAT, [1]))

    def no_distance(graph):
        del graph.output[0]

    def surplus(graph):
        graph.output.append(helper.make_tensor_value_info("means", TensorProto.FLOAT, ["N", 3]))

    def amounts_of_rank_3(graph):
        graph.node.append(helper.make_node("Unsqueeze", ["amounts", "axis"], ["deep"]))
        graph.initializer.append(helper.make_tensor("axis", TensorProto.INT64, [1], [0]))
        for node in graph.node[:-1]:
            for index, name in enumerate(node.output):
                node.output[index] = {"amounts": "flat"}.get(name, name)
            for index, name in enumerate(node.input):
                node.input[index] = {"amounts": "flat"}.get(name, name)
        graph.node[-1].input[0] = "flat"
        graph.node[-1].output[0] = "amounts"
        (amounts,) = (output for output in graph.output if output.name == "amounts")
        amounts.type.tensor_type.shape.dim.add().dim_param = "more"

    check("inputs picture, distorted", rename)
    check("inputs reference, distorted, extra", third)
    check("input reference float", retype)
    check("input reference uint8 [?, 64, ?, 3]", set_dimension(1, dim_value=64))
    check("input reference uint8 [1, ?, ?, 3]", set_dimension(0, dim_value=1))
    check("outputs size, amounts, strengths, directions, map, cells", no_distance)
    check("means", surplus)
    check("float with 2 dimensions", amounts_of_rank_3)


@pytest.mark.parametrize("shape", [(None, None, 3), (None, None, None, 4), ()])
def test_inputs_that_take_no_rgb_images_are_refused(context, shape):
    engine = context.runner._engine
    inputs = {**engine.inputs, "distorted": Port("distorted", "uint8", shape)}
    with pytest.raises(ContextError, match="input distorted uint8"):
        check_ports(inputs, engine.outputs, context.manifest)


@pytest.mark.parametrize("name", ["size", "amounts", "strengths", "directions", "map", "cells"])
def test_wrong_outputs_are_refused(context, name):
    engine = context.runner._engine

    def refused(outputs, message: str) -> None:
        with pytest.raises(ContextError, match=message):
            check_ports(engine.inputs, outputs, context.manifest)

    missing = {key: port for key, port in engine.outputs.items() if key != name}
    refused(missing, "has the outputs .* expected distance, amounts, map, size")
    shape = engine.outputs[name].shape
    for wrong in (Port(name, "double", shape), Port(name, "float", (*shape, None))):
        refused({**engine.outputs, name: wrong}, f"output {name}.*float with {len(shape)} dim")
    if name not in ("size", "map"):
        narrow = Port(name, "float", (*shape[:-1], 3))
        refused({**engine.outputs, name: narrow}, f"3 columns in its output {name}, expected")


def test_a_file_without_kinds_has_no_outputs_of_kinds(context, tmp_path):
    manifest, engine = make_manifest(kinds=False), context.runner._engine
    with pytest.raises(ContextError, match="expected distance, and maybe amounts and map"):
        check_ports(engine.inputs, engine.outputs, manifest)
    refusal(
        write(tmp_path / "a.onnx", make_model(make_manifest(), kinds=False)),
        "expected distance, amounts, map, size, strengths, directions, cells",
    )


NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "offset", "expected"),
    [
        ("distance", -9.0, "a distance that is no finite number >= 0"),
        ("distance", NAN, "a distance that is no finite number"),
        ("distance", 0.5, "amounts that do not add up to the distance"),
        ("amounts", -9.0, "an amount that is no finite number >= 0"),
        ("amounts", NAN, "an amount that is no finite number"),
        ("amounts", 0.5, "amounts that do not add up to the distance"),
        ("strengths", -99.0, "strengths that are no finite numbers >= 0"),
        ("strengths", NAN, "strengths that are no finite numbers"),
        ("directions", 1.5, "a direction that is not within -1 to 1"),
        ("directions", NAN, "a direction that is not within -1 to 1"),
        ("cells", -9.0, "cells that are no finite numbers >= 0"),
        ("cells", NAN, "cells that are no finite numbers"),
    ],
)
@pytest.mark.parametrize("universal", [False, True])
def test_answers_that_cannot_be_true_are_refused(
    tmp_path, photo, universal, name, offset, expected
):
    model = make_model(universal=universal, offsets={name: offset})
    path = write(tmp_path / "a.onnx", model)

    def measure():
        metric = Metric.load(path, ranking="color,blur" if universal else None)
        metric.compare(photo, photo // 2, with_map=True)

    with pytest.raises(ContextError, match=f"a.onnx: gave {expected}"):
        measure()


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("distances", (2,), r"distances of shape \[2\] for 3 pairs"),
        ("amounts", (3, 2), r"amounts of shape \[3, 2\] for 3 pairs"),
        ("strengths", (3, 3), r"strengths of shape \[3, 3\] for 3 pairs"),
        ("strengths", (2, 2), r"strengths of shape \[2, 2\] for 3 pairs"),
        ("directions", (3, 3), r"directions of shape \[3, 3\] for 3 pairs"),
        ("directions", (3,), r"directions of shape \[3\] for 3 pairs"),
        ("maps", (3, 4), r"a map of shape \[3, 4\] for 3 pairs"),
        ("maps", (2, 4, 4), r"a map of shape \[2, 4, 4\] for 3 pairs"),
        ("cells", (3, 1, 1, 3), r"cells of shape \[3, 1, 1, 3\] for 3 pairs"),
        ("cells", (3, 1, 2), r"cells of shape \[3, 1, 2\] for 3 pairs"),
    ],
)
def test_answers_of_another_shape_are_refused(name, shape, expected):
    """Three pairs, one kind, `other` and the size."""
    shapes = {
        "distances": (3,), "amounts": (3, 3), "strengths": (3, 2), "directions": (3, 2),
        "maps": (3, 8, 8), "cells": (3, 1, 1, 2),
    }  # fmt: skip
    sound = {key: np.zeros(of, np.float32) for key, of in shapes.items()}
    check_measurement(Measurement(**sound), 3, [1.0, 1.0, 0.0])
    broken = Measurement(**{**sound, name: np.zeros(shape, np.float32)})
    with pytest.raises(ContextError, match=expected):
        check_measurement(broken, 3, [1.0, 1.0, 0.0])


def test_unknown_devices_are_refused(context_path):
    with pytest.raises(UsageError, match="auto, cpu or cuda"):
        Metric.load(context_path, device="gpu")
