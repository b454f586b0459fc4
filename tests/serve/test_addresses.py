"""Which addresses may be asked, and data URIs: strict readings of what strangers send."""

from __future__ import annotations

import base64
import ipaddress
import tracemalloc
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.serve.addresses import refusal
from vedette.serve.data_uri import data_uri, is_data_uri
from vedette.serve.refusals import Refusal

PUBLIC = [
    *("8.8.8.8", "93.184.216.34", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1"),
    *("192.0.1.1", "198.20.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1"),
]
PRIVATE = [
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("127.0.0.1", "127.255.255.254", "100.64.0.1", "100.127.255.255", "::1", "fc00::1"),
    "fdff:ffff::1",
]
NEVER = [
    # metadata
    *("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200"),
    *("168.63.129.16", "192.0.0.192"),
    # link-local, multicast, reserved, unspecified, documentation
    *("169.254.0.1", "fe80::1", "fe80::1%eth0", "::1%1", "fec0::1", "224.0.0.1", "239.1.1.1"),
    *("ff02::1", "ff0e::1", "0.0.0.0", "0.1.2.3", "::", "240.0.0.1", "255.255.255.255"),
    *("192.0.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.88.99.1"),
    *("2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1", "1::1", "2001:2::1", "2001:10::1"),
    # an IPv4 address inside an IPv6 one: mapped, compatible, translated, 6to4, Teredo, NAT64,
    # ISATAP
    *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:a9fe:a9fe", "::127.0.0.1", "::8.8.8.8"),
    *("::ffff:0:127.0.0.1", "2002:7f00:1::", "2002:808:808::1", "2001::1", "2001:0:4136:e378::1"),
    *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "64:ff9b:1:ffff::a00:1"),
    *("2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:7f00:1"),
    # no addresses
    *("", "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1:80", "[::1]"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_asked(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_may_be_asked_where_they_are_meant(address: str) -> None:
    assert refusal(address) == "private"
    assert refusal(address, private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_others_are_never_asked(address: str) -> None:
    assert refusal(address)
    assert refusal(address, private=True)


@given(st.ip_addresses())
def test_whatever_the_library_calls_not_global_is_refused(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert refusal(str(address)) is not None


@given(st.ip_addresses(v=6).map(lambda address: ipaddress.IPv6Address(int(address) % 2**96)))
def test_the_lowest_96_bits_alone_are_never_an_address(address: ipaddress.IPv6Address) -> None:
    if int(address) != 1:
        assert refusal(str(address), private=True) is not None


# data URIs


@given(st.binary(max_size=300))
def test_both_forms_give_the_bytes_back(content: bytes) -> None:
    encoded = base64.b64encode(content).decode()

    assert data_uri(f"data:image/png;base64,{encoded}", 300) == content
    assert data_uri(f"data:;base64,{quote_from_bytes(encoded.encode(), safe='')}", 300) == content
    assert data_uri(f"data:,{quote_from_bytes(content, safe='')}", 300) == content
    assert data_uri(f"DATA:image/png;name=a;BASE64,{encoded}", 300) == content


@given(st.binary(min_size=1, max_size=300))
def test_a_limit_is_exact(content: bytes) -> None:
    encoded = base64.b64encode(content).decode()
    escaped = "".join(f"%{byte:02X}" for byte in content)
    for text in (f"data:;base64,{encoded}", f"data:,{escaped}"):
        assert data_uri(text, len(content)) == content
        with pytest.raises(Refusal) as raised:
            data_uri(text, len(content) - 1)
        assert raised.value.code == "too_large"


def test_what_is_too_large_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vedette.serve.data_uri.binascii", None)
    monkeypatch.setattr("vedette.serve.data_uri.unquote_to_bytes", None)
    for text in ("data:;base64," + "A" * 4000, "data:," + "a" * 4000, "data:," + "%41" * 4000):
        with pytest.raises(Refusal, match="more than 1000 bytes"):
            data_uri(text, 1000)


@pytest.mark.parametrize(
    "text",
    [
        *("", "data:", "data", "data:image/png;base64", "http://example.org/", " data:,a"),
        *("data:;base64,QUI", "data:;base64,QUI==", "data:;base64,QU I=", "data:;base64,QUI=\n"),
        *("data:;base64,=QUI", "data:;base64,QUI=QUI=", "data:;base64,Q-_=", "data:;base64,QÜI="),
        *(
            "data:;base64,QUI%3",
            "data:;base64,QUI%zz",
            "data:;base64,QUI=#x",
            "data:,%",
            "data:,%4",
        ),
        *("data:,%g0", "data:,a b", "data:,a#b", "data:,ä", "data:,a\x00", "data:im age,abc"),
        *("data:" + "x" * 300 + ",a", "data:ä,a", "data:;base64,QUI\ud800"),
    ],
)
def test_what_is_not_exactly_one_is_refused(text: str) -> None:
    with pytest.raises(Refusal) as raised:
        data_uri(text, 1000)
    assert raised.value.code == "usage"
    assert raised.value.status == 400


@given(st.one_of(st.text(), st.text().map("data:".__add__), st.text().map("data:;base64,".__add__)))
def test_any_text_is_bytes_or_a_refusal(text: str) -> None:
    try:
        decoded = data_uri(text, 50)
    except Refusal as refused:
        code = refused.code
    else:
        assert len(decoded) <= 50
        assert is_data_uri(text)
        return
    assert code in ("usage", "too_large")


@given(st.lists(st.sampled_from(["a", "%41", "%2541", "bc"]), max_size=60))
def test_escapes_are_not_cut_through(pieces: list[str]) -> None:
    text = "".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vedette.serve.data_uri._PIECE", 7)
        assert data_uri(f"data:,{text}", 1000) == unquote_to_bytes(text)


def test_many_escapes_take_no_more_memory_than_they_are_long() -> None:
    text = "data:," + "%41" * 400_000
    tracemalloc.start()
    try:
        data_uri(text, 400_000)
        assert tracemalloc.get_traced_memory()[1] < 6_000_000
    finally:
        tracemalloc.stop()
