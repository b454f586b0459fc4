"""Bytes that are hardly HTTP: lengths, chunks, heads, slowness, two requests in one."""

from __future__ import annotations

import gzip
import hashlib
import socket
import time
from contextlib import ExitStack, suppress

import pytest

from tests.serve.hostile.target import MARK, PNG, Target, answers, fine, statuses

INNER = b"GET /v1/policies HTTP/1.1\r\nHost: inner\r\nConnection: close\r\n\r\n"
"""A request hidden in another one's body: to read it as one of its own is to be smuggled."""
KIND = "Content-Type: image/png"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: -1",),
        ("Content-Length: 1e3",),
        ("Content-Length: 0x10",),
        ("Content-Length: +5",),
        ("Content-Length: ",),
        ("Content-Length: 5 5",),
        ("Content-Length: 99999999999999999999999999",),
        ("Content-Length: " + "9" * 5000,),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5, 6",),
        ("Content-Length : 5",),
        ("Content-\x00Length: 5",),
        ("Transfer-Encoding: gzip, chunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        ("X-A: b\rX-C: d",),
        ("X-A: \x00",),
    ],
    ids=lambda lines: " ".join(lines)[:40].encode("unicode_escape").decode(),
)
def test_heads_that_can_be_read_in_two_ways_are_refused(
    target: Target, lines: tuple[str, ...]
) -> None:
    raw = target.raw(target.head(KIND, *lines), b"0\r\n\r\n", INNER)

    (status,) = statuses(raw)
    assert status in (400, 413)


def test_a_length_and_chunks_together_are_never_two_requests(target: Target) -> None:
    length = f"Content-Length: {len(PNG)}"
    for lines in (
        (length, "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", length),
        ("Content-Length: 4", "Transfer-Encoding: chunked"),
    ):
        # Kept alive on purpose: what follows the last chunk must not be answered (RFC 9112, 6.1).
        head = target.head(KIND, *lines).replace(b"Connection: close\r\n", b"")
        raw = target.raw(head, b"0\r\n\r\n" + INNER)

        assert statuses(raw) == [400]


@pytest.mark.parametrize(
    "chunks",
    [
        b"5\r\nabcde\r\n-1\r\n",
        b"fffffffffffffffff\r\n" + b"a" * 100,
        b"0x5\r\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcdeXX0\r\n\r\n",
        b"zz\r\n",
        b"0\r\n" + b"X-Trailer: a\r\n" * 20_000 + b"\r\n",
    ],
    ids=["negative", "huge", "0x", "no line's end", "no number", "trailers"],
)
def test_chunks_that_are_none_end_the_request(target: Target, chunks: bytes) -> None:
    raw = target.raw(target.head(KIND, "Transfer-Encoding: chunked"), chunks)

    assert all(400 <= status < 500 for status in statuses(raw))
    assert len(statuses(raw)) <= 1


def test_notes_beside_chunks_are_no_part_of_the_body(target: Target) -> None:
    noted = b"5;" + b"x" * 30_000 + b"\r\nabcde\r\n"
    raw = target.raw(target.head(KIND, "Transfer-Encoding: chunked"), noted * 20 + b"0\r\n\r\n")

    ((status, body),) = answers(raw)
    assert status == 200
    assert hashlib.sha256(b"abcde" * 20).hexdigest().encode() in body


def test_a_hundred_thousand_small_chunks_are_one_body(target: Target) -> None:
    head = target.head(KIND, "Transfer-Encoding: chunked")
    raw = target.raw(head, b"1\r\na\r\n" * 100_000 + b"0\r\n\r\n")

    ((status, body),) = answers(raw)
    assert status == 200
    assert hashlib.sha256(b"a" * 100_000).hexdigest().encode() in body


def test_a_body_longer_than_it_said_is_not_a_request_of_its_own(target: Target) -> None:
    raw = target.raw(target.head(KIND, f"Content-Length: {len(PNG)}"), PNG + INNER)

    assert statuses(raw) == [200]  # the head said: close


def test_a_body_shorter_than_it_said_is_cut_off(target: Target) -> None:
    raw = target.raw(target.head(KIND, "Content-Length: 100000"), PNG)

    assert statuses(raw) == [408]


def test_a_body_that_is_left_in_the_middle_harms_nobody(target: Target) -> None:
    for _ in range(20):
        with target.connected() as line:
            line.sendall(target.head(KIND, "Content-Length: 100000") + PNG)


def test_dripping_bodies_and_heads_keep_nobody_waiting(target: Target) -> None:
    head = target.head(KIND, "Content-Length: 1000")
    with ExitStack() as opened:
        waiting = []
        for sent in [head] * 40 + [head[:50]] * 40:
            line = opened.enter_context(target.connected())
            line.sendall(sent)
            waiting.append(line)
        target.is_up()
        for _ in range(300):  # a byte each, until all of them are cut off
            waiting = [line for line in waiting if not _is_cut_off(line)]
            time.sleep(0.05)
            if not waiting:
                break
    assert not waiting


def _is_cut_off(line: socket.socket) -> bool:
    line.setblocking(False)
    try:
        line.sendall(b"a")
        answer = line.recv(65536)
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    if answer:
        assert statuses(answer) == [408]
    return True


@pytest.mark.parametrize(
    "lines",
    [
        tuple(f"X-{place}: a" for place in range(10_000)),
        tuple("Authorization: Bearer a" for _ in range(200)),
        ("X-Long: " + "a" * 2**20,),
        ("X" * 2**20 + ": a",),
    ],
    ids=["10,000 headers", "200 keys", "1 MB value", "1 MB name"],
)
def test_heads_that_are_too_large_are_refused(target: Target, lines: tuple[str, ...]) -> None:
    raw = target.raw(target.head(*lines))

    assert set(statuses(raw)) <= {400}


@pytest.mark.parametrize(
    "request_line",
    [
        "GET http://169.254.169.254/" + MARK + " HTTP/1.1",
        "CONNECT 127.0.0.1:80 HTTP/1.1",
        "TRACE / HTTP/1.1",
        "GET /../../../etc/passwd HTTP/1.1",
        "GET /v1/%2e%2e/%2e%2e/etc/passwd HTTP/1.1",
        "GET //evil.test/" + MARK + " HTTP/1.1",
        "GET /v1/models/..%2f..%2f" + MARK + " HTTP/1.1",
        "GET /v1/models/%00 HTTP/1.1",
        "GET /v1/jobs/..%2f..%2fetc%2fpasswd HTTP/1.1",
        "GET /v1/jobs/" + "a" * 20_000 + " HTTP/1.1",
        "GET / HTTP/9.9",
        "GET / HTTP/1.0",
        "PRI * HTTP/2.0",
        "OPTIONS * HTTP/1.1",
        "POST /v1/scan?" + "&".join(f"k{place}={MARK}" for place in range(2000)) + " HTTP/1.1",
        "GET / HTTP/1.1\r\nUpgrade: websocket",
        "G\x01T / HTTP/1.1",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda line: line[:32].encode("unicode_escape").decode(),
)
def test_request_lines_of_all_kinds_are_refused(target: Target, request_line: str) -> None:
    head = target.head(KIND, "Content-Length: 0").split(b"\r\n", 1)[1]
    raw = target.raw(request_line.encode("latin-1") + b"\r\n" + head)

    assert all(400 <= status < 500 for status in statuses(raw))


def test_what_is_sent_back_stands_in_no_header(target: Target) -> None:
    for given in (f"{MARK} <b>", f"{MARK}%0d%0aSet-Cookie: a=b", f"{MARK}\tb", MARK * 10):
        raw = target.raw(target.head(f"X-Request-Id: {given}", KIND, "Content-Length: 0"))
        head = raw.partition(b"\r\n\r\n")[0].lower()

        assert MARK.encode() not in head
        assert b"set-cookie" not in head


def test_pipelined_requests_are_each_answered_once_and_in_order(target: Target) -> None:
    keep = target.head(KIND, f"Content-Length: {len(PNG)}").replace(b"Connection: close\r\n", b"")
    last = target.head(KIND, f"Content-Length: {len(PNG)}")
    raw = target.raw((keep + PNG) * 20 + last + PNG)

    assert statuses(raw) == [200] * 21


def test_four_hundred_connections_that_say_nothing_are_only_connections(target: Target) -> None:
    with ExitStack() as opened:
        for _ in range(400):
            opened.enter_context(target.connected())
        target.is_up()


def test_a_refusal_is_of_the_shape_of_all(target: Target) -> None:
    ((status, body),) = answers(target.raw(target.head("Content-Length: 0", path="/none")))

    assert (status, fine(status, body)) == (404, "not_found")


def test_answers_that_nobody_reads_are_not_made(target: Target) -> None:
    ask = f"GET /openapi.json HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n\r\n".encode()
    before = target.resident()
    with target.connected() as line:
        line.setblocking(False)
        with suppress(BlockingIOError):  # it stops to read, too
            for _ in range(3000):
                line.sendall(ask)
        target.is_up()
        assert target.resident() - before < 64 * 2**20  # of 3,000 answers of 90 kB


def test_a_compressed_body_is_not_unpacked(target: Target) -> None:
    bomb = gzip.compress(bytes(500 * 2**20), 1)[: 2**20]
    for coding in ("gzip", "deflate", "br", "gzip, gzip"):
        answer = target.post(content=bomb, **{"Content-Encoding": coding})
        if answer.status_code == 200:
            (record,) = answer.json()["records"]
            assert record["sha256"] == hashlib.sha256(bomb).hexdigest()
            assert record["action"] != "allow"


def test_who_waits_to_be_told_to_go_on_is_told_or_refused(target: Target) -> None:
    expecting = target.head(KIND, f"Content-Length: {len(PNG)}", "Expect: 100-continue")
    raw = target.raw(expecting, PNG)
    go_on, _, rest = raw.partition(b"\r\n\r\n")
    assert go_on.startswith(b"HTTP/1.1 100 ")
    assert statuses(rest) == [200]
    too_much = target.head(KIND, "Content-Length: 999999999", "Expect: 100-continue")
    assert statuses(target.raw(too_much)) == [413]
