"""What both shells tell httpx, and what its errors mean."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import IO, Any

from vedette.client.answers import Reply
from vedette.client.exchange import Ask, Lost
from vedette.client.options import Address, ClientOptions
from vedette.errors import UsageError
from vedette.extras import require
from vedette.text import printable

_RESULT_BYTES = 8 * 2**30
"""Of a job's results, at most: they go to the disk."""


class TooMuch(Exception):
    """An answer is larger than is taken."""


def httpx_of_client() -> Any:
    """The library, or the error that names the extra."""
    return require("httpx", extra="client")


def settings_of(address: Address, options: ClientOptions) -> dict[str, Any]:
    """The arguments of ``httpx.Client`` and ``httpx.AsyncClient``.

    Raises:
        UsageError: ``ca_file`` cannot be used.
    """
    headers = {
        "User-Agent": "vedette-client",
        # What is sent packed could be far larger than it looks.
        "Accept-Encoding": "identity",
        "Accept": "application/json",
    }
    if address.key is not None:
        # httpx hides this header in what it prints.
        headers["Authorization"] = f"Bearer {address.key}"
    verify: ssl.SSLContext | bool = True
    if options.ca_file is not None:
        try:
            verify = ssl.create_default_context(cafile=options.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"cannot use the certificates of {options.ca_file}: {error}"
            ) from error
    return {
        "base_url": address.url,
        "headers": headers,
        "trust_env": options.trust_env,
        "verify": verify,
        "follow_redirects": False,  # the key is for this address and no other
    }


def request_of(ask: Ask, options: ClientOptions) -> dict[str, Any]:
    """The arguments of ``stream`` for a request, but for its content."""
    body = ask.request.body
    headers = {}
    if body is not None:
        # With a length, httpx does not send in chunks.
        headers = {"Content-Type": body.content_type, "Content-Length": str(body.size)}
    timeout = httpx_of_client().Timeout(ask.answer_s, connect=options.connect_s)
    path = ask.request.path
    return {"method": ask.request.method, "url": path, "headers": headers, "timeout": timeout}


class Received:
    """An answer as it comes in."""

    def __init__(self, ask: Ask, status: int, headers: Mapping[str, str], most: int) -> None:
        self._ask = ask
        self._status = status
        self._headers = {name.lower(): value for name, value in headers.items()}
        self._into: IO[bytes] | None = ask.into if status == 200 else None
        self._most = most if self._into is None else _RESULT_BYTES
        self._held: list[bytes] = []
        self._size = 0
        self._end = time.monotonic() + ask.answer_s
        if self._headers.get("content-encoding", "identity") != "identity":
            raise TooMuch("it is packed, which was not asked for")

    def add(self, piece: bytes) -> None:
        """One piece of the body.

        Raises:
            TooMuch: the answer is larger than is taken.
            TimeoutError: it has been coming for too long; httpx counts from piece to piece only.
        """
        if time.monotonic() > self._end:
            raise TimeoutError("it comes too slowly")
        self._size += len(piece)
        if self._size > self._most:
            raise TooMuch(f"it is larger than {self._most} bytes")
        if self._into is not None:
            self._into.write(piece)
        else:
            self._held.append(piece)

    def end(self) -> None:
        """The answer is whole."""
        self._ask.reply = Reply(self._status, self._headers, b"".join(self._held))


def lost(error: Exception) -> Lost:
    """Why there is no answer, by what httpx raised."""
    httpx = httpx_of_client()
    told = printable(f"{type(error).__name__}: {error}")[:300]
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
        final = "CERTIFICATE_VERIFY_FAILED" in told
        return Lost("unreachable", f"the service cannot be reached: {told}", False, final)
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        # It is at work on it, or as good as gone: asking twice would double its load.
        message = f"the service has not answered in time: {told}"
        return Lost("request_timeout", message, True, final=True)
    final = isinstance(error, TooMuch | httpx.LocalProtocolError | httpx.UnsupportedProtocol)
    code = "bad_answer" if isinstance(error, TooMuch) else "unreachable"
    return Lost(code, f"the connection to the service broke off: {told}", True, final)
