"""The protobuf wire format, as far as ONNX files use it; needs no package."""

from __future__ import annotations

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types. Groups (3 and 4) are refused: no ONNX writer has ever made one."""

MAX_PACKED = 100
"""More than the dimensions of a tensor, or the values of a small one."""

Field = tuple[int, int, int, int, int]
"""Field number, wire type, first byte of the field, then first byte and end of its content; of a
varint, its value and 0."""


class WireError(ValueError):
    """Bytes that are no protobuf message, or that two readers could understand differently."""


class TooManyFieldsError(WireError):
    """A message with more fields than the caller allows."""


def read_fields(data: bytes, position: int, end: int, *, limit: int = 1 << 62) -> list[Field]:
    """Return the fields of one message in their order, without looking into them.

    Args:
        data: the bytes that hold the message.
        position: first byte of the message.
        end: first byte after it.
        limit: most fields to accept.

    Raises:
        WireError: see the class.
        TooManyFieldsError: more than `limit` fields.
    """
    fields: list[Field] = []
    while position < end:
        begin = position
        if len(fields) >= limit:
            raise TooManyFieldsError(f"more than {limit} fields")
        # Nearly every tag and length is a single byte; calling a function for each would take
        # longer than everything else here.
        tag = data[position]
        position += 1
        if tag >= 0x80:
            tag, position = read_varint(data, begin, end)
        number, wire = tag >> 3, tag & 7
        # Some readers cut wider tags to 32 bits, which would hide a field here.
        if tag >= 1 << 32 or number == 0:
            raise WireError("field number out of range")
        if wire == BYTES:
            if position >= end:
                raise WireError("no length")
            length = data[position]
            if length >= 0x80:
                length, position = read_varint(data, position, end)
            else:
                position += 1
        elif wire == VARINT:
            value, position = read_varint(data, position, end)
            fields.append((number, wire, begin, value, 0))
            continue
        elif wire == FIXED64:
            length = 8
        elif wire == FIXED32:
            length = 4
        else:
            raise WireError("unknown wire type")
        stop = position + length
        if stop > end:
            raise WireError("field longer than its message")
        fields.append((number, wire, begin, position, stop))
        position = stop
    return fields


def read_varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    """Return a variable-length integer, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            raise WireError("cut short")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise WireError("integer too long")


def read_varints(data: bytes, position: int, end: int) -> list[int]:
    """Return the integers of a packed field, the first `MAX_PACKED` of them."""
    values: list[int] = []
    while position < end and len(values) < MAX_PACKED:
        value, position = read_varint(data, position, end)
        values.append(value)
    return values


def length_delimited(number: int, content: bytes) -> bytes:
    """Return a field that holds bytes: a text or a message."""
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
