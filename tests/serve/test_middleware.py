"""What every request gets: an id, headers, a log line without secrets, limits on what arrives."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.pictures import drawn, encoded
from tests.serve.doubles import SCAN_KEY
from tests.serve.served import Served, served
from vedette.serve.body import Body, Held, Message
from vedette.serve.logs import JsonLines
from vedette.serve.options import RequestLimits, ServeOptions
from vedette.serve.refusals import Refusal

PNG = encoded(drawn(1))
LIMITS = RequestLimits(
    body_bytes=100_000,
    json_bytes=100_000,
    held_bytes=150_000,
    body_seconds=0.6,
    header_seconds=0.6,
    header_count=40,
    connections=30,
)
KEY = {"Authorization": f"Bearer {SCAN_KEY}"}
HEADERS = {**KEY, "content-type": "image/png"}
AUTHORIZED = f"Authorization: Bearer {SCAN_KEY}\r\nContent-Type: image/png\r\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Served]:
    with served(options=ServeOptions(models=("dummy",), limits=LIMITS)) as running:
        yield running


def spoken(port: int, *pieces: bytes) -> bytes:
    """What the service answers to these bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        for piece in pieces:
            line.sendall(piece)
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    return answer


class Pages:
    """URLs that are fetched: one at once, the other while nobody waits for it any more."""

    def __init__(self) -> None:
        self.cancelled = 0

    async def fetch(self, url: str) -> bytes:
        if url.startswith("http://large"):
            return b"x" * 200_000
        try:
            await asyncio.sleep(0.3)
        except asyncio.CancelledError:
            self.cancelled += 1
        return b"x" * 100_000


def test_what_is_fetched_for_a_refused_request_is_held_by_nobody() -> None:
    limits = RequestLimits(held_bytes=150_000)
    pages = Pages()
    options = ServeOptions(models=("dummy",), limits=limits)
    wanted = {"images": [{"url": f"http://{host}/"} for host in ("slow", "large", "slow")]}
    with served(options=options, fetcher=pages) as running:
        refused = httpx.post(f"{running.url}/v1/scan", json=wanted, headers=KEY)
        time.sleep(0.5)
        after = httpx.post(f"{running.url}/v1/scan", content=b"x" * 140_000, headers=HEADERS)

    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert pages.cancelled == 2
    assert after.status_code == 200


def post(length: str, *more: str) -> bytes:
    lines = ["POST /v1/scan HTTP/1.1", "Host: test", *more]
    return ("\r\n".join(lines) + "\r\n" + AUTHORIZED + length + "\r\n\r\n").encode()


def code_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def test_every_answer_has_its_headers_and_no_other(service: Served) -> None:
    for path in ("/healthz", "/nowhere", "/v1/scan"):
        headers = httpx.get(service.url + path, headers={"Origin": "http://evil.test"}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_a_harmless_request_id_is_kept_and_any_other_replaced(service: Served) -> None:
    def told(given: str) -> str:
        answer = httpx.get(f"{service.url}/healthz", headers={"x-request-id": given})
        return str(answer.headers["x-request-id"])

    assert told("abc-1.2_3") == "abc-1.2_3"
    assert told("a b") != "a b"
    assert len(told("x" * 65)) == 32


def test_unknown_paths_and_methods_are_refused_in_the_shape_of_all(service: Served) -> None:
    for method, path, status in (("GET", "/nowhere", 404), ("DELETE", "/v1/scan", 405)):
        answer = httpx.request(method, service.url + path)
        assert answer.status_code == status
        assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


def test_a_refusal_keeps_the_connection_of_a_small_body(service: Served) -> None:
    head = f"POST /v1/scan HTTP/1.1\r\nHost: t\r\nContent-Length: {len(PNG)}\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"

    answer = spoken(service.port, head.encode() + PNG, last)

    assert answer.startswith(b"HTTP/1.1 401")
    assert b"HTTP/1.1 200" in answer


def test_a_body_that_is_declared_too_large_is_not_read(service: Served) -> None:
    assert code_of(spoken(service.port, post("Content-Length: 100001"))) == (413, "too_large")


def test_a_body_that_grows_too_large_is_cut_off_while_it_arrives(service: Served) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"

    answer = spoken(service.port, post("Transfer-Encoding: chunked"), *[chunk] * 5)

    assert code_of(answer) == (413, "too_large")
    assert b"connection: close" in answer.lower()


CHUNKED = (b"transfer-encoding", b"chunked")


def test_a_byte_of_json_holds_three() -> None:
    limits, held = RequestLimits(), Held(1000)
    pieces = iter([b"x" * 300, b"x" * 40])

    async def receive() -> Message:
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    def body(kind: bytes) -> Body:
        scope = {"path": "/v1/scan", "headers": [(b"content-type", kind), CHUNKED]}
        return Body(scope, receive, limits, held, time.monotonic())

    json_body = body(b"application/json; charset=utf-8")
    asyncio.run(json_body.receive())
    assert held.bytes == 900
    json_body.count(50)  # fetched for it: bytes as they are
    assert held.bytes == 950
    with pytest.raises(Refusal) as refused:
        asyncio.run(json_body.receive())
    assert refused.value.code == "overloaded"
    json_body.release()
    assert held.bytes == 0

    pieces = iter([b"x" * 300])
    asyncio.run(body(b"image/png").receive())
    assert held.bytes == 300


def test_bodies_of_all_requests_together_are_bounded(service: Served) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as first:
        first.sendall(post("Content-Length: 90000") + b"x" * 80_000)
        answer = b""
        while not answer.startswith(b"HTTP/1.1 503"):  # until the first one's bytes are counted
            answer = spoken(
                service.port, post("Content-Length: 80000", "Connection: close") + b"x" * 80_000
            )
            if b" 408 " in answer:
                break
        first.recv(1)
    assert code_of(answer) == (503, "overloaded")
    kind = {"content-type": "image/png"}
    answered = httpx.post(f"{service.url}/v1/scan", content=PNG, headers={**HEADERS, **kind})
    assert answered.status_code == 200


def test_a_slow_body_is_cut_off(service: Served) -> None:
    answer = spoken(service.port, post("Content-Length: 1000") + b"x")

    assert code_of(answer) == (408, "slow_body")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"POST /v1/scan HTTP/1.1\r\nHost: test\r\nX-A: ",
        b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\nG",  # a whole request, then a slow one
    ],
)
def test_a_slow_head_ends_the_connection(service: Served, head: bytes) -> None:
    try:
        answer = spoken(service.port, head)
    except ConnectionResetError:
        answer = b""

    assert answer.count(b"HTTP/1.1") <= 1


def test_too_many_headers_are_refused(service: Served) -> None:
    many = "\r\n".join(f"X-{n}: 1" for n in range(50))
    head = f"GET /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n{many}\r\n\r\n"
    answer = spoken(service.port, head.encode())
    assert code_of(answer) == (400, "usage")
    ten_thousand = b"".join(b"X-%d: 1\r\n" % n for n in range(10_000))
    try:
        answer = spoken(service.port, b"GET /healthz HTTP/1.1\r\nHost: t\r\n" + ten_thousand)
    except (ConnectionResetError, BrokenPipeError):
        answer = b""
    assert not answer or answer.startswith(b"HTTP/1.1 400")
    assert httpx.get(f"{service.url}/healthz").status_code == 200


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "9" * 5000, "5, 6", "٣"])
def test_lengths_that_are_none_are_refused(service: Served, length: str) -> None:
    assert spoken(service.port, post(f"Content-Length: {length}")).startswith(b"HTTP/1.1 4")


def test_what_is_no_request_is_answered_in_the_shape_of_all(service: Served) -> None:
    assert code_of(spoken(service.port, b"\x16\x03\x01 nonsense\r\n\r\n")) == (400, "usage")


def test_a_body_shorter_than_declared_harms_nobody(service: Served) -> None:
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as line:
        line.sendall(post("Content-Length: 1000") + b"x" * 10)
    assert httpx.get(f"{service.url}/healthz").status_code == 200


def test_connections_are_counted(service: Served) -> None:
    held = [socket.create_connection(("127.0.0.1", service.port), timeout=30) for _ in range(40)]
    try:
        ended = 0
        for line in held:
            try:
                ended += line.recv(1) == b""  # the others end by the head's time
            except ConnectionResetError:
                ended += 1
        assert ended == 40
    finally:
        for line in held:
            line.close()
    assert httpx.get(f"{service.url}/healthz").status_code == 200


def test_the_log_has_neither_query_nor_key_nor_path_of_the_caller(
    service: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vedette.serve")
    ours = {"x-request-id": "log-1"}, {"x-request-id": "log-2"}

    httpx.post(
        f"{service.url}/v1/scan?key=secret-name", content=PNG, headers={**HEADERS, **ours[0]}
    )
    httpx.get(f"{service.url}/secret-path?token=secret-token", headers=ours[1])

    def lines() -> dict[str, dict[str, object]]:
        told = [json.loads(JsonLines().format(record)) for record in list(caplog.records)]
        return {line["request_id"]: line for line in told if "request_id" in line}

    for _ in range(500):  # a line is written after the answer is sent
        if {"log-1", "log-2"} <= set(lines()):
            break
        time.sleep(0.01)
    scan, other = lines()["log-1"], lines()["log-2"]
    assert (scan["method"], scan["status"], scan["key_id"]) == ("POST", 200, "k-scan")
    assert {"time", "level", "route", "seconds"} <= set(scan)
    assert (scan["route"], other["route"], other["status"]) == ("/v1/scan", "unknown", 404)
    assert "secret" not in caplog.text + json.dumps(lines())
    assert SCAN_KEY not in caplog.text + json.dumps(lines())


def test_a_log_line_of_an_error_has_its_type_but_not_its_words() -> None:
    try:
        raise ValueError("secret")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("a", logging.ERROR, "", 1, "it failed", None, info)

    line = JsonLines().format(record)

    assert json.loads(line)["error"] == "ValueError"
    assert "secret" not in line
