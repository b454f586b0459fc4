from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats import savedmodels
from tests.formats.refusals import read_or_refused
from vedette.errors import ModelError
from vedette.formats.protobuf import BYTES, FIXED32, FIXED64, VARINT, fields, submessages, varint


def test_every_wire_type_is_read_in_its_order() -> None:
    data = b"\x08\x96\x01" + b"\x11" + bytes(range(8)) + b"\x1a\x03abc" + b"\x25\x00\x01\x02\x03"

    assert list(fields(data)) == [
        (1, VARINT, 150),
        (2, FIXED64, bytes(range(8))),
        (3, BYTES, b"abc"),
        (4, FIXED32, b"\x00\x01\x02\x03"),
    ]


def test_submessages_are_those_of_one_number() -> None:
    data = savedmodels.field(1, "a") + savedmodels.field(2, "b") + savedmodels.field(1, 3)

    assert submessages(data, 1) == [b"a"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x08", "inside a number"),
        (b"\x08\xff", "inside a number"),
        (b"\x08" + b"\xff" * 10, "64 bits"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "64 bits"),
        (b"\x12\x05abc", "inside a field"),
        (b"\x11abc", "inside a field"),
        (b"\x25abc", "inside a field"),
        (b"\x00\x01", "no number"),
        (b"\x0b", "wire type 3"),
        (b"\x0f", "wire type 7"),
        (b"\x12" + b"\xff" * 9 + b"\x01", "inside a field"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ModelError, match=why) as caught:
        list(fields(data))

    assert caught.value.code == "weights_unusable"


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_a_number_is_read_as_it_was_written(value: int, before: bytes) -> None:
    written = savedmodels.varint(value)

    read, end = varint(before + written + b"\x01", len(before))

    assert (read, end) == (value, len(before) + len(written))


@given(
    st.lists(
        st.tuples(st.integers(1, 2**29 - 1), st.integers(0, 2**64 - 1) | st.binary(max_size=40))
    )
)
def test_fields_are_read_as_they_were_written(wanted: list[tuple[int, int | bytes]]) -> None:
    data = b"".join(savedmodels.field(number, value) for number, value in wanted)

    assert [(number, value) for number, _, value in fields(data)] == wanted


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    found = read_or_refused(lambda: list(fields(data))) or []

    assert sum(len(v) for _, _, v in found if isinstance(v, bytes)) <= len(data)
