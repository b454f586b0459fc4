"""Forms: what httpx sends is read back; what is malformed is refused, and never hangs."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.serve.multipart import Part, parse_form
from vedette.serve.refusals import Refusal

NAMES = st.text(st.characters(codec="utf-8", exclude_characters='"\\\r\n\0'), min_size=1).filter(
    lambda name: all(ch >= " " for ch in name)
)


@given(st.lists(st.tuples(NAMES, st.binary()), min_size=1, max_size=4))
def test_a_form_of_httpx_is_read_as_it_was_made(files: list[tuple[str, bytes]]) -> None:
    request = httpx.Request(
        "POST", "http://test", files=[("image", (name, data)) for name, data in files]
    )
    parts = parse_form(request.read(), request.headers["content-type"], 4)

    assert [(part.filename, part.data) for part in parts] == files
    assert {part.name for part in parts} == {"image"}


@given(st.binary(max_size=300))
def test_any_other_body_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        parse_form(body, "multipart/form-data; boundary=abcdefgh", 4)


HEAD = b'Content-Disposition: form-data; name="a"\r\n'


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"--x\r\n" + HEAD + b"\r\nv\r\n--x", "usage"),  # cut off before its end
        (b"--x\r\n\r\nv\r\n--x--", "usage"),  # a part without headers
        (b"--x\r\nContent-Type: a/b\r\n\r\nv\r\n--x--", "usage"),
        (b"--x\r\nA: " + b"a" * 10_000 + b"\r\n" + HEAD + b"\r\nv\r\n--x--", "usage"),
        (b"--xy\r\n" + HEAD + b"\r\nv\r\n--xy--", "usage"),  # another boundary
        ((b"--x\r\n" + HEAD + b"\r\nv\r\n") * 5 + b"--x--", "too_large"),
    ],
)
def test_malformed_forms_are_refused(body: bytes, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_form(body, "multipart/form-data; boundary=x", 3)

    assert refused.value.code == code


def test_the_rules_of_file_names() -> None:
    disposition = (
        'Content-Disposition: form-data; name="i"; filename="plain"; filename*=UTF-8\'\'%C3%A9'
    )
    body = f"--x\r\n{disposition}\r\n\r\nv\r\n--x--".encode()

    assert parse_form(body, 'multipart/form-data; boundary="x"', 1) == [Part("i", b"v", "é")]


def test_a_body_full_of_almost_boundaries_costs_its_length() -> None:
    body = b"--xxxxxxxx\r\n" + HEAD + b"\r\n" + b"\r\n--xxxxxxx" * 500_000 + b"\r\n--xxxxxxxx--"

    (part,) = parse_form(body, "multipart/form-data; boundary=xxxxxxxx", 1)

    assert len(part.data) == 11 * 500_000
