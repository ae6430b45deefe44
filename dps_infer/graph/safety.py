"""Look into an ONNX file before anything runs it, without the `onnx` package.

A model may name other files that hold its tensors ("external data"), and loading it
then reads whatever files it names. Here the serialised model is walked field by field
(protobuf wire format, the schema of ``onnx.proto`` reduced to what can hold a tensor)
and refused wherever it asks for one, or for an operator outside the ONNX standard.
Nothing is interpreted twice: a byte string that two protobuf readers could understand
differently is refused as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from dps_infer.errors import ContextError

MAX_FIELDS = 4_000_000
"""More fields than any context file has; a bound on the time that a hostile one takes."""

MAX_DEPTH = 100
"""Protobuf's own limit of nesting."""

STANDARD_DOMAINS = (b"", b"ai.onnx")


def inspect_model(data: bytes) -> dict[str, str]:
    """Check a serialised ONNX model and return its metadata properties.

    Args:
        data: the whole file.

    Returns:
        The model's ``metadata_props``.

    Raises:
        ContextError: no ONNX model; external data of any kind; an operator of another
            domain than ONNX's own; a repeated metadata key.
    """
    if data[4:8] == b"ORTM":
        raise ContextError("is in onnxruntime's own format, expected ONNX: export it again")
    return _Walk(data).model()


# Which fields of which message lead to a tensor or a node (numbers from onnx.proto).
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
_MODEL_IR_VERSION, _MODEL_GRAPH, _MODEL_METADATA = 1, 7, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_NODE_OPERATOR, _NODE_DOMAIN = 4, 7
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_Field = tuple[int, int, int, int]
"""Field number, wire type, then start and end of its bytes; for a varint, its value and 0."""


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._fields_left = MAX_FIELDS

    def model(self) -> dict[str, str]:
        seen: set[tuple[int, int]] = set()
        metadata: dict[str, str] = {}
        for number, wire, start, end in self._fields(0, len(self._data)):
            seen.add((number, wire))
            if number == _MODEL_METADATA and wire == _BYTES:
                key, value = self._entry(start, end)
                if key in metadata:
                    raise ContextError(f"names its metadata {key!r} twice: export it again")
                metadata[key] = value
            self._descend("model", number, wire, start, end, depth=0)
        if (_MODEL_IR_VERSION, _VARINT) not in seen or (_MODEL_GRAPH, _BYTES) not in seen:
            raise _not_onnx()
        return metadata

    def _descend(
        self, kind: str, number: int, wire: int, start: int, end: int, *, depth: int
    ) -> None:
        child = _CHILDREN[kind].get(number)
        # A field of a wire type other than its schema's is unknown to protobuf: skipped.
        if child is None or wire != _BYTES:
            return
        if depth >= MAX_DEPTH:
            raise _not_onnx()
        operator = b""
        domain = b""
        for number_, wire_, start_, end_ in self._fields(start, end):
            if child == "tensor" and (
                number_ == _TENSOR_EXTERNAL_DATA or (number_ == _TENSOR_DATA_LOCATION and start_)
            ):
                raise ContextError(
                    "keeps tensors in other files (external data), which is refused: "
                    "export the context as one file"
                )
            if child == "node" and wire_ == _BYTES and number_ == _NODE_OPERATOR:
                operator = self._data[start_:end_]
            if child == "node" and wire_ == _BYTES and number_ == _NODE_DOMAIN:
                domain = self._data[start_:end_]
            self._descend(child, number_, wire_, start_, end_, depth=depth + 1)
        if domain not in STANDARD_DOMAINS:
            raise ContextError(
                f"needs the operator {_text(operator)} of {_text(domain)}, expected operators "
                "of the ONNX standard alone: export the context again"
            )

    def _entry(self, start: int, end: int) -> tuple[str, str]:
        key = value = b""
        for number, wire, first, last in self._fields(start, end):
            if number == _ENTRY_KEY and wire == _BYTES:
                key = self._data[first:last]
            elif number == _ENTRY_VALUE and wire == _BYTES:
                value = self._data[first:last]
        try:
            return key.decode(), value.decode()
        except UnicodeDecodeError:
            raise _not_onnx() from None

    def _fields(self, position: int, end: int) -> Iterator[_Field]:
        while position < end:
            self._fields_left -= 1
            if self._fields_left < 0:
                raise ContextError("is far more complex than any context file: export it again")
            tag, position = self._varint(position, end)
            number, wire = tag >> 3, tag & 7
            # Wider tags are cut to 32 bits by some readers, which would hide a field here.
            if tag >= 1 << 32 or number == 0:
                raise _not_onnx()
            if wire == _VARINT:
                value, position = self._varint(position, end)
                yield number, wire, value, 0
                continue
            if wire == _BYTES:
                length, position = self._varint(position, end)
            elif wire == _FIXED64:
                length = 8
            elif wire == _FIXED32:
                length = 4
            else:
                # Groups: no ONNX writer has ever made one.
                raise _not_onnx()
            if length > end - position:
                raise _not_onnx()
            yield number, wire, position, position + length
            position += length

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                raise _not_onnx()
            byte = self._data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
        raise _not_onnx()


def _not_onnx() -> ContextError:
    return ContextError("is no ONNX file, or a damaged one: expected what dps-export writes")


def _text(name: bytes) -> str:
    return name.decode(errors="replace") or "?"
