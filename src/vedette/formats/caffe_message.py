"""Reading a Caffe ``.caffemodel`` as messages of numbered fields (``caffe.proto``), all checked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vedette.backends.base import Array
from vedette.errors import ModelError
from vedette.formats.graph import unusable
from vedette.formats.protobuf import BYTES, FIXED32, FIXED64, fields, varint

_MOST = 1 << 20
"""No size, stride or padding in a network for pictures comes near it."""


class Message:
    """The fields of one message by number; where one is written twice, the last counts."""

    def __init__(self, data: bytes, what: str) -> None:
        self._what = what
        self._fields: dict[int, list[tuple[int, int | bytes]]] = {}
        for number, wire_type, value in fields(data):
            self._fields.setdefault(number, []).append((wire_type, value))

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def parts(self, number: int) -> Iterator[bytes]:
        """A repeated field of bytes, of whatever they mean."""
        for wire_type, value in self._fields.get(number, ()):
            if wire_type != BYTES or isinstance(value, int):
                raise self.refuse(f"field {number} is of another type")
            yield value

    def messages(self, number: int) -> list[Message]:
        """A repeated field of messages."""
        return [Message(data, self._what) for data in self.parts(number)]

    def message(self, number: int) -> Message:
        """A field that is a message; an empty one where it is not written."""
        return Message(b"".join(self.parts(number)), self._what)  # parts of one add up

    def texts(self, number: int) -> list[str]:
        """A repeated field of strings."""
        try:
            return [data.decode("utf-8") for data in self.parts(number)]
        except UnicodeDecodeError as error:
            raise self.refuse("a name is not text") from error

    def text(self, number: int) -> str:
        """A string; empty where it is not written."""
        return (self.texts(number) or [""])[-1]

    def wholes(self, number: int, least: int = 0) -> list[int]:
        """A repeated field of whole numbers, packed or not."""
        found: list[int] = []
        for wire_type, value in self._fields.get(number, ()):
            if isinstance(value, int):
                found.append(value)
            elif wire_type == BYTES:
                found += _varints(value)
            else:
                raise self.refuse(f"field {number} is no number")
        if any(not least <= value <= _MOST for value in found):
            raise self.refuse(f"field {number} is no usable number")
        return found

    def whole(self, number: int, default: int, least: int = 0) -> int:
        """A whole number."""
        return (self.wholes(number, least) or [default])[-1]

    def flag(self, number: int, default: bool) -> bool:
        """True or false."""
        return bool(self.whole(number, int(default)))

    def number(self, number: int, default: float) -> float:
        """A float."""
        values = self.floats(number)
        return float(values[-1]) if len(values) else default

    def floats(self, number: int, wire_type: int = FIXED32) -> Array:
        """A repeated field of floats, packed or not; of doubles with their wire type."""
        stored = np.dtype("<f4" if wire_type == FIXED32 else "<f8")
        parts = []
        for found_type, value in self._fields.get(number, ()):
            if found_type not in (wire_type, BYTES) or isinstance(value, int):
                raise self.refuse(f"field {number} is no float")
            if len(value) % stored.itemsize:
                raise self.refuse(f"field {number} ends inside a number")
            parts.append(value)
        return np.frombuffer(b"".join(parts), stored)

    def blob(self) -> Array:
        """Of a ``BlobProto``: its values in its shape."""
        values = self.floats(8, FIXED64) if 8 in self else self.floats(5)
        # Before 2015 four fields, later one message of any length.
        shape = self.message(7).wholes(1) if 7 in self else [self.whole(n, 1) for n in range(1, 5)]
        if math.prod(shape) != len(values):
            raise self.refuse(f"{len(values)} weights do not fill the shape {shape}")
        return values.reshape(shape)

    def refuse(self, why: str) -> ModelError:
        """The error that names where this message is."""
        return unusable(f"{self._what}: {why}")


def _varints(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        value, at = varint(data, at)
        found.append(value)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class CaffeLayer:
    """One ``LayerParameter``."""

    name: str
    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    message: Message

    @classmethod
    def read(cls, data: bytes) -> CaffeLayer:
        """From the message's bytes."""
        outer = Message(data, "a layer")
        name, kind = outer.text(1), outer.text(2)
        message = Message(data, f"layer {name!r:.80} ({kind:.40})")
        return cls(name, kind, outer.texts(3), outer.texts(4), message)

    def settings(self, number: int) -> Message:
        """The message with the settings of its kind."""
        return self.message.message(number)

    def weights(self) -> list[Array]:
        """Its blobs."""
        return [blob.blob() for blob in self.message.messages(7)]

    def refuse(self, why: str) -> ModelError:
        """The error that names this layer."""
        return self.message.refuse(why)


def layers(data: bytes) -> tuple[list[str], list[CaffeLayer]]:
    """Names of the inputs that the network declares, and its layers.

    Raises:
        ModelError: ``weights_unusable``: no such file, or damaged.
    """
    net = Message(data, "the caffemodel")
    if 2 in net:
        raise net.refuse("Caffe's layers of before 2014 (V1) are not read")
    return net.texts(3), [CaffeLayer.read(part) for part in net.parts(100)]
