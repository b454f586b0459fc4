"""Fetching from a real server on loopback, which does what hostile ones do."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import logging
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vedette.errors import FetchError
from vedette.serve.fetching import UrlFetcher
from vedette.serve.options import FetchOptions
from vedette.serve.refusals import Refusal
from vedette.serve.urls import MAX_CHARACTERS, Target, parse_url

PUBLIC = "93.184.216.34"
"""An address that may be asked; the tests' transport takes it to loopback."""
OTHER = "93.184.216.35"
PICTURE = b"\x89PNG" + bytes(range(256)) * 8
SECRET = "token=s3cret"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


class Dialled(httpx.AsyncHTTPTransport):
    """Connects as asked, but public test addresses are on loopback; remembers whom it was to."""

    calls: list[str]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request.url.host)
        if request.url.host in (PUBLIC, OTHER):
            request.url = request.url.copy_with(host="127.0.0.1")
        return await super().handle_async_request(request)


class Site:
    """A server and a fetcher that reaches it as ``http://site.test:PORT``."""

    def __init__(self, **options: Any) -> None:
        self.options = FetchOptions(enabled=True, bytes=100_000, seconds=20.0)
        self.options = replace(self.options, **options)
        self.handlers: dict[str, Handler] = {}
        self.heads: list[bytes] = []
        self.dialled: list[str] = []
        self.resolved: list[str] = []
        self.names: dict[str, list[list[str]]] = {"site.test": [[PUBLIC]]}
        self.server_tls: ssl.SSLContext | None = None
        self.trust: ssl.SSLContext | None = None
        self.port = 0
        self.transport = Dialled

    def on(self, path: str, answer: bytes | Handler) -> None:
        async def plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: bytes) -> None:
            assert isinstance(answer, bytes)
            writer.write(answer.replace(b"PORT", str(self.port).encode()))

        self.handlers[path] = plain if isinstance(answer, bytes) else answer

    async def resolve(self, host: str, port: int) -> list[str]:
        """Each time the next of a host's answers; the last one stays."""
        self.resolved.append(host)
        answers = self.names.get(host)
        if not answers:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            path = head.split(b" ")[1].decode().partition("?")[0]
            await self.handlers[path](reader, writer, head)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the fetcher has gone
        finally:
            writer.close()

    def fetch(self, *urls: str) -> bytes:
        """The bytes of the last URL, all of them fetched one after the other."""

        def transport(trust: ssl.SSLContext) -> httpx.AsyncBaseTransport:
            made = self.transport(verify=trust, trust_env=False)
            made.calls = self.dialled
            return made

        async def run() -> bytes:
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.server_tls)
            self.port = server.sockets[0].getsockname()[1]
            options = replace(self.options, ports=(*self.options.ports, self.port))
            fetcher = UrlFetcher(
                options,
                resolver=self.resolve,
                transport=transport,
                trust=self.trust or ssl.create_default_context(),
            )
            try:
                found = b""
                for url in urls:
                    found = await fetcher.fetch(url.replace("PORT", str(self.port)))
                return found
            finally:
                fetcher.close()
                server.close()
                for task in asyncio.all_tasks() - {asyncio.current_task()}:
                    task.cancel()
                await asyncio.gather(
                    *(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True
                )

        return asyncio.run(run())

    def refused(self, url: str) -> str:
        """The message of a refusal by policy."""
        with pytest.raises(Refusal) as raised:
            self.fetch(url)
        assert raised.value.code == "url_refused"
        assert raised.value.status == 400
        assert SECRET not in raised.value.message
        return raised.value.message

    def failed(self, url: str) -> str:
        """The code of a fetch that came to nothing."""
        with pytest.raises(FetchError) as raised:
            self.fetch(url)
        assert SECRET not in raised.value.message
        return raised.value.code


def ok(body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, *headers, "", ""]).encode() + body


def moved(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.fixture
def site() -> Site:
    made = Site()
    made.on("/a.png", ok(PICTURE, "Content-Type: text/html"))
    return made


URL = f"http://site.test:PORT/a.png?{SECRET}"


def test_bytes_are_fetched_and_their_type_is_not_believed(site: Site) -> None:
    assert site.fetch(URL) == PICTURE
    assert site.resolved == ["site.test"]
    assert site.dialled == [PUBLIC]


def test_a_request_says_little(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.on("/set", ok(b"x", "Set-Cookie: a=b; Domain=site.test"))
    site.fetch("http://site.test:PORT/set", "http://SITE.test.:PORT/a.png?q=1#fragment")

    first, *headers = site.heads[1].decode().strip().split("\r\n")
    names = {line.partition(":")[0].lower() for line in headers}
    assert first == "GET /a.png?q=1 HTTP/1.1"
    assert f"Host: site.test:{site.port}" in headers
    assert names == {"host", "accept", "accept-encoding", "user-agent", "connection"}


def test_nothing_of_a_url_is_logged(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    site.fetch(URL)

    assert SECRET not in caplog.text


def test_nothing_is_fetched_unless_it_is_switched_on() -> None:
    site = Site(enabled=False)

    assert "not fetched here" in site.refused(URL)
    assert not site.resolved


# Addresses


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.0.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "0.0.0.0"),
        *("224.0.0.1", "240.0.0.1", "192.0.2.1", "168.63.129.16"),
        *("[::1]", "[::]", "[fd00:ec2::254]", "[fe80::1]", "[ff02::1]", "[fc00::1]"),
        *("[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]"),
        *("[2002:7f00:1::]", "[2001::1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]"),
        *("[2001:db8::1]", "[100::1]", "[0:0:0:0:0:ffff:7f00:1]", "[2606:4700::5efe:7f00:1]"),
        # other spellings of 127.0.0.1
        *("127.1", "127.0.1", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1", "017700000001"),
        *("127.0.0.01", "127.0.0.1.", "0", "00.0.0.0", "1.2.3", "1.2.3.4.5", "0x", "127.0.0.0x1"),
        *("256.1.1.1", "1.1.1.1e1", "①②⑦.⓪.⓪.①", "127。0。0。1", "%31%32%37.0.0.1"),
        *("[::1%25lo]", "[::1%lo]", "[127.0.0.1]", "[::1", "::1", "[v1.x]", "[]", "[::1]a"),
    ],
)
def test_no_address_inside_is_asked(site: Site, host: str) -> None:
    site.refused(f"http://{host}:PORT/a.png?{SECRET}")

    assert not site.dialled


@pytest.mark.parametrize(
    "answer",
    [
        *([PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC, "::1"], ["::ffff:93.184.216.34"]),
        *(["fe80::1%2"], ["nonsense"], [], ["169.254.169.254"], [PUBLIC] * 9 + ["127.0.0.1"]),
    ],
)
def test_one_bad_address_of_a_name_is_enough(site: Site, answer: list[str]) -> None:
    site.names["site.test"] = [answer]

    assert "no address that may be fetched from" in site.refused(URL)
    assert not site.dialled


def test_a_name_inside_and_a_name_that_is_not_there_are_told_alike(site: Site) -> None:
    site.names["inside.test"] = [["10.0.0.1"]]
    told = [site.refused(f"http://{name}.test/") for name in ("inside", "nowhere")]

    assert told[0].replace("inside", "X") == told[1].replace("nowhere", "X")


def test_a_name_is_resolved_once_and_that_address_is_the_one_asked(site: Site) -> None:
    site.names["site.test"] = [[PUBLIC], ["127.0.0.1"]]

    assert site.fetch(URL) == PICTURE
    assert site.dialled == [PUBLIC]
    assert site.resolved == ["site.test"]


def test_a_name_that_turns_inwards_is_refused_on_the_next_hop(site: Site) -> None:
    site.names["site.test"] = [[PUBLIC], ["127.0.0.1"]]
    site.on("/again", moved(f"/a.png?{SECRET}"))

    site.refused("http://site.test:PORT/again")
    assert site.dialled == [PUBLIC]


def test_where_one_address_does_not_answer_the_next_is_asked(site: Site) -> None:
    class Deaf(Dialled):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.host == OTHER:
                self.calls.append(OTHER)
                raise httpx.ConnectError("deaf")
            return await super().handle_async_request(request)

    site.names["site.test"] = [[OTHER, PUBLIC]]
    site.transport = Deaf

    assert site.fetch(URL) == PICTURE
    assert site.dialled == [OTHER, PUBLIC]


def test_ones_own_storage_may_be_private_and_nothing_else_may() -> None:
    site = Site(private_hosts=("storage.test", "127.0.0.1"))
    site.on("/a.png", ok(PICTURE))
    site.names |= {"storage.test": [["127.0.0.1"]], "other.test": [["127.0.0.1"]]}

    assert site.fetch("http://storage.test:PORT/a.png") == PICTURE
    assert site.fetch("http://127.0.0.1:PORT/a.png") == PICTURE
    site.refused("http://other.test:PORT/a.png")
    site.refused("http://127.0.0.2:PORT/a.png")
    for never in ("169.254.169.254", "fd00:ec2::254", "0.0.0.0", "::ffff:127.0.0.1"):
        site.names["storage.test"] = [[never]]
        site.refused("http://storage.test:PORT/a.png")


def test_hosts_may_be_named() -> None:
    site = Site(hosts=("site.test", ".Pictures.test"))
    site.on("/a.png", ok(PICTURE))
    for name in ("a.pictures.test", "pictures.test", "evilpictures.test", "site.test.evil.test"):
        site.names[name] = [[PUBLIC]]

    assert site.fetch(URL) == PICTURE
    assert site.fetch("http://a.pictures.test:PORT/a.png") == PICTURE
    for other in ("pictures.test", "evilpictures.test", "site.test.evil.test", PUBLIC):
        assert "not among the hosts" in site.refused(f"http://{other}:PORT/a.png")


@pytest.mark.parametrize("host", ["a b", "http://a", "a:80", "", "127.1", "user@a"])
def test_a_host_of_the_options_is_a_host(host: str) -> None:
    with pytest.raises(Refusal):
        UrlFetcher(FetchOptions(enabled=True, hosts=(host,)))


@pytest.mark.parametrize("port", [1, 22, 25, 6379, 8080, 65535])
def test_other_ports_are_not_asked(site: Site, port: int) -> None:
    assert f"port {port}" in site.refused(f"http://site.test:{port}/a.png?{SECRET}")


def test_the_systems_resolver_is_asked_by_default() -> None:
    async def run() -> None:
        fetcher = UrlFetcher(FetchOptions(enabled=True))
        try:
            await fetcher.fetch("http://localhost/")
        finally:
            fetcher.close()

    with pytest.raises(Refusal, match="localhost has no address that may be fetched from"):
        asyncio.run(run())


# One reading of a URL


@pytest.mark.parametrize(
    "url",
    [
        *("", "site.test", "//site.test/", "ftp://site.test/", "file:///etc/passwd", "http:/a"),
        *(
            "gopher://site.test/",
            "data:,a",
            "javascript:alert(1)",
            "http://",
            "http:///a",
            "http:a",
        ),
        *("http://user@site.test/", "http://user:pass@site.test/", "http://@site.test/"),
        *("http://site.test\\@127.0.0.1/", "http://site.test\\.evil.test/", "http:\\\\site.test/"),
        *("http://site.test /", " http://site.test/", "http://site.test/\n", "http://si\tte.test/"),
        *(
            "http://site.test/\x00",
            "http://site.test/\x7f",
            "http://site.test/ä",
            "http://bücher.de/",
        ),
        *(
            "http://site.test:80:80/",
            "http://site.test:/",
            "http://site.test:0/",
            "http://a:99999/",
        ),
        *("http://site.test:-1/", "http://site.test:8O/", "http://site..test/", "http://.test/"),
        *("http://-a.test/", "http://a-.test/", "http://a,b/", "http://a%2eb/", "http://a;b/"),
        *("http://site.test&@127.0.0.1#@a/", "http://a/" + "x" * 5000),
        *("http://" + "a" * 64 + ".test/", "http://" + "a." * 127 + "test/", "http://[::1]]/"),
        "http://site.test\u3002evil.test/",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(url: str) -> None:
    site = Site()

    site.refused(url)
    assert not site.resolved


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("http://a", "a", "/"),
        ("HTTPS://A.B:443?x", "a.b", "/?x"),
        ("http://a:8080/b/../c?d=/e?f#g", "a:8080", "/b/../c?d=/e?f"),
        ("http://xn--bcher-kva.de./%C3%BC", "xn--bcher-kva.de", "/%C3%BC"),
        ('http://a/<b>"|c', "a", "/%3Cb%3E%22%7Cc"),
        ("http://[2606:4700::0:1]:81/", "[2606:4700::1]:81", "/"),
        ("http://a_b.test/@c", "a_b.test", "/@c"),
        ("http://a#@b/?http://c/@d", "a", "/"),
    ],
)
def test_a_url_has_one_reading(url: str, authority: str, path: str) -> None:
    target = parse_url(url)

    assert (target.authority, target.path) == (authority, path)
    assert target.path not in repr(target) or path == "/"


def read(reading: Callable[[], Target]) -> Target | None:
    """A URL that was read; None: refused, and not in any other way."""
    try:
        return reading()
    except Refusal as refused:
        code = refused.code
    assert code == "url_refused"
    return None


@settings(max_examples=300)
@given(
    st.one_of(
        st.text(max_size=60),
        st.text(max_size=60).map("http://".__add__),
        st.text(alphabet="htps:/@\\[].#?%0x17f1", max_size=40).map("http://".__add__),
        st.from_regex(r"https?://[a-z0-9.\[\]:@%-]{1,30}(/[!-~]{0,20})?"),
    )
)
def test_any_text_is_fetched_or_refused(url: str) -> None:
    target = read(lambda: parse_url(url))
    if target is None:
        return
    # The library that connects reads the same out of what we ask it for.
    again = parse_url(f"{target.scheme}://{target.authority}{target.path}")
    assert again == target
    asked = httpx.URL(f"http://{PUBLIC}:1", raw_path=target.path.encode())
    assert (asked.host, asked.port, asked.userinfo) == (PUBLIC, 1, b"")


@settings(max_examples=150)
@given(
    st.text(max_size=40), st.sampled_from(["", "/", "//", "?", "http://", "HTTP://[::1", "..//"])
)
def test_any_redirect_is_followed_or_refused(location: str, start: str) -> None:
    base = parse_url("https://site.test/a/b?c")
    onward = read(lambda: base.join(start + location))

    assert onward is None or onward.scheme in ("http", "https")


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_hop_by_hop(site: Site, status: int) -> None:
    site.names["next.test"] = [[OTHER]]
    site.on("/one", moved("two?x", status))
    site.on("/two", moved("//next.test:PORT/a.png", status))

    assert site.fetch("http://site.test:PORT/one") == PICTURE
    assert site.dialled == [PUBLIC, PUBLIC, OTHER]
    assert site.resolved == ["site.test", "site.test", "next.test"]


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://127.0.0.1:PORT/a.png",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::1]/",
        ),
        *("http://inside.test:PORT/a.png", "//127.0.0.1:PORT/a.png", "http://2130706433/"),
        *(
            "http://user:pw@site.test:PORT/a.png",
            "file:///etc/passwd",
            "ftp://site.test/",
            "data:,a",
        ),
        *(
            "http://site.test:22/",
            "http://site.test:PORT\\@127.0.0.1/",
            "http://127.0.0.1:PORT ",
            "",
        ),
        *(
            "http://[::ffff:127.0.0.1]:PORT/a.png",
            "\\\\127.0.0.1\\a",
            "http://a b/",
            "///127.0.0.1/",
        ),
    ],
)
def test_a_redirect_is_checked_like_the_first_address(site: Site, location: str) -> None:
    site.names["inside.test"] = [["127.0.0.1"]]
    site.on(
        "/away", moved(f"{location}?{SECRET}" if "?" not in location and location else location)
    )

    if location == "":
        site.options = replace(site.options, redirects=1)
        assert site.failed("http://site.test:PORT/away") == "unreadable"  # to itself, for ever
    else:
        site.refused("http://site.test:PORT/away")
        assert site.dialled == [PUBLIC]


def test_redirects_in_a_circle_end(site: Site) -> None:
    site.on("/a", moved("/b"))
    site.on("/b", moved("/a"))

    assert site.failed("http://site.test:PORT/a") == "unreadable"
    assert len(site.dialled) == 4


def test_a_redirect_to_nowhere_is_no_answer(site: Site) -> None:
    site.on("/a", b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")

    assert site.failed("http://site.test:PORT/a") == "unreadable"


# Answers


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((404, "not_found"), (410, "not_found"), (401, "unreadable"), (500, "unreadable")),
        *((206, "unreadable"), (204, "unreadable"), (304, "unreadable"), (101, "unreadable")),
    ],
)
def test_only_200_is_an_answer(site: Site, status: int, code: str) -> None:
    site.on("/a", f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())

    assert site.failed(f"http://site.test:PORT/a?{SECRET}") == code


def test_what_says_that_it_is_too_large_is_not_read(site: Site) -> None:
    site.on("/a", ok(b"", length=100_001))
    site.on("/huge", ok(b"", length=10**30))

    assert site.failed("http://site.test:PORT/a") == "too_many_bytes"
    assert site.failed("http://site.test:PORT/huge") in ("too_many_bytes", "unreadable")


@pytest.mark.parametrize("size", [100_000, 100_001])
def test_the_limit_is_exact(site: Site, size: int) -> None:
    site.on("/a", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + bytes(size))

    if size == 100_000:
        assert len(site.fetch("http://site.test:PORT/a")) == size
    else:
        assert site.failed("http://site.test:PORT/a") == "too_many_bytes"


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_without_end_is_cut_off(site: Site, chunked: bool) -> None:
    sent = 0

    async def endless(_: Any, writer: asyncio.StreamWriter, __: bytes) -> None:
        nonlocal sent
        coding = b"Transfer-Encoding: chunked\r\n" if chunked else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + coding + b"\r\n")
        while True:
            writer.write(b"1000\r\n" + bytes(4096) + b"\r\n" if chunked else bytes(4096))
            sent += 4096
            await writer.drain()

    site.on("/a", endless)

    assert site.failed("http://site.test:PORT/a") == "too_many_bytes"
    assert sent < 50_000_000


def test_a_slow_drip_ends(site: Site) -> None:
    async def drip(_: Any, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.02)

    site.options = replace(site.options, seconds=0.3)
    site.on("/a", drip)

    assert site.failed("http://site.test:PORT/a") == "timeout"


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_a_head_that_does_not_come_ends(site: Site, start: bytes) -> None:
    async def silent(_: Any, writer: asyncio.StreamWriter, __: bytes) -> None:
        writer.write(start)
        await asyncio.sleep(60)

    site.options = replace(site.options, seconds=0.3)
    site.on("/a", silent)

    assert site.failed("http://site.test:PORT/a") == "timeout"


def test_a_slow_resolver_ends(site: Site) -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.sleep(60)
        return []

    site.resolve = never  # type: ignore[method-assign]
    site.options = replace(site.options, seconds=0.2)

    assert site.failed(URL) == "timeout"


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate", "zstd", "identity, gzip", "x"])
def test_a_compressed_answer_is_not_unpacked(site: Site, coding: str) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    site.on("/a", ok(bomb, f"Content-Encoding: {coding}"))

    assert site.failed("http://site.test:PORT/a") == "unreadable"


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"short", length=500),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
        b"HTTP/9.9 ???\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\x16\x03\x01\x02\x00",
        b"",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 50_000 + b"\r\n",
    ],
    ids=lambda answer: answer[:60].decode("latin-1"),
)
def test_a_broken_answer_is_no_picture(site: Site, answer: bytes) -> None:
    site.on("/a", answer)

    assert site.failed(f"http://site.test:PORT/a?{SECRET}") == "unreadable"


def test_more_than_the_length_says_is_not_read(site: Site) -> None:
    site.on("/a", ok(PICTURE, length=10))

    assert site.fetch("http://site.test:PORT/a") == PICTURE[:10]


def test_nobody_there_is_an_answer_too(site: Site) -> None:
    site.options = replace(site.options, ports=(1,))

    assert site.failed("http://site.test:1/") == "unreadable"


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for site.test that vouches for itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "site.test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("site.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (folder / "site.pem").write_bytes(made.public_bytes(pem))
    (folder / "site.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "site.pem", folder / "site.key"


@pytest.fixture
def secure(certificates: tuple[Path, Path], site: Site) -> Site:
    site.server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    site.server_tls.load_cert_chain(*certificates)
    site.trust = ssl.create_default_context(cafile=certificates[0])
    site.names["other.test"] = [[PUBLIC]]
    return site


def test_the_certificate_is_checked_against_the_name_not_the_address(secure: Site) -> None:
    named: list[str | None] = []
    assert secure.server_tls is not None
    secure.server_tls.sni_callback = lambda _, name, __: named.append(name)

    assert secure.fetch("https://site.test:PORT/a.png") == PICTURE
    assert secure.dialled == [PUBLIC]
    assert named == ["site.test"]


def test_a_certificate_of_another_name_is_none(secure: Site) -> None:
    assert secure.failed("https://other.test:PORT/a.png") == "unreadable"
    assert secure.failed(f"https://{PUBLIC}:PORT/a.png") == "unreadable"


def test_a_certificate_that_nobody_vouches_for_is_none(secure: Site) -> None:
    secure.trust = ssl.create_default_context()

    assert secure.failed("https://site.test:PORT/a.png") == "unreadable"


@pytest.mark.parametrize("enabled", [True, False])
def test_the_usual_certificates_are_trusted_also_where_only_webhooks_are_called(
    enabled: bool,
) -> None:
    trusted: list[ssl.SSLContext] = []

    def transport(trust: ssl.SSLContext) -> httpx.AsyncBaseTransport:
        trusted.append(trust)
        return httpx.MockTransport(lambda _: httpx.Response(204))

    async def run() -> int:
        fetcher = UrlFetcher(FetchOptions(enabled=enabled), transport=transport)
        try:
            return await fetcher.post(f"https://{PUBLIC}/hook", b"{}", {})
        finally:
            fetcher.close()

    assert asyncio.run(run()) == 204
    assert trusted[0].cert_store_stats()["x509_ca"] > 0
    assert trusted[0].verify_mode is ssl.CERT_REQUIRED


def test_a_redirect_from_https_to_http_is_refused(secure: Site) -> None:
    secure.on("/a", moved("http://site.test:PORT/a.png"))

    assert "from https to http" in secure.refused("https://site.test:PORT/a")


# Many at once


def test_many_fetches_share_the_room(site: Site) -> None:
    running = most = 0

    async def slow(_: Any, writer: asyncio.StreamWriter, __: bytes) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        writer.write(ok(PICTURE))

    site.on("/a", slow)
    site.options = replace(site.options, private_hosts=("127.0.0.1",))

    async def run() -> list[bytes]:
        server = await asyncio.start_server(site.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        fetcher = UrlFetcher(replace(site.options, ports=(port,)))
        try:
            urls = [f"http://127.0.0.1:{port}/a" for _ in range(60)]
            return await asyncio.gather(*map(fetcher.fetch, urls))
        finally:
            fetcher.close()
            server.close()
            await server.wait_closed()

    found: Coroutine[Any, Any, list[bytes]] = run()
    assert asyncio.run(found) == [PICTURE] * 60
    assert most <= 16


def test_a_long_url_is_refused_before_it_is_read() -> None:
    with pytest.raises(Refusal, match=str(MAX_CHARACTERS)):
        parse_url("http://" + "[" * 10_000_000)
