"""Cut an ONNX model down to some of its outputs, without the `onnx` package.

onnxruntime's inference builds compute every output of a model, fetched or not (the option
``only_execute_path_to_fetches`` works in training builds only). A view that nobody looks
at would cost time, and on large images memory. So nodes that no wanted output needs are
left out before the model is loaded; everything else is copied byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_GRAPH = 7
_NODE, _TENSOR, _OUTPUT, _VALUE = 1, 5, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_ATTRIBUTE = 1, 2, 5
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11
_TENSOR_NAME, _VALUE_NAME = 8, 1

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def prune(model: bytes, outputs: Sequence[str]) -> bytes:
    """Return a model that gives some of the outputs only.

    Args:
        model: serialised, already checked by `dps_infer.onnx_safety`.
        outputs: names of those to keep; all must be there.

    Returns:
        The smaller model; the same one if it has nodes with graphs inside them, whose needs
        are not looked into.
    """
    parts = []
    for number, whole, value in _fields(model):
        if number == _GRAPH:
            graph = _pruned_graph(value, {name.encode() for name in outputs})
            if graph is None:
                return model
            whole = _length_delimited(_GRAPH, graph)
        parts.append(whole)
    return b"".join(parts)


def _pruned_graph(graph: bytes, outputs: set[bytes]) -> bytes | None:
    fields = list(_fields(graph))
    needed = set(outputs)
    kept: set[int] = set()
    # Nodes stand in an order in which they can run: from the last one back, each is either
    # needed by one that was met already or by none.
    for index in range(len(fields) - 1, -1, -1):
        number, _, value = fields[index]
        if number != _NODE:
            continue
        names = {_NODE_INPUT: set[bytes](), _NODE_OUTPUT: set[bytes]()}
        for part, _, content in _fields(value):
            if part in names:
                names[part].add(content)
            elif part == _NODE_ATTRIBUTE and _holds_graph(content):
                return None
        if names[_NODE_OUTPUT] & needed:
            kept.add(index)
            needed |= names[_NODE_INPUT]
    wanted = {_TENSOR: needed, _OUTPUT: outputs, _VALUE: needed}
    name_of = {_TENSOR: _TENSOR_NAME, _OUTPUT: _VALUE_NAME, _VALUE: _VALUE_NAME}
    return b"".join(
        whole
        for index, (number, whole, value) in enumerate(fields)
        if (index in kept if number == _NODE else True)
        and (number not in wanted or _name(value, name_of[number]) in wanted[number])
    )


def _holds_graph(attribute: bytes) -> bool:
    return any(
        number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS) for number, _, _ in _fields(attribute)
    )


def _name(message: bytes, field: int) -> bytes:
    return next((value for number, _, value in _fields(message) if number == field), b"")


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Yield each field of a protobuf message: number, all of its bytes, and its content."""
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        wire = tag & 7
        if wire == _VARINT:
            content = position
            _, position = _varint(message, position)
        elif wire == _BYTES:
            length, content = _varint(message, position)
            position = content + length
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


def _length_delimited(number: int, content: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
