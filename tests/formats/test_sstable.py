from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats import savedmodels
from tests.formats.refusals import read_or_refused
from vedette.errors import ModelError
from vedette.formats.sstable import masked_crc32c, read_table

ENTRIES = {f"layer-{k}/kernel".encode(): bytes([k]) * k for k in range(10)}


def refused(data: bytes, why: str) -> None:
    with pytest.raises(ModelError, match=why) as caught:
        read_table(data)
    assert caught.value.code == "weights_unusable"


def test_the_checksum_is_crc_32c_as_leveldb_masks_it() -> None:
    crc = 0xE3069283  # of the nine digits: the check value of every list of CRCs

    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    assert masked_crc32c(b"123456789") == (rotated + 0xA282EAD8) & 0xFFFFFFFF


@given(
    st.dictionaries(st.binary(min_size=1, max_size=12), st.binary(max_size=20), max_size=20),
    st.integers(1, 8),
)
def test_entries_are_read_as_they_were_written(entries: dict[bytes, bytes], size: int) -> None:
    assert read_table(savedmodels.table(entries, size)) == entries


def test_every_truncation_is_refused() -> None:
    whole = savedmodels.table(ENTRIES)

    for size in range(len(whole)):
        refused(whole[:size], "table of variables")


def test_no_flipped_byte_changes_what_is_read() -> None:
    whole = savedmodels.table(ENTRIES)

    for at in range(len(whole)):
        altered = whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :]
        found = read_or_refused(partial(read_table, altered))
        assert found in (None, ENTRIES), f"byte {at}"


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    footer = savedmodels.table({})[-48:]
    for content in (data, data + footer):
        read_or_refused(partial(read_table, content))


def table(block: bytes, handles: int = 1) -> bytes:
    """A table of one data block, with its trailer, that the index names so many times."""
    empty = savedmodels.block([])
    rows = [(bytes([k]), savedmodels.handle(b"", block)) for k in range(handles)]
    index = savedmodels.block(rows, interval=1)
    handle = savedmodels.handle(block, empty) + savedmodels.handle(block + empty, index)
    return block + empty + index + handle.ljust(40, b"\0") + savedmodels.MAGIC


def test_a_table_of_one_block_is_read() -> None:
    assert read_table(table(savedmodels.block([(b"a", b"1"), (b"ab", b"2")]))) == {
        b"a": b"1",
        b"ab": b"2",
    }


def test_a_compressed_block_is_refused_in_so_many_words() -> None:
    refused(table(savedmodels.sealed(b"snappy", compression=1)), "compressed")


def test_a_block_that_is_read_again_and_again_is_refused() -> None:
    refused(table(savedmodels.block([]), handles=50), "overlap")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x00\x7f\x01ab" + bytes(4) + b"\x01\0\0\0", "beyond its block"),
        (b"\x05\x01\x01ab" + bytes(4) + b"\x01\0\0\0", "beyond its block"),
        (b"ab", "no end"),
        (b"\xff\xff\xff\xff", "no end"),
    ],
)
def test_a_block_that_makes_no_sense_is_refused(content: bytes, why: str) -> None:
    refused(table(savedmodels.sealed(content)), why)


def test_a_key_twice_is_refused() -> None:
    refused(table(savedmodels.block([(b"a", b"1"), (b"a", b"2")])), "twice")
