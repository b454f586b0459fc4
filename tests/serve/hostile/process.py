"""The service under attack, in a process of its own: ``python -m tests.serve.hostile.process``.

All of it is real (keys, audit, jobs, hardened decoding, the fetcher) but two things: names are
resolved by the table below, and the one public address of that table is on loopback.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING

import httpx

from vedette.serve import fetching
from vedette.serve.app import create_app
from vedette.serve.database.store import open_database
from vedette.serve.keys import KeyStore
from vedette.serve.logs import log_to_stderr
from vedette.serve.options import FetchOptions, RequestLimits, ServeOptions
from vedette.serve.server import run_on_loop, server_for
from vedette.serve.services import Scope
from vedette.serve.start import build, listen
from vedette.settings import Limits, ScanOptions, Settings

if TYPE_CHECKING:
    import ssl

PUBLIC = "93.184.216.34"
"""An address that may be asked; it leads to the attackers' own site on loopback."""
NAMES = {
    "site.test": [[PUBLIC]],
    "rebind.test": [[PUBLIC], ["127.0.0.1"]],
    "twice.test": [[PUBLIC], ["127.0.0.1"]],
    "inside.test": [["127.0.0.1"]],
    "mixed.test": [[PUBLIC, "10.0.0.1"]],
    "metadata.test": [["169.254.169.254"]],
    "mapped.test": [["::ffff:127.0.0.1"]],
    "nat64.test": [["64:ff9b::7f00:1"]],
    "sixtofour.test": [["2002:7f00:1::"]],
    "loopback6.test": [["::1"]],
    "unique.test": [["fd00::1"]],
    "zero.test": [["0.0.0.0"]],
}
"""Each time a name is asked for: the next of its answers; the last one stays."""
LIMITS = RequestLimits(
    body_bytes=2 * 2**20,
    json_bytes=3 * 2**20,
    video_bytes=3 * 2**20,
    upload_bytes=8 * 2**20,
    images=4,
    seconds=20.0,
    body_seconds=1.0,
    upload_seconds=1.0,
    header_seconds=1.0,
    held_bytes=32 * 2**20,
)


async def resolve(host: str, port: int) -> list[str]:
    """The next answer of the table."""
    answers = NAMES.get(host)
    if not answers:
        raise OSError("no such name")
    return answers.pop(0) if len(answers) > 1 else answers[0]


class ToLoopback(httpx.AsyncHTTPTransport):
    """Connects to the address it is told; the public one of the table is on loopback."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == PUBLIC:
            request.url = request.url.copy_with(host="127.0.0.1")
        return await super().handle_async_request(request)


def transport(trust: ssl.SSLContext) -> httpx.AsyncBaseTransport:
    """Of one fetch."""
    return ToLoopback(verify=trust, trust_env=False)


def main(*ports: int) -> None:
    """Serve until SIGTERM; the first line on standard output tells the port and a key.

    Args:
        ports: that may be fetched from.
    """
    log_to_stderr()
    # For requests, jobs and webhooks alike: all of them make theirs by this name.
    fetching.UrlFetcher = partial(  # type: ignore[assignment,misc]
        fetching.UrlFetcher, resolver=resolve, transport=transport
    )
    options = ServeOptions(
        port=0,
        models=("dummy",),
        limits=LIMITS,
        fetch=FetchOptions(enabled=True, bytes=100_000, seconds=5.0, ports=(80, 443, *ports)),
        drain_seconds=5.0,
    )
    database = open_database(options.database)
    keys = KeyStore(database)
    key, _ = keys.create("attacker", frozenset({Scope.SCAN, Scope.JOBS}))
    keys.close()
    database.dispose()
    settings = Settings(limits=Limits(frames=200), scan=ScanOptions(hardened=True))
    services = build(settings, options)
    listening = listen(options)
    server = server_for(create_app(services), options, services.engine)
    print(json.dumps({"port": listening.getsockname()[1], "key": key}), flush=True)
    run_on_loop(server.serve(sockets=[listening]))
    listening.close()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
