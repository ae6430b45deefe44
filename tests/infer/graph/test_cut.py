"""Parts of a model, from some of its tensors to others."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from dps_infer.graph.cut import cut, inputs_of
from dps_infer.graph.model import Model, read_model

FLOAT = TensorProto.FLOAT


def model_of(*, typed=("sum", "twice")) -> Model:
    """y = 2 (a + b) + c, by the tensors `sum` and `twice`, beside `halves` of a."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Mul", ["sum", "two"], ["twice"]),
        helper.make_node("Split", ["a"], ["left", "right"], num_outputs=2),
        helper.make_node("Add", ["twice", "c"], ["y"]),
        helper.make_node("Sub", ["left", "right"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, FLOAT, ["L"]) for name in "abc"],
        [helper.make_tensor_value_info(name, FLOAT, [None]) for name in "yz"],
        [helper.make_tensor("two", FLOAT, [1], [2])],
        value_info=[helper.make_tensor_value_info(name, FLOAT, [None]) for name in typed],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return read_model(model.SerializeToString())


def run(model: Model, **feeds: list[float]) -> list[list[float]]:
    onnx.checker.check_model(onnx.load_model_from_string(model.data), full_check=True)
    session = onnxruntime.InferenceSession(model.data, providers=["CPUExecutionProvider"])
    given = {name: np.float32(feed) for name, feed in feeds.items()}
    return [value.tolist() for value in session.run(None, given)]


@pytest.mark.parametrize(
    ("given", "fetches", "inputs", "operators"),
    [
        ((), ("sum",), "ab", ["Add"]),
        (("sum",), ("twice",), ["sum"], ["Mul"]),
        (("sum",), ("y",), ["sum", "c"], ["Mul", "Add"]),
        (("twice",), ("y", "z"), ["twice", "a", "c"], ["Split", "Add", "Sub"]),
    ],
)
def test_a_part_has_what_it_needs_and_no_more(given, fetches, inputs, operators):
    part = cut(model_of(), given, fetches)
    assert part is not None
    assert inputs_of(part) == set(inputs)
    graph = onnx.load_model_from_string(part.data).graph
    assert [node.op_type for node in graph.node] == operators
    assert {value.name for value in graph.output} == set(fetches)
    assert not graph.value_info


def test_parts_one_after_another_give_what_the_whole_gives():
    model = model_of()
    first, second = cut(model, (), ("sum",)), cut(model, ("sum",), ("y",))
    assert first is not None
    assert second is not None
    a, b, c = [1.0, 2.0], [10.0, 20.0], [100.0, 200.0]
    (total,) = run(first, a=a, b=b)
    assert run(second, sum=total, c=c)[0] == run(model, a=a, b=b, c=c)[0] == [122, 244]


@pytest.mark.parametrize(
    ("model", "given", "fetches"),
    [
        pytest.param(model_of(typed=("sum",)), ("sum",), ("twice",), id="no type of an output"),
        pytest.param(model_of(typed=("twice",)), ("sum",), ("twice",), id="no type of an input"),
        pytest.param(model_of(), ("nothing",), ("y",), id="no such tensor"),
        pytest.param(model_of(typed=("left",)), ("left",), ("z",), id="one of a node's two"),
    ],
)
def test_what_cannot_be_cut_is_told(model, given, fetches):
    assert cut(model, given, fetches) is None
