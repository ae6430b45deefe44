"""Refusing graphs that loop, or that take memory out of proportion, before a session exists."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from infer_helpers import make_model, varint
from onnx import TensorProto, helper, numpy_helper

from dps_infer.errors import ContextError
from dps_infer.graph import limits
from dps_infer.graph.model import read_model

HUGE = 1 << 40


def model_with(*nodes: onnx.NodeProto, **constants: np.ndarray) -> bytes:
    """The fake metric with further nodes."""
    model = make_model()
    model.graph.node.extend(nodes)
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model.SerializeToString()


def refusal(data: bytes) -> str:
    with pytest.raises(ContextError) as refused:
        read_model(data)
    return str(refused.value)


def graph(name: str) -> onnx.GraphProto:
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None])
    return helper.make_graph(
        [helper.make_node("Identity", ["distance"], [name])], "g", [], [output]
    )


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("Loop", ["n", "c"], ["x"], body=graph("i")),
        helper.make_node("Scan", ["distance"], ["x"], body=graph("i"), num_scan_inputs=1),
        helper.make_node("If", ["c"], ["x"], then_branch=graph("i"), else_branch=graph("j")),
    ],
    ids=lambda node: node.op_type,
)
def test_graphs_inside_nodes_are_refused(node):
    assert "a graph inside a node, as loops have" in refusal(model_with(node))


@pytest.mark.parametrize(
    "operator",
    ["SequenceConstruct", "Optional", "RandomNormal", "LSTM", "ImageDecoder", "StringConcat"],
)
def test_operators_that_no_context_file_has_are_refused(operator):
    node = helper.make_node(operator, ["distance"], ["x"])
    assert f"needs the operator {operator}, which no context file has" in refusal(model_with(node))


def test_local_functions_are_refused():
    model = make_model()
    model.functions.add(name="f", domain="").node.append(helper.make_node("Identity", ["a"], ["b"]))
    assert "has functions" in refusal(model.SerializeToString())


def test_more_nodes_than_stated_are_refused(monkeypatch):
    data = make_model().SerializeToString()
    count = len(make_model().graph.node)
    monkeypatch.setattr(limits, "MAX_NODES", count)
    read_model(data)
    monkeypatch.setattr(limits, "MAX_NODES", count - 1)
    assert f"has {count} operators, expected at most {count - 1}" in refusal(data)


SIDE = np.array([1 << 20, 1 << 20])


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("ConstantOfShape", ["shape"], ["x"])],
        [helper.make_node("Expand", ["distance", "shape"], ["x"])],
        [helper.make_node("Tile", ["distance", "shape"], ["x"])],
        [helper.make_node("Range", ["zero", "huge", "one"], ["x"])],
        [helper.make_node("Range", ["zero", "one", "zero"], ["x"])],
        [helper.make_node("Resize", ["map", "", "scales"], ["x"])],
        [helper.make_node("Resize", ["map", "", "", "shape"], ["x"])],
        # A shape that other nodes make of constants.
        [
            helper.make_node("Cast", ["shape"], ["cast"], to=TensorProto.INT64),
            helper.make_node("Concat", ["cast", "ones"], ["shape2"], axis=0),
            helper.make_node("ConstantOfShape", ["shape2"], ["x"]),
        ],
        [
            helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(SIDE)),
            helper.make_node("Expand", ["distance", "c"], ["x"]),
        ],
        [
            helper.make_node("Mul", ["shape", "shape"], ["squared"]),
            helper.make_node("ConstantOfShape", ["squared"], ["x"]),
        ],
        # Constants that grow when they are computed with each other.
        [helper.make_node("Add", ["row", "column"], ["x"])],
        [helper.make_node("MatMul", ["column", "row"], ["x"])],
        [
            helper.make_node("Add", ["row", "row2"], ["y"]),
            helper.make_node("Add", ["y", "column"], ["x"]),
        ],
        [
            helper.make_node("Constant", [], ["c"], value_ints=[0] * 10_000),
            helper.make_node("MatMul", ["c", "c"], ["x"]),
        ],
        [helper.make_node("Pad", ["row", "pads"], ["x"])],
        [helper.make_node("Conv", ["image", "image"], ["x"], pads=[1 << 20] * 4)],
    ],
    ids=lambda nodes: "-".join(node.op_type for node in nodes),
)
def test_constants_that_expand_are_refused(nodes):
    data = model_with(
        *nodes,
        shape=SIDE,
        zero=np.int64(0),
        one=np.int64(1),
        huge=np.int64(HUGE),
        ones=np.array([1, 1]),
        scales=np.array([1, 1, 1e6, 1e6], np.float32),
        row=np.zeros((1, 10_000), np.float32),
        row2=np.zeros((1, 10_000), np.float32),
        column=np.zeros((10_000, 1), np.float32),
        pads=np.array([0, HUGE, 0, HUGE]),
        image=np.zeros((1, 1, 2, 2), np.float32),
    )
    assert "has a node" in refusal(data)


def test_shapes_of_small_size_are_accepted():
    data = model_with(
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.array([4, 4, 1]))),
        helper.make_node("Expand", ["distance", "c"], ["x"]),
        helper.make_node("Shape", ["distance"], ["s"]),
        helper.make_node("Expand", ["x", "s"], ["y"]),
        helper.make_node("Range", ["zero", "ten", "one"], ["z"]),
        helper.make_node("Constant", [], ["five"], value_int=5),
        helper.make_node("Constant", [], ["sides"], value_ints=[5, 1]),
        helper.make_node("Range", ["zero", "five", "one"], ["v"]),
        helper.make_node("Expand", ["distance", "sides"], ["w"]),
        zero=np.int64(0),
        ten=np.int64(10),
        one=np.int64(1),
    )
    read_model(data)


@pytest.mark.parametrize("packed", [True, False])
def test_dimensions_without_end_are_refused_at_once(packed):
    model = make_model()
    data = model.SerializeToString()
    many = 1_000_000
    dims = (
        b"\x0a" + varint(9 * many) + (b"\xff" * 8 + b"\x7f") * many
        if packed
        else b"\x08\x7f" * many
    )
    tensor = b"\x2a" + varint(len(dims)) + dims
    assert "no ONNX file" in refusal(b"\x08\x0a\x3a" + varint(len(tensor)) + tensor)
    read_model(data)


def test_the_name_of_an_operator_cannot_end_the_line():
    node = helper.make_node("a\nb\x1b[2J", ["distance"], ["x"])
    assert r"needs the operator a\nb\x1b[2J, which no context file has" in refusal(model_with(node))


def test_weights_of_8_bits_are_as_large_as_their_numbers(monkeypatch):
    """And not as the product of these with their scales."""
    monkeypatch.setattr(limits, "MAX_ELEMENTS", 100)
    node = helper.make_node("DequantizeLinear", ["whole", "steps", "zero"], ["x"], axis=0)
    constants = {
        "whole": np.zeros((10, 9), np.int8),
        "steps": np.ones(10, np.float32),
        "zero": np.zeros(10, np.int8),
    }
    read_model(model_with(node, **constants))
    constants["whole"] = np.zeros((10, 11), np.int8)
    assert "a node DequantizeLinear of 110 elements" in refusal(model_with(node, **constants))
