"""Models split in two: the part that depends on one input alone, and the rest."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from dps_infer.contexts.ranking import KINDS
from dps_infer.graph.model import Model, read_model
from dps_infer.graph.split import Split, split
from dps_infer.model import embedded

FLOAT = TensorProto.FLOAT


def model_of(nodes, outputs, *, typed=("twice",), inputs=("a", "b")) -> Model:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, FLOAT, [None]) for name in inputs],
        [helper.make_tensor_value_info(name, FLOAT, [None]) for name in outputs],
        [helper.make_tensor(name, FLOAT, [1], [value]) for name, value in (("two", 2), ("one", 1))],
        value_info=[helper.make_tensor_value_info(name, FLOAT, [None]) for name in typed],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return read_model(model.SerializeToString())


TWICE = helper.make_node("Mul", ["a", "three"], ["twice"])
NODES = [
    # Follows from no input, and both halves take it.
    helper.make_node("Add", ["two", "one"], ["three"]),
    TWICE,
    helper.make_node("Mul", ["b", "three"], ["other"]),
    helper.make_node("Sub", ["twice", "other"], ["y"]),
]


def run(model: Model, feeds: dict, outputs=None) -> list[np.ndarray]:
    onnx.checker.check_model(onnx.load_model_from_string(model.data), full_check=True)
    session = onnxruntime.InferenceSession(model.data, providers=["CPUExecutionProvider"])
    return session.run(outputs, feeds)


def graph_of(model: Model) -> onnx.GraphProto:
    return onnx.load_model_from_string(model.data).graph


def operators(model: Model) -> list[str]:
    return [node.op_type for node in graph_of(model).node]


def names(values) -> list[str]:
    return [value.name for value in values]


def test_each_half_has_what_it_needs_and_no_more():
    halves = split(model_of(NODES, ["y"]), "a")
    assert halves is not None
    assert (halves.between, halves.again) == (("twice",), False)
    first, rest = graph_of(halves.first), graph_of(halves.rest)
    assert [node.op_type for node in first.node] == ["Add", "Mul"]
    assert [node.op_type for node in rest.node] == ["Add", "Mul", "Sub"]
    assert (names(first.input), names(first.output)) == (["a"], ["twice"])
    assert (names(rest.input), names(rest.output)) == (["b", "twice"], ["y"])
    (twice,) = run(halves.first, {"a": np.float32([5])})
    assert run(halves.rest, {"b": np.float32([1]), "twice": twice})[0].tolist() == [12]


def test_the_rest_may_take_the_input_again():
    nodes = [*NODES, helper.make_node("Add", ["y", "a"], ["z"])]
    halves = split(model_of(nodes, ["z"]), "a")
    assert halves is not None
    assert halves.again
    feeds = {"a": np.float32([5]), "b": np.float32([1]), "twice": np.float32([15])}
    assert run(halves.rest, feeds)[0].tolist() == [17]


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            model_of([helper.make_node("Sub", ["a", "b"], ["y"])], ["y"], typed=()), id="nothing"
        ),
        pytest.param(model_of(NODES, ["y", "twice"]), id="an output"),
        pytest.param(model_of(NODES, ["y"], typed=()), id="no type"),
    ],
)
def test_what_cannot_be_cut_stays_whole(model):
    assert split(model, "a") is None


@pytest.mark.skipif(
    not embedded.UNIVERSAL.is_file(), reason="the package has no universal file yet"
)
def test_the_universal_file_in_two_gives_what_it_gives_whole():
    generator = np.random.default_rng(5)
    feeds = {
        "reference": generator.integers(0, 256, (1, 70, 140, 3), dtype=np.uint8),
        "distorted": generator.integers(0, 256, (2, 70, 140, 3), dtype=np.uint8),
        "importance": generator.random(len(KINDS) + 2, dtype=np.float32),
    }
    outputs = ["distance", "amounts", "strengths", "directions", "map", "cells"]
    model = read_model(embedded.UNIVERSAL.read_bytes()).pruned(outputs)
    halves = split(model, "reference")
    assert isinstance(halves, Split)
    counts = [operators(part).count("Conv") for part in (model, halves.first, halves.rest)]
    # Every convolution is in one of the two, and those on the reference alone are in the first.
    assert counts[0] == counts[1] + counts[2]
    assert 0 < counts[1] < counts[2]
    known = run(halves.first, {"reference": feeds["reference"]}, halves.between)
    given = {**dict(zip(halves.between, known, strict=True)), "distorted": feeds["distorted"]}
    given["importance"] = feeds["importance"]
    if halves.again:
        given["reference"] = feeds["reference"]
    expected = run(model, feeds, outputs)
    for name, value, whole in zip(outputs, run(halves.rest, given, outputs), expected, strict=True):
        # onnxruntime fuses other nodes, which adds up single precision in another order.
        np.testing.assert_allclose(value, whole, rtol=1e-4, atol=1e-5, err_msg=name)
