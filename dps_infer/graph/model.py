"""An ONNX model as bytes: read and checked in one pass, and pruned, without the `onnx` package.

A model may name other files that hold its tensors ("external data"), and loading it then reads
whatever files it names; and it may loop, or expand. So a file from a stranger is read field by
field (the schema of ``onnx.proto``, reduced to what a context file has) and refused where it asks
for another file, for an operator outside the ONNX standard, or for more than
`dps_infer.graph.limits` allows. A byte string that two protobuf readers could understand
differently is refused as well.

onnxruntime's inference builds compute every output of a model, fetched or not (the option
``only_execute_path_to_fetches`` works in training builds only). So a model is pruned to the
outputs that are wanted before it is loaded: a heat map that nobody looks at costs time, and
on large images memory.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dps_infer.errors import ContextError
from dps_infer.graph.limits import MAX_VALUES, Constant, Node, check_limits
from dps_infer.graph.protobuf import (
    BYTES,
    VARINT,
    Field,
    TooManyFieldsError,
    WireError,
    length_delimited,
    read_fields,
    read_varints,
)

MAX_FIELDS = 4_000_000
"""More fields than any context file has; it bounds the time that a hostile file takes."""

MAX_DIMENSIONS = 32

STANDARD_DOMAINS = (b"", b"ai.onnx")

# Field numbers from onnx.proto.
IR_VERSION, GRAPH, METADATA = 1, 7, 14
NODE, TENSOR, INPUT, OUTPUT, VALUE_INFO = 1, 5, 11, 12, 13
_KEY, _VALUE = 1, 2
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_INTEGERS, _ATTRIBUTE_VALUES = 5, (3, 8), (2, 3, 4, 7, 8, 9)
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_NAMES = {TENSOR: 8, INPUT: 1, OUTPUT: 1, VALUE_INFO: 1}
_DIMENSIONS, _DATA_TYPE, _RAW = 1, 2, 9

_REFUSED: dict[str, dict[int, str]] = {
    "model": {20: "training steps", 25: "functions"},
    "graph": {15: "sparse tensors"},
    "attribute": {
        6: "a graph inside a node, as loops have",
        10: "several tensors inside a node",
        11: "graphs inside a node",
        14: "a type inside a node",
        15: "types inside a node",
        21: "the attribute of a function",
        22: "sparse tensors",
        23: "sparse tensors",
    },
}
"""Fields of messages that no context file has."""

_NUMBERS = {1: "f", 6: "i", 7: "q", 11: "d"}
"""Formats of `struct` for the data types that shapes and scales have."""
_TYPED_VALUES = {1: 4, 6: 5, 7: 7, 11: 10}
"""Fields that hold the values of these types, if they are not raw."""


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
    """

    number: int
    whole: bytes
    content: bytes
    name: bytes = b""
    takes: frozenset[bytes] = frozenset()
    gives: frozenset[bytes] = frozenset()

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
        """
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
        ContextError: no ONNX model; external data; an operator of another domain than ONNX's own;
            a repeated metadata key or graph; something that no context file has, or more than the
            limits of `dps_infer.graph.limits`.
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
        self._nodes: list[Node] = []
        self._constants: dict[bytes, Constant] = {}

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
                _refuse_field("model", number)
        # Protobuf joins a graph in two pieces, which other readers might not.
        if not is_versioned or len(graphs) != 1:
            raise WireError("not exactly one graph")
        if not self._trusted:
            check_limits(self._nodes, self._constants)
        return Model(self._data, metadata, graphs[0])

    def _graph(self, start: int, stop: int) -> list[GraphField]:
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
                wanted = _NAMES[number]
                name = b""
                for field, kind, _, one, other in inside:
                    if field == wanted and kind == BYTES:
                        name = data[one:other]
                if number == TENSOR and not self._trusted:
                    self._constants[name] = self._tensor(inside)
                graph.append(GraphField(number, whole, content, name))
            else:
                _refuse_field("graph", number)
                graph.append(GraphField(number, whole, content))
        return graph

    def _node(self, whole: bytes, content: bytes, first: int, last: int) -> GraphField:
        data = self._data
        inside = self._fields(first, last)
        takes, gives = [], []
        value = Constant(0)
        for number, wire, _, start, stop in inside:
            if wire != BYTES:
                continue
            if number == _NODE_INPUT:
                takes.append(data[start:stop])
            elif number == _NODE_OUTPUT:
                gives.append(data[start:stop])
            elif number == _NODE_ATTRIBUTE and not self._trusted:
                value = self._attribute(start, stop)
        if not self._trusted:
            self._nodes.append(Node(self._operator(inside), takes, gives, value))
        # Optional inputs that are left out have empty names.
        return GraphField(
            NODE,
            whole,
            content,
            takes=frozenset(takes) - {b""},
            gives=frozenset(gives) - {b""},
        )

    def _attribute(self, start: int, stop: int) -> Constant:
        """Return the tensor that an attribute holds, or a bound of its size."""
        value = None
        elements = 0
        numbers: list[float] = []
        for number, wire, _, first, last in self._fields(start, stop):
            _refuse_field("attribute", number)
            if number == _ATTRIBUTE_TENSOR and wire == BYTES:
                value = self._tensor(self._fields(first, last))
            elif number in _ATTRIBUTE_INTEGERS and wire == VARINT:
                elements += 1
                numbers.append(_signed(first))
            elif number in _ATTRIBUTE_VALUES:
                # Every number or letter in it takes at least a byte.
                elements += last - first if wire == BYTES else 1
        if value is not None:
            return value
        return Constant(elements, tuple(numbers) if elements == len(numbers) else None)

    def _tensor(self, fields: list[Field]) -> Constant:
        data = self._data
        dimensions: list[int] = []
        kind, raw = 0, None
        for number, wire, _, value, stop in fields:
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value):
                raise ContextError(
                    "keeps tensors in other files (external data), which is refused: "
                    "export the context as one file"
                )
            if number == _DIMENSIONS:
                # Either one number, or all of them in one field.
                packed = [value] if wire == VARINT else read_varints(data, value, stop)
                dimensions += packed
                if len(dimensions) > MAX_DIMENSIONS:
                    raise WireError("too many dimensions")
            elif number == _DATA_TYPE and wire == VARINT:
                kind = value
            elif number == _RAW and wire == BYTES:
                raw = (value, stop)
        elements = math.prod(dimensions)
        if elements > MAX_VALUES or kind not in _NUMBERS:
            return Constant(elements)
        letter = _NUMBERS[kind]
        if raw is not None:
            size = struct.calcsize(f"<{elements}{letter}")
            if raw[1] - raw[0] != size:
                return Constant(elements)
            return Constant(elements, struct.unpack_from(f"<{elements}{letter}", data, raw[0]))
        return Constant(elements, self._typed_values(fields, kind, letter))

    def _typed_values(
        self, fields: list[Field], kind: int, letter: str
    ) -> tuple[float, ...] | None:
        """Return the values of a tensor that are not raw bytes; None if there are none."""
        found: list[float] = []
        for number, wire, _, value, stop in fields:
            if number != _TYPED_VALUES[kind]:
                continue
            if len(found) > MAX_VALUES:
                return None
            if wire == BYTES and letter in "fd":
                count = min((stop - value) // struct.calcsize(letter), MAX_VALUES + 1)
                found += struct.unpack_from(f"<{count}{letter}", self._data, value)
            elif wire == BYTES:
                found += [_signed(one) for one in read_varints(self._data, value, stop)]
            elif wire == VARINT:
                found.append(_signed(value))
            else:
                return None
        return tuple(found) or None

    def _operator(self, fields: list[Field]) -> bytes:
        """Return the type of a node."""
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
        return operator

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


def _refuse_field(message: str, number: int) -> None:
    what = _REFUSED[message].get(number)
    if what is not None:
        raise ContextError(f"has {what}, which no context file has: export the context again")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _text(name: bytes) -> str:
    return ascii(name.decode(errors="replace"))[1:-1][:100] or "?"
