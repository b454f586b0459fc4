"""Protocol buffers' wire format, field by field, without a schema and without recursion."""

from __future__ import annotations

from collections.abc import Iterator

from vedette.errors import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""Wire types. The two others, groups, are long gone from every format that we read."""


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """The fields of one message in their order: (number, wire type, value).

    A varint's value is an unsigned int; that of the three others is their bytes.

    Raises:
        ModelError: ``weights_unusable``: it ends inside a field, or is no message.
    """
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, wire_type = key >> 3, key & 7
        value: int | bytes
        if number == 0:
            raise malformed("a field has no number")
        if wire_type == VARINT:
            value, at = varint(data, at)
        elif wire_type in (FIXED64, FIXED32, BYTES):
            size = {FIXED64: 8, FIXED32: 4}.get(wire_type)
            if size is None:
                size, at = varint(data, at)
            value = data[at : at + size]
            if len(value) != size:
                raise malformed("it ends inside a field")
            at += size
        else:
            raise malformed(f"a field of wire type {wire_type}")
        yield number, wire_type, value


def varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of up to 64 bits that begins at ``at``, and where it ends.

    Raises:
        ModelError: ``weights_unusable``.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise malformed("it ends inside a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= 1 << 64:
                raise malformed("a number of more than 64 bits")
            return value, at
    raise malformed("a number of more than 64 bits")


def submessages(data: bytes, number: int) -> list[bytes]:
    """The bytes of every field of that number and of wire type ``BYTES``.

    Raises:
        ModelError: ``weights_unusable``.
    """
    return [v for n, _, v in fields(data) if n == number and isinstance(v, bytes)]


def malformed(why: str) -> ModelError:
    """The error for what is no protocol buffer."""
    return ModelError(f"not a protocol buffer: {why}", code="weights_unusable")
