"""Models cut down to some of their outputs."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from dps_infer.contexts.ranking import KINDS
from dps_infer.graph.model import read_model
from dps_infer.model import embedded


def pruned(data: bytes, outputs) -> bytes:
    return read_model(data).pruned(outputs).data


def two_branches() -> onnx.ModelProto:
    """`double` and `shifted` of one input, by a tensor each; `both` needs the two."""
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["double"]),
        helper.make_node("Add", ["x", "one"], ["shifted"]),
        helper.make_node("Add", ["double", "shifted"], ["both"]),
        helper.make_node("Neg", ["one"], ["unused"]),
    ]
    graph = helper.make_graph(
        nodes,
        "branches",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N"])
            for name in ("double", "shifted", "both")
        ],
        [
            helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0]),
            helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    entry = model.metadata_props.add()
    entry.key, entry.value = "what", "kept"
    return model


@pytest.mark.parametrize(
    ("outputs", "operators", "tensors"),
    [
        (["double"], ["Mul"], ["two"]),
        (["shifted"], ["Add"], ["one"]),
        (["both"], ["Mul", "Add", "Add"], ["two", "one"]),
        (["double", "shifted"], ["Mul", "Add"], ["two", "one"]),
    ],
)
def test_only_what_is_needed_stays(outputs, operators, tensors):
    model = two_branches()
    left = onnx.load_model_from_string(pruned(model.SerializeToString(), outputs))
    onnx.checker.check_model(left, full_check=True)
    assert [node.op_type for node in left.graph.node] == operators
    assert [tensor.name for tensor in left.graph.initializer] == tensors
    assert [value.name for value in left.graph.output] == outputs
    assert [value.name for value in left.graph.input] == ["x"]
    assert left.metadata_props == model.metadata_props
    assert left.opset_import == model.opset_import


def test_all_outputs_are_the_model_less_what_none_needs():
    model = two_branches()
    left = onnx.load_model_from_string(
        pruned(model.SerializeToString(), ["double", "shifted", "both"])
    )
    del model.graph.node[-1]
    assert left == model


@pytest.mark.skipif(
    not embedded.UNIVERSAL.is_file(), reason="the package has no universal file yet"
)
def test_parts_of_the_universal_file_give_what_the_whole_gives():
    data = embedded.UNIVERSAL.read_bytes()
    generator = np.random.default_rng(5)
    feeds = {
        "reference": generator.integers(0, 256, (1, 70, 140, 3), dtype=np.uint8),
        "distorted": generator.integers(0, 256, (2, 70, 140, 3), dtype=np.uint8),
        "importance": generator.random(len(KINDS) + 2, dtype=np.float32),
    }
    whole = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in whole.get_outputs()]
    expected = dict(zip(names, whole.run(None, feeds), strict=True))
    sizes = {}
    for outputs in (["size"], ["cells"], ["distance", "amounts"], ["distance", "map", "cells"]):
        part = pruned(data, outputs)
        session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])
        assert [output.name for output in session.get_outputs()] == outputs
        for name, value in zip(outputs, session.run(None, feeds), strict=True):
            np.testing.assert_allclose(value, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
        sizes["+".join(outputs)] = len(onnx.load_model_from_string(part).graph.node)
    # Amounts need no map.
    assert sizes["size"] <= sizes["distance+amounts"] < sizes["distance+map+cells"]
