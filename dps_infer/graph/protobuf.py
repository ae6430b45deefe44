"""Read and write the fields of a serialised ONNX model, without the `onnx` package.

Only what `dps_infer.graph.safety` has checked is read here. Numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

GRAPH = 7
NODE, TENSOR, INPUT, OUTPUT, VALUE = 1, 5, 11, 12, 13
"""What a graph holds; `VALUE` tells the type of a tensor between nodes, in the form of an input."""

_NODE_INPUT, _NODE_OUTPUT, _NODE_ATTRIBUTE = 1, 2, 5
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11
_TENSOR_NAME, _VALUE_NAME = 8, 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class Field:
    """A field of a graph.

    Attributes:
        number: says what it is: `NODE`, `TENSOR`, ...
        whole: all of its bytes.
        content: those after its number and length.
    """

    number: int
    whole: bytes
    content: bytes

    @cached_property
    def name(self) -> bytes:
        """Of a tensor, an input, an output or a value."""
        wanted = _TENSOR_NAME if self.number == TENSOR else _VALUE_NAME
        return next((value for number, _, value in fields(self.content) if number == wanted), b"")

    @property
    def takes(self) -> set[bytes]:
        """The names of a node's inputs."""
        return self._node[0]

    @property
    def gives(self) -> set[bytes]:
        """The names of a node's outputs."""
        return self._node[1]

    @property
    def holds_graph(self) -> bool:
        """Whether a node has a graph inside it, as a loop does."""
        return self._node[2]

    @cached_property
    def _node(self) -> tuple[set[bytes], set[bytes], bool]:
        takes, gives, holds_graph = set(), set(), False
        for number, _, value in fields(self.content):
            if number == _NODE_INPUT:
                takes.add(value)
            elif number == _NODE_OUTPUT:
                gives.add(value)
            elif number == _NODE_ATTRIBUTE:
                inside = {inner for inner, _, _ in fields(value)}
                holds_graph |= not inside.isdisjoint((_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS))
        # Names that are left out are empty.
        return takes - {b""}, gives - {b""}, holds_graph

    def as_number(self, number: int) -> Field:
        """Return the same content as another field."""
        return Field(number, length_delimited(number, self.content), self.content)


class Model:
    """A serialised model.

    Attributes:
        data: its bytes.
        graph: the fields of its graph, read once, when they are asked for.
    """

    def __init__(self, data: bytes, graph: list[Field] | None = None) -> None:
        """Take a model's bytes, and the fields of its graph where they are known."""
        self.data = data
        self._graph = graph

    @property
    def graph(self) -> list[Field]:
        """See the class."""
        if self._graph is None:
            graph = (content for number, _, content in fields(self.data) if number == GRAPH)
            self._graph = [Field(*field) for content in graph for field in fields(content)]
        return self._graph

    def with_graph(self, graph: list[Field]) -> Model:
        """Return the same model with another graph."""
        content = length_delimited(GRAPH, b"".join(field.whole for field in graph))
        parts = (content if number == GRAPH else whole for number, whole, _ in fields(self.data))
        return Model(b"".join(parts), graph)


def fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each field of a protobuf message: number, all of its bytes, and its content."""
    position, end = 0, len(message)
    while position < end:
        start = position
        # Nearly all numbers are of one byte, and to call for each takes as long as all the rest.
        tag, position = message[start], start + 1
        if tag >= 0x80:
            tag, position = _varint(message, start)
        wire = tag & 7
        if wire == _BYTES:
            length, content = message[position], position + 1
            if length >= 0x80:
                length, content = _varint(message, position)
            position = content + length
        elif wire == _VARINT:
            content = position
            _, position = _varint(message, position)
        else:
            content = position
            position += {_FIXED64: 8, _FIXED32: 4}[wire]
        yield tag >> 3, message[start:position], message[content:position]


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def length_delimited(number: int, content: bytes) -> bytes:
    """Return a field that holds bytes: a text, a message."""
    return _encoded(number << 3 | _BYTES) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
