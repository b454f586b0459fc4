"""Processes on one address: each gets its share of callers, and none is in another's way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from vedette.errors import UsageError
from vedette.serve.options import ServeOptions
from vedette.serve.sockets import SHARES, own
from vedette.serve.start import listen

pytestmark = pytest.mark.skipif(not SHARES, reason="the kernel spreads connections on Linux only")
CALLERS = 64


@pytest.fixture(params=["127.0.0.1", "::1"])
def held(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    try:
        made = listen(ServeOptions(host=request.param, port=0), workers=2)
    except UsageError:
        pytest.skip(f"there is no {request.param} here")
    with made:
        yield made


def taken(listening: socket.socket) -> int:
    """How many callers wait on a socket."""
    listening.setblocking(False)
    count = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def call(place: tuple[str, int], callers: int, stack: ExitStack) -> None:
    for _ in range(callers):
        stack.enter_context(socket.create_connection(place, timeout=5))


def test_callers_are_spread_over_those_who_listen(held: socket.socket) -> None:
    place = held.getsockname()[:2]
    with ExitStack() as stack:
        first, second = (stack.enter_context(own(held.dup())) for _ in range(2))
        with pytest.raises(ConnectionRefusedError):  # the held one itself does not listen
            socket.create_connection(place, timeout=5)
        first.listen(CALLERS)
        call(place, CALLERS, stack)
        assert taken(first) == CALLERS
        second.listen(CALLERS)
        call(place, CALLERS, stack)
        shares = taken(first), taken(second)
        first.close()
        call(place, CALLERS, stack)
        rest = taken(second)

    assert sum(shares) == rest == CALLERS
    assert min(shares) > CALLERS // 8


def test_another_service_on_the_same_address_is_told(held: socket.socket) -> None:
    host, port = held.getsockname()[:2]
    with own(held.dup()) as worker:
        worker.listen()
        for workers in (1, 2):
            with pytest.raises(UsageError, match="cannot listen"):
                listen(ServeOptions(host=host, port=port), workers)
