"""TensorFlow's ``variables.index``: a sorted table of keys and values, LevelDB's file format.

Source: TensorFlow's ``tensor_bundle`` and LevelDB's ``table_format``. A footer of 48 bytes points
to the index block, whose entries point to the data blocks. Keys share the start of the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from vedette.errors import ModelError
from vedette.formats.protobuf import varint

_MAGIC = 0xDB4775248B80FB57
_FOOTER = 48
_TRAILER = 5
"""Bytes after each block: how it is compressed, and a checksum."""
_UNCOMPRESSED = 0
_LONGEST_KEY = 1000
_MOST_KEYS = 2**20
"""Bytes of all keys: an entry of four bytes may repeat a whole key before it."""


def read_table(data: bytes) -> dict[bytes, bytes]:
    """Every entry of a table.

    Raises:
        ModelError: ``weights_unusable``: truncated, damaged, or compressed.
    """
    if len(data) < _FOOTER or int.from_bytes(data[-8:], "little") != _MAGIC:
        raise _damaged("it has no footer")
    footer = data[-_FOOTER:]
    _, at = varint(footer, 0)
    _, at = varint(footer, at)  # the meta index, which TensorFlow leaves empty
    offset, at = varint(footer, at)
    size, _ = varint(footer, at)
    entries: dict[bytes, bytes] = {}
    end = keys = 0
    for _, handle in _entries(_block(data, offset, size)):
        offset, at = varint(handle, 0)
        size, _ = varint(handle, at)
        if offset < end:  # each is read once: the file's size bounds the work
            raise _damaged("its blocks overlap")
        end = offset + size + _TRAILER
        for key, value in _entries(_block(data, offset, size)):
            if key in entries:
                raise _damaged("a key is there twice")
            keys += len(key)
            if keys > _MOST_KEYS:
                raise _damaged("its keys are too long")
            entries[key] = value
    return entries


def _block(data: bytes, offset: int, size: int) -> bytes:
    whole = data[offset : offset + size + _TRAILER]
    if len(whole) != size + _TRAILER:
        raise _damaged("a block lies beyond its end")
    if whole[size] != _UNCOMPRESSED:
        raise _damaged("a block is compressed")
    checksum = int.from_bytes(whole[size + 1 :], "little")
    if checksum != masked_crc32c(whole[: size + 1]):
        raise _damaged("a block's checksum is wrong")
    return whole[:size]


def _entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block; after them stand offsets of restarts, and their count."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (restarts + 1)
    if len(block) < 4 or end < 0:
        raise _damaged("a block has no end")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at)
        fresh, at = varint(block, at)
        size, at = varint(block, at)
        if shared > len(key) or at + fresh + size > end:
            raise _damaged("an entry lies beyond its block")
        if shared + fresh > _LONGEST_KEY:
            raise _damaged("its keys are too long")
        key = key[:shared] + block[at : at + fresh]
        at += fresh
        yield key, block[at : at + size]
        at += size


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli), rotated and shifted as LevelDB stores it."""
    table = _crc_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@lru_cache(maxsize=1)
def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _damaged(why: str) -> ModelError:
    return ModelError(f"not a table of variables: {why}", code="weights_unusable")
