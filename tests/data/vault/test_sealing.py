"""Encryption at rest: what was sealed opens, and nothing else does."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.data.vault.sealing import Encrypted
from vedette.errors import VedetteError

SEAL = Encrypted(bytes(32), b"salt")
PIECE = 2**20


def sealed(data: bytes, cut: int = 1000) -> bytes:
    pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    return b"".join(SEAL.seal(iter(pieces)))


def opened(data: bytes, seal: Encrypted = SEAL) -> bytes:
    return b"".join(seal.open(io.BytesIO(data).read))


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 7])
def test_opens_to_what_it_was(size: int) -> None:
    data = (b"vedette" * (size // 7 + 1))[:size]

    assert opened(sealed(data, cut=70_000)) == data
    assert opened(sealed(data, cut=2 * PIECE)) == data


def test_the_same_bytes_are_sealed_differently_each_time() -> None:
    assert sealed(b"the same") != sealed(b"the same")


@given(st.binary(max_size=200))
def test_any_bytes_open_or_are_refused(data: bytes) -> None:
    with pytest.raises(VedetteError) as caught:
        opened(data)
    assert caught.value.code == "bad_vault"


@given(st.data())
def test_any_change_is_refused(data: st.DataObject) -> None:
    whole = bytearray(sealed(b"a picture, say"))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(VedetteError):
        opened(bytes(whole))


def test_pieces_that_are_left_out_moved_or_added_are_refused() -> None:
    whole = sealed(bytes(3 * PIECE), cut=PIECE)
    head, step = 15, PIECE + 16
    first, second, last = (whole[head + i * step : head + (i + 1) * step] for i in range(3))

    assert whole == whole[:head] + first + second + last
    for parts in ((first, second), (first, last), (second, first, last), (first, second, last) * 2):
        with pytest.raises(VedetteError):
            opened(whole[:head] + b"".join(parts))


def test_another_set_has_another_key() -> None:
    other = Encrypted(bytes(32), b"other salt")

    assert other.check != SEAL.check
    assert other.address("ab" * 32) != SEAL.address("ab" * 32)
    with pytest.raises(VedetteError):
        opened(sealed(b"a picture"), other)
