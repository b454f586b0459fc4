"""One POST over HTTP: to that host alone, in bounded time, to an answer of bounded size.

The standard library's client, as in :mod:`vedette.hub.fetching`; certificates are verified.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import IO, Any
from urllib.parse import urlsplit

from vedette.errors import UsageError
from vedette.extras import available, require
from vedette.hub.fetching import is_loopback, shown

MOST_BYTES = 2**20
"""Of an answer: real ones have a few thousand."""
_CHUNK = 2**16
_USER_AGENT = "vedette"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered, of any status."""

    status: int
    body: bytes
    retry_after: str
    """The header, ``""`` without."""
    ms: float
    """From the request's first byte to the answer's last."""


class Unreached(Exception):
    """No whole answer came.

    Args:
        reason: for a person.
        charged: whether the server may have done the work: the request went out whole, perhaps.
    """

    def __init__(self, reason: str, *, charged: bool) -> None:
        super().__init__(reason)
        self.charged = charged


def check_url(url: str, *, secret: bool) -> str:
    """``url`` without a final slash, if requests may go there.

    Plain http may go to another machine only where no key goes along.

    Raises:
        UsageError: it is no address, holds a password or a query, or would show a key.
    """
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_valid = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
        raise UsageError(
            "the endpoint's address must be like https://host/path",
            hint="give it with --endpoint-url",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"{shown(url)}: an endpoint's address must hold no password, query or fragment",
            hint="give keys in the environment; see docs/endpoints.md",
        )
    if not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError("the endpoint's address has characters that no address has")
    if parts.scheme == "http" and secret and not is_loopback(url):
        raise UsageError(
            f"{shown(url)} is not encrypted: a key is sent over https only",
            hint="use https, or unset the key if the server needs none",
        )
    return url.rstrip("/")


def post(url: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
    """Send ``body`` and read the answer. Redirects are not followed: they are the answer.

    Raises:
        Unreached: no connection, a timeout, a connection that breaks off, or an answer that is
            larger than :data:`MOST_BYTES` or comes compressed.
    """
    begin = time.monotonic()
    sent = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity", **headers}
    request = urllib.request.Request(url, data=body, headers=sent, method="POST")
    try:
        with _open(request, timeout_s) as response:
            encoding = response.headers.get("Content-Encoding", "identity").lower()
            if encoding != "identity":
                raise Unreached("the answer is compressed, which was not asked for", charged=True)
            data = _read(response, begin + timeout_s)
            ms = (time.monotonic() - begin) * 1000
            retry = response.headers.get("Retry-After", "")
            return Reply(int(response.status), data, retry, ms)
    except urllib.error.URLError as error:  # while connecting or sending
        charged = isinstance(error.reason, TimeoutError)
        raise Unreached(_reason(error.reason), charged=charged) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreached(_reason(error), charged=True) from error


def _open(request: urllib.request.Request, timeout_s: float) -> Any:
    try:
        return _opener().open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:  # an answer all the same
        return error


def _read(response: Any, end: float) -> bytes:
    """All of the body. In pieces as they come: a slow drip must not outlast the time limit."""
    parts: list[bytes] = []
    size = 0
    while part := response.read1(_CHUNK):
        size += len(part)
        if size > MOST_BYTES:
            raise Unreached(f"the answer is larger than {MOST_BYTES} bytes", charged=True)
        if time.monotonic() > end:
            raise TimeoutError("timed out")
        parts.append(part)
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(parts)


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.IncompleteRead):
        return "the connection broke off within the answer"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).strip() or type(error).__name__


class _Timed(http.client.HTTPConnection):
    """A connection that is cut when the headers of an answer do not come in time: its own limit is
    on each byte, and begins anew with each."""

    def getresponse(self) -> http.client.HTTPResponse:
        """See the base class."""
        assert self.sock is not None  # a request went out over it
        over = threading.Event()
        timer = threading.Timer(float(self.timeout or 0), _cut, [self.sock, over])
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException):
            if over.is_set():
                raise TimeoutError("timed out") from None
            raise
        finally:
            timer.cancel()
        if over.is_set():  # half of the headers look like headers
            raise TimeoutError("timed out")
        return response


class _TimedTLS(_Timed, http.client.HTTPSConnection):
    """The same, encrypted."""


def _cut(connection: socket.socket, over: threading.Event) -> None:
    over.set()
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Plain(urllib.request.HTTPHandler):
    """Opens connections of ours."""

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """See the base class."""
        return self.do_open(_Timed, req)


class _Encrypted(urllib.request.HTTPSHandler):
    """Opens connections of ours."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._verifying = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """See the base class."""
        return self.do_open(_TimedTLS, req, context=self._verifying)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """The key and the picture were meant for one host."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """See the base class."""
        return None


@lru_cache(maxsize=1)
def _opener() -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if os.name != "nt" and not (paths.cafile or paths.capath) and available("certifi"):
        # A Python that knows no certificates, as the one of python.org for macOS.
        context.load_verify_locations(require("certifi", extra="zoo").where())
    return urllib.request.build_opener(_Plain(), _Encrypted(context), _NoRedirects())
