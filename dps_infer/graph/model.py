"""An ONNX model as bytes: read and checked in one pass, and pruned, without the `onnx` package.

A model may name other files that hold its tensors ("external data"), and loading it then reads
whatever files it names. So a file from a stranger is read field by field (the schema of
``onnx.proto``, reduced to the messages that can hold a tensor) and refused where it asks for
one, or for an operator outside the ONNX standard. A byte string that two protobuf readers could
understand differently is refused as well.

onnxruntime's inference builds compute every output of a model, fetched or not (the option
``only_execute_path_to_fetches`` works in training builds only). So a model is pruned to the
outputs that are wanted before it is loaded: a heat map that nobody looks at costs time, and
on large images memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dps_infer.errors import ContextError
from dps_infer.graph.protobuf import (
    BYTES,
    VARINT,
    Field,
    TooManyFieldsError,
    WireError,
    length_delimited,
    read_fields,
)

MAX_FIELDS = 4_000_000
"""More fields than any context file has; it bounds the time that a hostile file takes."""

MAX_DEPTH = 100
"""Protobuf's own limit of nesting."""

STANDARD_DOMAINS = (b"", b"ai.onnx")

# Field numbers from onnx.proto.
IR_VERSION, GRAPH, METADATA = 1, 7, 14
NODE, TENSOR, INPUT, OUTPUT, VALUE_INFO = 1, 5, 11, 12, 13
_KEY, _VALUE = 1, 2
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_GRAPHS = (6, 11)
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_NAMES = {TENSOR: 8, INPUT: 1, OUTPUT: 1, VALUE_INFO: 1}

_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "tensor": {},
}
"""Which fields of which message lead to a tensor or a node."""


@dataclass(frozen=True, slots=True)
class GraphField:
    """A field of a graph.

    Attributes:
        number: `NODE`, `TENSOR`, `INPUT`, `OUTPUT`, `VALUE_INFO`, or another of ``GraphProto``.
        whole: all of its bytes.
        content: the bytes after its number and length.
        name: the name of a tensor, an input, an output or a value.
        takes: the names of a node's inputs.
        gives: the names of a node's outputs.
        holds_graph: whether a node has a graph inside it, as a loop does.
    """

    number: int
    whole: bytes
    content: bytes
    name: bytes = b""
    takes: frozenset[bytes] = frozenset()
    gives: frozenset[bytes] = frozenset()
    holds_graph: bool = False

    def as_number(self, number: int) -> GraphField:
        """Return the same content as another field: a value between nodes as an output, say."""
        whole = length_delimited(number, self.content)
        return GraphField(number, whole, self.content, self.name)


class Model:
    """A serialized ONNX model.

    Attributes:
        data: its bytes.
        metadata: its ``metadata_props``.
        graph: the fields of its graph.
    """

    def __init__(self, data: bytes, metadata: dict[str, str], graph: Sequence[GraphField]) -> None:
        """Store the parts that `read_model` has read."""
        self.data = data
        self.metadata = metadata
        self.graph = graph

    def with_graph(self, graph: Sequence[GraphField]) -> Model:
        """Return the same model with another graph."""
        data = self.data
        content = length_delimited(GRAPH, b"".join([field.whole for field in graph]))
        ends = [0]
        parts = []
        for number, wire, begin, _, stop in read_fields(data, 0, len(data)):
            if number == GRAPH and wire == BYTES:
                parts += [data[ends[-1] : begin], content]
                ends.append(stop)
        return Model(b"".join([*parts, data[ends[-1] :]]), self.metadata, graph)

    def pruned(self, outputs: Sequence[str]) -> Model:
        """Return a model that gives only some of the outputs.

        Args:
            outputs: names of the outputs to keep; all must be there.

        Returns:
            The smaller model; this one if it has nodes with graphs inside them, whose needs are
            not looked into.
        """
        if any([field.holds_graph for field in self.graph]):
            return self
        return self.with_graph(needed_for(self.graph, {name.encode() for name in outputs}))


def needed_for(graph: Sequence[GraphField], outputs: Iterable[bytes]) -> list[GraphField]:
    """Return the fields of a graph that give some of its outputs, and only these outputs."""
    wanted = set(outputs)
    needed = set(wanted)
    kept = set[int]()
    # Nodes stand in an order in which they can run: going back from the last one, each is needed
    # by a node that was met already, or by none.
    for index in range(len(graph) - 1, -1, -1):
        field = graph[index]
        if field.number == NODE and not field.gives.isdisjoint(needed):
            kept.add(index)
            needed |= field.takes
    names = {TENSOR: needed, OUTPUT: wanted, VALUE_INFO: needed}
    return [
        field
        for index, field in enumerate(graph)
        if (
            index in kept
            if field.number == NODE
            else field.number not in names or field.name in names[field.number]
        )
    ]


def read_model(data: bytes, *, trusted: bool = False) -> Model:
    """Read a serialized model.

    Args:
        data: the whole file.
        trusted: its contents are known, so nothing but the graph and the metadata is read.

    Raises:
        ContextError: no ONNX model; external data of any kind; an operator of another domain
            than ONNX's own; a repeated metadata key or graph.
    """
    if data[4:8] == b"ORTM":
        raise ContextError("is in onnxruntime's own format, expected ONNX: export it again")
    try:
        return _Reader(data, trusted).read()
    except TooManyFieldsError:
        raise ContextError("is far more complex than any context file: export it again") from None
    except (WireError, UnicodeDecodeError):
        raise ContextError(
            "is no ONNX file, or a damaged one: expected what dps-export writes"
        ) from None


class _Reader:
    def __init__(self, data: bytes, trusted: bool) -> None:
        self._data = data
        self._trusted = trusted
        self._fields_left = MAX_FIELDS

    def read(self) -> Model:
        metadata: dict[str, str] = {}
        graphs = []
        is_versioned = False
        for number, wire, _, start, stop in self._fields(0, len(self._data)):
            if number == METADATA and wire == BYTES:
                key, value = self._entry(start, stop)
                if key in metadata:
                    raise ContextError(f"names its metadata {key!r} twice: export it again")
                metadata[key] = value
            elif number == GRAPH and wire == BYTES:
                graphs.append(self._graph(start, stop))
            elif number == IR_VERSION and wire == VARINT:
                is_versioned = True
            else:
                self._check_child("model", number, wire, start, stop, depth=0)
        # Protobuf joins a graph in two pieces, which other readers might not.
        if not is_versioned or len(graphs) != 1:
            raise WireError("not exactly one graph")
        return Model(self._data, metadata, graphs[0])

    def _graph(self, start: int, stop: int) -> list[GraphField]:
        """Return the fields of the model's own graph, checked like those of any other."""
        data = self._data
        graph = []
        for number, wire, begin, first, last in self._fields(start, stop):
            if wire != BYTES:
                raise WireError("a graph has no such field")
            whole, content = data[begin:last], data[first:last]
            if number == NODE:
                graph.append(self._node(whole, content, first, last))
            elif number in _NAMES:
                inside = self._fields(first, last)
                if number == TENSOR:
                    self._check_tensor(inside)
                wanted = _NAMES[number]
                name = b""
                for field, kind, _, one, other in inside:
                    if field == wanted and kind == BYTES:
                        name = data[one:other]
                graph.append(GraphField(number, whole, content, name))
            else:
                self._check_child("graph", number, wire, first, last, depth=1)
                graph.append(GraphField(number, whole, content))
        return graph

    def _node(self, whole: bytes, content: bytes, first: int, last: int) -> GraphField:
        data = self._data
        inside = self._fields(first, last)
        takes, gives, holds_graph = set(), set(), False
        for number, wire, _, start, stop in inside:
            if wire != BYTES:
                continue
            if number == _NODE_INPUT:
                takes.add(data[start:stop])
            elif number == _NODE_OUTPUT:
                gives.add(data[start:stop])
            # No attribute of the package's own file holds a graph.
            elif number == _NODE_ATTRIBUTE and not self._trusted:
                for part, kind, _, one, other in self._fields(start, stop):
                    if part in _CHILDREN["attribute"]:
                        holds_graph |= kind == BYTES and part in _ATTRIBUTE_GRAPHS
                        self._check_child("attribute", part, kind, one, other, depth=3)
        if not self._trusted:
            self._check_operator(inside)
        # Optional inputs that are left out have empty names.
        return GraphField(
            NODE,
            whole,
            content,
            takes=frozenset(takes - {b""}),
            gives=frozenset(gives - {b""}),
            holds_graph=holds_graph,
        )

    def _check_child(
        self, parent: str, number: int, wire: int, start: int, stop: int, *, depth: int
    ) -> None:
        """Look for tensors and nodes in a field of a message."""
        child = _CHILDREN[parent].get(number)
        # Protobuf skips a field whose wire type is not its schema's, as unknown.
        if child is None or wire != BYTES:
            return
        if depth >= MAX_DEPTH:
            raise WireError("nested too deep")
        inside = self._fields(start, stop)
        if child == "tensor":
            self._check_tensor(inside)
        elif child == "node":
            self._check_operator(inside)
        for number_, wire_, _, start_, stop_ in inside:
            self._check_child(child, number_, wire_, start_, stop_, depth=depth + 1)

    def _check_tensor(self, fields: list[Field]) -> None:
        for number, _, _, value, _ in fields:
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value):
                raise ContextError(
                    "keeps tensors in other files (external data), which is refused: "
                    "export the context as one file"
                )

    def _check_operator(self, fields: list[Field]) -> None:
        operator = domain = b""
        for number, wire, _, start, stop in fields:
            if wire == BYTES and number == _NODE_OPERATOR:
                operator = self._data[start:stop]
            elif wire == BYTES and number == _NODE_DOMAIN:
                domain = self._data[start:stop]
        if domain not in STANDARD_DOMAINS:
            raise ContextError(
                f"needs the operator {_text(operator)} of {_text(domain)}, expected operators "
                "of the ONNX standard alone: export the context again"
            )

    def _entry(self, start: int, stop: int) -> tuple[str, str]:
        key = value = b""
        for number, wire, _, first, last in self._fields(start, stop):
            if number == _KEY and wire == BYTES:
                key = self._data[first:last]
            elif number == _VALUE and wire == BYTES:
                value = self._data[first:last]
        return key.decode(), value.decode()

    def _fields(self, start: int, stop: int) -> list[Field]:
        fields = read_fields(self._data, start, stop, limit=self._fields_left)
        self._fields_left -= len(fields)
        return fields


def _text(name: bytes) -> str:
    return name.decode(errors="replace") or "?"
