"""Refusing models that reach outside of themselves, before anything runs them."""

from __future__ import annotations

import contextlib

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from infer_helpers import make_model, varint
from onnx import TensorProto, helper

from dps_infer.errors import ContextError
from dps_infer.graph.model import read_model
from dps_infer.model.manifest import METADATA_KEY


def refusal(data: bytes) -> str:
    with pytest.raises(ContextError) as refused:
        read_model(data)
    return str(refused.value)


def external(name: str = "outside") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def holder(place: str, tensor: TensorProto) -> onnx.ModelProto:
    """A model that holds a tensor in one of the places where one may be."""
    model = make_model()
    graph = model.graph
    node = helper.make_node("Identity", ["distance"], ["unused"])
    sparse = onnx.SparseTensorProto(values=tensor)
    if place == "initializer":
        graph.initializer.append(tensor)
    elif place == "sparse initializer":
        graph.sparse_initializer.append(sparse)
    elif place == "sparse indices":
        graph.sparse_initializer.append(onnx.SparseTensorProto(indices=tensor))
    elif place == "attribute":
        node.attribute.add(name="value").t.CopyFrom(tensor)
        graph.node.append(node)
    elif place == "attribute list":
        node.attribute.add(name="value").tensors.append(tensor)
        graph.node.append(node)
    elif place == "sparse attribute":
        node.attribute.add(name="value").sparse_tensor.CopyFrom(sparse)
        graph.node.append(node)
    elif place == "sparse attribute list":
        node.attribute.add(name="value").sparse_tensors.append(sparse)
        graph.node.append(node)
    elif place == "subgraph":
        node.attribute.add(name="body").g.initializer.append(tensor)
        graph.node.append(node)
    elif place == "subgraph list":
        node.attribute.add(name="bodies").graphs.add().initializer.append(tensor)
        graph.node.append(node)
    elif place == "function":
        node.attribute.add(name="value").t.CopyFrom(tensor)
        model.functions.add(name="f").node.append(node)
    elif place == "function default":
        model.functions.add(name="f").attribute_proto.add(name="value").t.CopyFrom(tensor)
    elif place == "training":
        model.training_info.add().algorithm.initializer.append(tensor)
    return model


REFUSED = [
    "sparse initializer",
    "sparse indices",
    "attribute list",
    "sparse attribute",
    "sparse attribute list",
    "subgraph",
    "subgraph list",
    "function",
    "function default",
    "training",
]


def test_a_sound_model_gives_its_metadata():
    model = make_model("{}")
    assert read_model(model.SerializeToString()).metadata == {METADATA_KEY: "{}"}


@pytest.mark.parametrize("place", REFUSED)
def test_places_where_no_context_file_has_tensors_are_refused(place):
    harmless = TensorProto(name="inside", data_type=TensorProto.FLOAT, dims=[1], float_data=[1])
    for tensor in (harmless, external()):
        assert "which no context file has" in refusal(holder(place, tensor).SerializeToString())


@pytest.mark.parametrize("place", ["initializer", "attribute"])
def test_external_data_is_found_everywhere(place):
    harmless = TensorProto(name="inside", data_type=TensorProto.FLOAT, dims=[1], float_data=[1])
    read_model(holder(place, harmless).SerializeToString())
    assert "external data" in refusal(holder(place, external()).SerializeToString())


def test_half_a_statement_of_external_data_is_enough():
    location = external()
    del location.external_data[:]
    assert "external data" in refusal(holder("initializer", location).SerializeToString())
    entry = external()
    entry.data_location = TensorProto.DEFAULT
    assert "external data" in refusal(holder("initializer", entry).SerializeToString())


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "my.own"])
def test_operators_of_other_domains_are_refused(domain):
    model = make_model()
    model.graph.node.append(helper.make_node("Spy", ["distance"], ["unused"], domain=domain))
    message = refusal(model.SerializeToString())
    assert "Spy" in message
    assert domain in message


def test_the_standard_domain_may_be_named():
    model = make_model()
    model.graph.node[0].domain = "ai.onnx"
    read_model(model.SerializeToString())


@pytest.mark.parametrize(
    "surplus",
    [
        # A tag of more than 32 bits, which protobuf cuts to field 7, the graph.
        varint((7 << 3 | 2) + (1 << 32)) + b"\0",
        # Groups, field number 0, a length beyond the end, an endless varint.
        b"\x0b\x0c",
        b"\x02\x00",
        b"\x3a\x7f",
        b"\x08" + b"\xff" * 10,
        b"\x08",
    ],
)
def test_what_readers_could_understand_differently_is_refused(surplus):
    data = make_model().SerializeToString()
    assert "no ONNX file" in refusal(data + surplus)


def test_a_graph_in_two_pieces_is_checked_in_both():
    model = make_model()
    more = onnx.ModelProto()
    more.graph.initializer.append(external())
    data = model.SerializeToString() + more.SerializeToString()
    assert "external data" in refusal(data)


def test_a_repeated_metadata_key_is_refused():
    model = make_model("{}")
    model.metadata_props.add(key=METADATA_KEY, value="other")
    assert "twice" in refusal(model.SerializeToString())


def test_too_many_fields_are_refused(monkeypatch):
    monkeypatch.setattr("dps_infer.graph.model.MAX_FIELDS", 20)
    assert "complex" in refusal(make_model().SerializeToString())


def test_the_format_of_onnxruntime_is_refused():
    assert "onnxruntime's own format" in refusal(b"\x20\0\0\0ORTM" + bytes(20))


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_in_words(data):
    refusal(data)


@given(st.data())
def test_every_truncation_and_turned_byte_ends_in_words(data):
    model = bytearray(make_model().SerializeToString())
    end = data.draw(st.integers(0, len(model)))
    place = data.draw(st.integers(0, len(model) - 1))
    model[place] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ContextError):
        read_model(bytes(model[:end]))
