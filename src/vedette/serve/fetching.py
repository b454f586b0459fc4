"""URLs into bytes, without becoming a door into the network that the service stands in.

For each hop: the URL is read once (:mod:`vedette.serve.urls`), its host is resolved once, *every*
address that came back must be one that may be asked (:mod:`vedette.serve.addresses`), and the
connection goes to one of those very addresses, whatever the name means by then. Redirects are
hops like the first. The transport of httpx is used without its client: no proxies and no
passwords from the environment, no cookies, no redirects of its own, no URL in its log.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from vedette.errors import FetchError
from vedette.extras import require
from vedette.serve.addresses import refusal
from vedette.serve.options import FetchOptions
from vedette.serve.refusals import Refusal
from vedette.serve.urls import Target, normal_host, parse_url

if TYPE_CHECKING:
    import httpx

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host and a port; ``OSError`` where it has none."""
Transport = Callable[[ssl.SSLContext], "httpx.AsyncBaseTransport"]

_AT_ONCE = 16
"""Fetches of one process at a time: each may hold ``FetchOptions.bytes`` in memory."""
_RESOLVERS = 8
"""Threads that resolve names: slow names of strangers keep no other thread waiting."""
_CONNECT_S = 3.0
"""For one address to answer, before the next one of the same host is tried."""
_ADDRESSES = 4
"""Of one host, tried at most."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {
    "Accept": "image/*, video/*;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",  # a compressed answer could be a bomb
    "User-Agent": "vedette",
    "Connection": "close",
}
_NO_ADDRESS = "has no address that may be fetched from"
"""The same words for a private address and for none: else one could ask for names inside."""


class UrlFetcher:
    """Implements :class:`vedette.serve.services.Fetcher`.

    Args:
        options: what may be fetched.
        resolver: names to addresses; by default the system's, in threads of its own.
        trust: certificates for https; by default those of httpx, or ``SSL_CERT_FILE``.
        transport: makes the transport of one fetch; for tests.

    Raises:
        Refusal: ``url_refused``: a host of the options is none.
        MissingExtraError: httpx is not installed.
    """

    def __init__(
        self,
        options: FetchOptions,
        *,
        resolver: Resolver | None = None,
        trust: ssl.SSLContext | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._httpx: Any = require("httpx", extra="serve")
        self._options = options
        self._hosts = frozenset(map(normal_host, options.hosts))
        self._private = frozenset(map(normal_host, options.private_hosts))
        self._threads = ThreadPoolExecutor(_RESOLVERS, "vedette-resolve")
        self._resolve = resolver or self._ask_the_system
        self._trust = trust
        self._transport = transport or self._plain_transport
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def fetch(self, url: str) -> bytes:
        """The bytes at ``url``, whatever the server says they are.

        Raises:
            Refusal: ``url_refused``: not an address that may be asked, or it redirects to one.
            FetchError: ``not_found``, ``too_many_bytes``, ``timeout``, ``unreadable``.
        """
        if not self._options.enabled:
            raise _refused("URLs are not fetched here", "send the bytes themselves")
        target = parse_url(url)
        try:
            async with (
                asyncio.timeout(self._options.seconds),
                self._room,
                self._transport(await self._trusted()) as transport,
            ):
                return await self._follow(transport, target)
        except TimeoutError:
            raise FetchError(
                f"{target.host}: no whole answer in {self._options.seconds:g} s",
                code="timeout",
                hint="try again later, or send the bytes themselves",
            ) from None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Send ``body`` to an address as it might be fetched from; the status of the answer.

        Redirects are not followed and the answer's body is not read. Works without ``enabled``:
        who lets callers name such addresses has switched that on by itself.

        Raises:
            Refusal: ``url_refused``.
            FetchError: ``timeout``, ``unreadable``.
        """
        target = parse_url(url)
        try:
            async with (
                asyncio.timeout(self._options.seconds),
                self._room,
                self._transport(await self._trusted()) as transport,
            ):
                response = await self._ask(transport, target, body, headers)
                await response.aclose()
                return response.status_code
        except TimeoutError:
            raise FetchError(f"{target.host}: no answer in time", code="timeout") from None

    def close(self) -> None:
        """Give the threads back; fetches under way end by their own time."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _trusted(self) -> ssl.SSLContext:
        """The certificates, read once they are needed: it takes 100 ms, and not of the loop's."""
        if self._trust is None:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(self._threads, self._httpx.create_ssl_context)
            self._trust = self._trust or made
        return self._trust

    async def _follow(self, transport: httpx.AsyncBaseTransport, target: Target) -> bytes:
        for _ in range(self._options.redirects + 1):
            response = await self._ask(transport, target)
            try:
                if response.status_code not in _REDIRECTS:
                    return await self._body(response, target)
                target = _next(response, target)
            finally:
                await response.aclose()
        raise _unreadable(target, f"more than {self._options.redirects} redirects")

    async def _ask(
        self,
        transport: httpx.AsyncBaseTransport,
        target: Target,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The head of an answer, from an address that has just been checked.

        Args:
            transport: to ask with.
            target: whom.
            body: to send; None: asks for what is there.
            headers: further ones.
        """
        for address in await self._checked(target):
            request = self._request(target, address, body, headers or {})
            try:
                return await transport.handle_async_request(request)
            except (self._httpx.ConnectError, self._httpx.ConnectTimeout):
                continue
            except self._httpx.HTTPError:
                raise _unreadable(target, "no answer that is HTTP") from None
        raise _unreadable(target, "no connection")

    def _request(
        self, target: Target, address: str, body: bytes | None, headers: Mapping[str, str]
    ) -> httpx.Request:
        """To the address, in the name of the host: its header, its name for TLS."""
        shown = f"[{address}]" if ":" in address else address
        url = self._httpx.URL(
            f"{target.scheme}://{shown}:{target.port}", raw_path=target.path.encode("ascii")
        )
        waits = {"connect": min(_CONNECT_S, self._options.seconds)}
        found: httpx.Request = self._httpx.Request(
            "GET" if body is None else "POST",
            url,
            headers={"Host": target.authority, **_HEADERS, **headers},
            content=body,
            extensions={"sni_hostname": target.host, "timeout": waits},
        )
        return found

    async def _checked(self, target: Target) -> Sequence[str]:
        """The addresses of a target, each of which may be asked.

        Raises:
            Refusal: ``url_refused``: its port, its host, or any one of its addresses.
        """
        if target.port not in self._options.ports:
            raise _refused(f"port {target.port} is not fetched from")
        private = target.host in self._private
        if not private and not self._listed(target.host):
            raise _refused(f"{target.host} is not among the hosts that are fetched from")
        if target.is_address:
            addresses: Sequence[str] = (target.host,)
        else:
            try:
                addresses = await self._resolve(target.host, target.port)
            except (OSError, UnicodeError):
                addresses = ()
        if not addresses or any(refusal(one, private=private) for one in addresses):
            raise _refused(f"{target.host} {_NO_ADDRESS}")
        return tuple(dict.fromkeys(addresses))[:_ADDRESSES]

    def _listed(self, host: str) -> bool:
        if not self._hosts or host in self._hosts:
            return True
        return any(one.startswith(".") and host.endswith(one) for one in self._hosts)

    async def _body(self, response: httpx.Response, target: Target) -> bytes:
        if response.status_code in (404, 410):
            raise FetchError(f"{target.host}: nothing at this address", code="not_found")
        if response.status_code != 200:
            raise _unreadable(target, f"it answers {response.status_code}")
        if response.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise _unreadable(target, "it compresses its answer, unasked")
        limit = self._options.bytes
        told = response.headers.get("content-length", "")
        if told.isascii() and told.isdigit() and int(told[:20]) > limit:
            raise _too_large(target, limit)
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > limit:
                    raise _too_large(target, limit)
                chunks.append(chunk)
        except self._httpx.HTTPError:
            raise _unreadable(target, "its answer breaks off") from None
        return b"".join(chunks)

    def _plain_transport(self, trust: ssl.SSLContext) -> httpx.AsyncBaseTransport:
        made: httpx.AsyncBaseTransport = self._httpx.AsyncHTTPTransport(
            verify=trust, trust_env=False, http2=False, retries=0
        )
        return made

    async def _ask_the_system(self, host: str, port: int) -> Sequence[str]:
        def ask() -> Sequence[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return [str(address[0]) for *_, address in found]

        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)


def _next(response: httpx.Response, target: Target) -> Target:
    location = response.headers.get("location")
    if location is None:
        raise _unreadable(target, "it redirects to nowhere")
    onward = target.join(location)
    if target.scheme == "https" and onward.scheme == "http":
        raise _refused(f"{target.host} redirects from https to http")
    return onward


def _refused(message: str, hint: str | None = None) -> Refusal:
    return Refusal(message, code="url_refused", hint=hint)


def _unreadable(target: Target, why: str) -> FetchError:
    return FetchError(
        f"{target.host}: {why}", code="unreadable", hint="try the address in a browser"
    )


def _too_large(target: Target, limit: int) -> FetchError:
    return FetchError(
        f"{target.host}: more than {limit} bytes",
        code="too_many_bytes",
        hint="send a smaller picture, or raise fetch.bytes",
    )
